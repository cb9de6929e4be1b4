//! Classifying pictures with a published version.

mod answer;
mod form;
mod heat_map;
mod large;
mod pictures;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::artifacts::{self, Artifact};
use super::extract::{Binary, FileForm, Json, Path, Query, passed_over};
use super::models::{alias_name, model_name};
use super::{ApiError, AppState, Problem};
use crate::inference::{Input, ModelRef, PredictError};
use crate::names::Name;
use crate::store::{ModelVersion, Want};
use answer::{Answerer, PicturePrediction, Predictions};
use form::AnswerQuery;
use large::Line;
use pictures::{Pictures, PicturesRequest};

pub(super) use answer::all_or_errors;
pub(super) use form::call;
pub(super) use pictures::{from_base64, no_picture};

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(by_default))
        .routes(routes!(by_model))
        .routes(routes!(by_version))
        .routes(routes!(by_alias))
}

/// Which model to ask.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ModelQuery {
    /// The model; may be left out while there is only one.
    model: Option<String>,
    /// Its version; the default one if not given.
    version: Option<i64>,
    /// Its alias, in place of a version.
    alias: Option<String>,
}

/// Classify pictures with the default model
///
/// The body is a picture, or a form with one or more picture files, or JSON with pictures in base64. A large set is an archive
/// of pictures, or a form of any number of files with `Accept: application/x-ndjson`: it is answered line by line, a line a
/// picture in the set's order, with its error if it has none, now and then one that says how far it has come, and a last one
/// with `done`.
#[utoipa::path(
    post,
    path = "/predict",
    operation_id = "predict",
    tag = "predict",
    params(ModelQuery, AnswerQuery),
    request_body(content(
        (Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"),
        (Binary = "application/zip"), (Binary = "application/x-tar"), (Binary = "application/gzip"), (Binary = "application/zstd"),
    )),
    responses(
        (status = OK, content((Predictions = "application/json"), (Line = "application/x-ndjson"))),
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
    Query(which): Query<ModelQuery>,
    Query(query): Query<AnswerQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let name = match &which.model {
        Some(name) => model_name(name)?,
        None => only_model(&state).await?,
    };
    let want = match (which.version, &which.alias) {
        (Some(_), Some(_)) => return Err(ApiError::field("alias", "can't be given together with version: leave one out")),
        (Some(version), None) => Want::Version(version),
        (None, Some(alias)) => Want::Alias(alias_name(alias)?),
        (None, None) => Want::Default,
    };
    answer(&state, &name, &want, &query, request).await
}

/// Classify pictures with a model's default version
#[utoipa::path(
    post,
    path = "/v1/models/{name}/predict",
    operation_id = "predict_with_model",
    tag = "predict",
    params(("name" = Name, Path, description = "The model's name"), AnswerQuery),
    request_body(content(
        (Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"),
        (Binary = "application/zip"), (Binary = "application/x-tar"), (Binary = "application/gzip"), (Binary = "application/zstd"),
    )),
    responses(
        (status = OK, content((Predictions = "application/json"), (Line = "application/x-ndjson"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_model(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<AnswerQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Default, &query, request).await
}

/// Classify pictures with a version
#[utoipa::path(
    post,
    path = "/v1/models/{name}/versions/{version}/predict",
    operation_id = "predict_with_version",
    tag = "predict",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
        AnswerQuery,
    ),
    request_body(content(
        (Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"),
        (Binary = "application/zip"), (Binary = "application/x-tar"), (Binary = "application/gzip"), (Binary = "application/zstd"),
    )),
    responses(
        (status = OK, content((Predictions = "application/json"), (Line = "application/x-ndjson"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_version(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
    Query(query): Query<AnswerQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Version(version), &query, request).await
}

/// Classify pictures with the version that an alias points at
#[utoipa::path(
    post,
    path = "/v1/models/{name}/aliases/{alias}/predict",
    operation_id = "predict_with_alias",
    tag = "predict",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("alias" = Name, Path, description = "The alias"),
        AnswerQuery,
    ),
    request_body(content(
        (Binary = "image/*"), (FileForm = "multipart/form-data"), (PicturesRequest = "application/json"),
        (Binary = "application/zip"), (Binary = "application/x-tar"), (Binary = "application/gzip"), (Binary = "application/zstd"),
    )),
    responses(
        (status = OK, content((Predictions = "application/json"), (Line = "application/x-ndjson"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_alias(
    State(state): State<AppState>,
    Path((name, alias)): Path<(String, String)>,
    Query(query): Query<AnswerQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Alias(alias_name(&alias)?), &query, request).await
}

/// The model that is meant when none is named.
async fn only_model(state: &AppState) -> Result<Name, ApiError> {
    let models = state.store.models(None, 2).await?.items;
    match models.as_slice() {
        [] => {
            Err(ApiError::new(StatusCode::NOT_FOUND, "model_not_found", "there is no model yet: train one with POST /v1/jobs"))
        }
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
) -> Result<Response, ApiError> {
    let form = query.form()?;
    let call = form.call(request.headers(), &state.settings)?;
    // Before the body is read: whoever asks for a model that isn't there, or for more than there is room for, needn't send
    // pictures.
    let version = state.store.resolve(name, want).await?;
    if !state.predictor.has_room() {
        passed_over(request).await;
        return Err(PredictError::Busy.into());
    }
    if let Some(kind) = large::Kind::of(request.headers()) {
        return large::answer(state, kind, version, form, request).await;
    }
    let pictures = Pictures::read(request, &state.settings).await?;
    let (model, _artifact) = reference(state, &version).await?;
    let fields = pictures.fields;
    let inputs = pictures.bytes.into_iter().map(Input::Encoded).collect();
    let classified = all_or_errors(state.predictor.predict(&model, inputs, call).await, &fields)?;
    let predictions = classified.iter().map(|classified| PicturePrediction::of(classified, &form)).collect::<Result<_, _>>()?;
    let model = Answerer { name: version.model, version: version.version };
    Ok(Json(Predictions { model, predictions }).into_response())
}

/// Where a version lies, which stays there as long as the artifact is held.
pub(super) async fn reference(state: &AppState, version: &ModelVersion) -> Result<(ModelRef, Artifact), ApiError> {
    let artifact = artifacts::of_version(state, version).await?;
    Ok((ModelRef { name: version.model.to_string(), version: version.version, dir: artifact.dir() }, artifact))
}

#[cfg(test)]
mod tests;
