//! Classifying pictures with a published version.

mod answer;
mod heat_map;
mod pictures;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Binary, FileForm, Json, Path, Query};
use super::models::{alias_name, model_name};
use super::{ApiError, AppState, Problem};
use crate::config::Settings;
use crate::inference::{Call, Input, ModelRef, PredictError};
use crate::names::Name;
use crate::store::{ModelVersion, Want};
use answer::{AnswerForm, Answerer, Explain, PicturePrediction, Predictions};
use pictures::{Pictures, PicturesRequest};

pub(super) use answer::all_or_errors;
pub(super) use pictures::from_base64;

/// Header with the milliseconds that an answer may take.
const DEADLINE: &str = "x-deadline-ms";
/// The longest that it may say: ten minutes.
const MAX_DEADLINE_MS: u64 = 600_000;

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(by_default))
        .routes(routes!(by_model))
        .routes(routes!(by_version))
        .routes(routes!(by_alias))
}

/// What to answer with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AnswerQuery {
    /// How many classes, the most probable ones, to give probabilities of; all if not given.
    #[param(minimum = 1)]
    top_k: Option<usize>,
    /// The least probability that a label is given for; below it `label` is null.
    #[param(minimum = 0, maximum = 1)]
    threshold: Option<f32>,
    /// Whether probabilities are calibrated on the validation pictures; `false` gives the network's softmax as it comes.
    #[param(default = true)]
    calibrated: Option<bool>,
    /// A Grad-CAM heat map of the most probable class: `true` for its numbers, `png` for a picture to lay over what the network
    /// saw.
    explain: Option<Explain>,
}

/// Which model to ask, and what to answer with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PredictQuery {
    /// The model; may be left out while there is only one.
    model: Option<String>,
    /// Its version; the default one if not given.
    version: Option<i64>,
    /// Its alias, in place of a version.
    alias: Option<String>,
    /// How many classes, the most probable ones, to give probabilities of; all if not given.
    #[param(minimum = 1)]
    top_k: Option<usize>,
    /// The least probability that a label is given for; below it `label` is null.
    #[param(minimum = 0, maximum = 1)]
    threshold: Option<f32>,
    /// Whether probabilities are calibrated on the validation pictures; `false` gives the network's softmax as it comes.
    #[param(default = true)]
    calibrated: Option<bool>,
    /// A Grad-CAM heat map of the most probable class: `true` for its numbers, `png` for a picture to lay over what the network
    /// saw.
    explain: Option<Explain>,
}

/// Classify pictures with the default model
///
/// The body is a picture, or a form with one or more picture files, or JSON with pictures in base64.
#[utoipa::path(
    post,
    path = "/predict",
    operation_id = "predict",
    tag = "predict",
    params(PredictQuery),
    request_body(content((Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such model"),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "A picture that can't be used; or no model named while there are several"),
        (status = TOO_MANY_REQUESTS, body = Problem, content_type = "application/problem+json", description = "Try again"),
        (status = GATEWAY_TIMEOUT, body = Problem, content_type = "application/problem+json",
         description = "No answer within the milliseconds of the header x-deadline-ms, or within the service's own limit"),
    ),
)]
async fn by_default(
    State(state): State<AppState>,
    Query(query): Query<PredictQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    let name = match &query.model {
        Some(name) => model_name(name)?,
        None => only_model(&state).await?,
    };
    let want = match (query.version, &query.alias) {
        (Some(_), Some(_)) => return Err(ApiError::field("alias", "can't be given together with version: leave one out")),
        (Some(version), None) => Want::Version(version),
        (None, Some(alias)) => Want::Alias(alias_name(alias)?),
        (None, None) => Want::Default,
    };
    let PredictQuery { top_k, threshold, calibrated, explain, .. } = query;
    answer(&state, &name, &want, &AnswerQuery { top_k, threshold, calibrated, explain }, request).await
}

/// Classify pictures with a model's default version
#[utoipa::path(
    post,
    path = "/v1/models/{name}/predict",
    operation_id = "predict_with_model",
    tag = "predict",
    params(("name" = String, Path, description = "The model's name"), AnswerQuery),
    request_body(content((Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_model(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<AnswerQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Default, &query, request).await
}

/// Classify pictures with a version
#[utoipa::path(
    post,
    path = "/v1/models/{name}/versions/{version}/predict",
    operation_id = "predict_with_version",
    tag = "predict",
    params(
        ("name" = String, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
        AnswerQuery,
    ),
    request_body(content((Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_version(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
    Query(query): Query<AnswerQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Version(version), &query, request).await
}

/// Classify pictures with the version that an alias points at
#[utoipa::path(
    post,
    path = "/v1/models/{name}/aliases/{alias}/predict",
    operation_id = "predict_with_alias",
    tag = "predict",
    params(
        ("name" = String, Path, description = "The model's name"),
        ("alias" = String, Path, description = "The alias"),
        AnswerQuery,
    ),
    request_body(content((Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_alias(
    State(state): State<AppState>,
    Path((name, alias)): Path<(String, String)>,
    Query(query): Query<AnswerQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Alias(alias_name(&alias)?), &query, request).await
}

/// The model that is meant when none is named.
async fn only_model(state: &AppState) -> Result<Name, ApiError> {
    let models = state.store.models(None, 2).await?.items;
    match models.as_slice() {
        [] => Err(ApiError::new(
            axum::http::StatusCode::NOT_FOUND,
            "model_not_found",
            "there is no model yet: train one with POST /v1/jobs",
        )),
        [model] => Ok(model.name.clone()),
        _ => Err(ApiError::field("model", "must name one of the models that GET /v1/models lists: there are several")),
    }
}

async fn answer(
    state: &AppState,
    name: &Name,
    want: &Want,
    query: &AnswerQuery,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    let form = query.form()?;
    let call = call(request.headers(), &state.settings, form.explain.is_some())?;
    // Before the body is read: whoever asks for a model that isn't there, or for more than there is room for, needn't send
    // pictures.
    let version = state.store.resolve(name, want).await?;
    if !state.predictor.has_room() {
        return Err(PredictError::Busy.into());
    }
    let pictures = Pictures::read(request, &state.settings).await?;
    let model = reference(state, &version);
    let fields = pictures.fields;
    let inputs = pictures.bytes.into_iter().map(Input::Encoded).collect();
    let classified = all_or_errors(state.predictor.predict(&model, inputs, call).await, &fields)?;
    let predictions = classified.iter().map(|classified| PicturePrediction::of(classified, &form)).collect::<Result<_, _>>()?;
    Ok(Json(Predictions { model: Answerer { name: version.model, version: version.version }, predictions }))
}

/// How a request wants to be answered: its header says until when.
pub(super) fn call(headers: &HeaderMap, settings: &Settings, explain: bool) -> Result<Call, ApiError> {
    let deadline = match headers.get(DEADLINE) {
        None => settings.predict_deadline_ms,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .filter(|ms| (1..=MAX_DEADLINE_MS).contains(ms))
            .ok_or_else(|| ApiError::field(DEADLINE, format!("must be from 1 to {MAX_DEADLINE_MS}, in milliseconds")))?,
    };
    Ok(Call { deadline: Instant::now() + Duration::from_millis(deadline), explain })
}

impl AnswerQuery {
    /// What it asks for, checked.
    fn form(&self) -> Result<AnswerForm, ApiError> {
        if self.top_k == Some(0) {
            return Err(ApiError::field("top_k", "must be at least 1"));
        }
        if self.threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
            return Err(ApiError::field("threshold", "must be from 0 to 1"));
        }
        Ok(AnswerForm {
            top_k: self.top_k.unwrap_or(usize::MAX),
            threshold: self.threshold.unwrap_or(0.0),
            calibrated: self.calibrated.unwrap_or(true),
            explain: self.explain.filter(|explain| *explain != Explain::False),
        })
    }
}

/// Where a version lies.
pub(super) fn reference(state: &AppState, version: &ModelVersion) -> ModelRef {
    let dir = state.settings.model_dir(&version.model, version.version);
    ModelRef { name: version.model.to_string(), version: version.version, dir }
}

#[cfg(test)]
mod tests;
