//! Classifying pictures with a published version.

mod answer;
mod pictures;

use axum::extract::{Request, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Binary, FileForm, Json, Path, Query};
use super::models::{alias_name, model_name};
use super::{ApiError, AppState, Problem};
use crate::inference::ModelRef;
use crate::names::Name;
use crate::store::{ModelVersion, Want};
use answer::{Answerer, PicturePrediction, Predictions, all_or_errors};
use pictures::{Pictures, PicturesRequest};

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
struct TopQuery {
    /// How many classes, the most probable ones, to give probabilities of; all if not given.
    #[param(minimum = 1)]
    top_k: Option<usize>,
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
    answer(&state, &name, &want, query.top_k, request).await
}

/// Classify pictures with a model's default version
#[utoipa::path(
    post,
    path = "/v1/models/{name}/predict",
    operation_id = "predict_with_model",
    tag = "predict",
    params(("name" = String, Path, description = "The model's name"), TopQuery),
    request_body(content((Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_model(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<TopQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Default, query.top_k, request).await
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
        TopQuery,
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
    Query(query): Query<TopQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Version(version), query.top_k, request).await
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
        TopQuery,
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
    Query(query): Query<TopQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Alias(alias_name(&alias)?), query.top_k, request).await
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
    top_k: Option<usize>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    if top_k == Some(0) {
        return Err(ApiError::field("top_k", "must be at least 1"));
    }
    // Before the body is read: whoever asks for a model that isn't there needn't send pictures.
    let version = state.store.resolve(name, want).await?;
    let pictures = Pictures::read(request, &state.settings).await?;
    let model = reference(state, &version);
    let fields = pictures.fields;
    let results = state.predictor.predict(&model, pictures.bytes).await;
    let classified = all_or_errors(results, &fields)?;
    let top_k = top_k.unwrap_or(usize::MAX);
    let predictions = classified.iter().map(|classified| PicturePrediction::of(classified, top_k)).collect::<Result<_, _>>()?;
    Ok(Json(Predictions { model: Answerer { name: version.model, version: version.version }, predictions }))
}

fn reference(state: &AppState, version: &ModelVersion) -> ModelRef {
    let dir = state.settings.model_dir(&version.model, version.version);
    ModelRef { name: version.model.to_string(), version: version.version, dir }
}

#[cfg(test)]
mod tests;
