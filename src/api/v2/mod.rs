//! The Open Inference Protocol, version 2, over REST, with its binary tensor and classification extensions: what the clients
//! of Triton, KServe and others speak.

mod binary;
mod body;
mod data;
mod dto;
mod error;
mod infer;
mod output;
mod tensor;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Json;
use super::health::readiness;
use super::models::model_name;
use super::predict::reference;
use super::{ApiError, AppState};
use crate::names::Name;
use crate::store::{Missing, Want};
use dto::{Live, ModelMetadata, ModelReady, Ready, ServerMetadata, TensorMetadata};
use error::{ErrorBody, V2Error};

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(server))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(model))
        .routes(routes!(model_version))
        .routes(routes!(model_ready))
        .routes(routes!(model_version_ready))
        .routes(routes!(infer::by_default))
        .routes(routes!(infer::by_version))
}

/// A request that isn't let in, as the protocol has it.
pub(super) fn refusal(error: ApiError) -> Response {
    V2Error::from(error).into_response()
}

/// The parts of a path that vary, with the protocol's error as their rejection.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(V2Error))]
struct Path<T>(T);

/// The version that a path names: one that isn't a number is no version.
fn version_of(text: &str) -> Result<Want, ApiError> {
    text.parse().map(Want::Version).map_err(|_| Missing::Version.into())
}

/// What the server is
#[utoipa::path(get, path = "/v2", operation_id = "v2_server", tag = "v2", responses((status = OK, body = ServerMetadata)))]
async fn server() -> Json<ServerMetadata> {
    let extensions = &["binary_tensor_data", "classification"];
    Json(ServerMetadata { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION"), extensions })
}

/// Whether the server is up
#[utoipa::path(get, path = "/v2/health/live", operation_id = "v2_live", tag = "v2", responses((status = OK, body = Live)))]
async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// Whether the server can classify pictures
#[utoipa::path(
    get,
    path = "/v2/health/ready",
    operation_id = "v2_ready",
    tag = "v2",
    responses((status = OK, body = Ready), (status = SERVICE_UNAVAILABLE, body = Ready)),
)]
async fn ready(State(state): State<AppState>) -> Response {
    let ready = readiness(&state).await.ready;
    (status(ready), Json(Ready { ready })).into_response()
}

/// What a model takes and gives
#[utoipa::path(
    get,
    path = "/v2/models/{name}",
    operation_id = "v2_model",
    tag = "v2",
    params(("name" = Name, Path, description = "The model's name")),
    responses((status = OK, body = ModelMetadata), (status = NOT_FOUND, body = ErrorBody)),
)]
async fn model(State(state): State<AppState>, Path(name): Path<String>) -> Result<Json<ModelMetadata>, V2Error> {
    Ok(metadata(&state, &name, Want::Default).await?)
}

/// What a version of a model takes and gives
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}",
    operation_id = "v2_model_version",
    tag = "v2",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = String, Path, description = "The version"),
    ),
    responses((status = OK, body = ModelMetadata), (status = NOT_FOUND, body = ErrorBody)),
)]
async fn model_version(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<ModelMetadata>, V2Error> {
    Ok(metadata(&state, &name, version_of(&version)?).await?)
}

/// Whether a model can classify pictures
#[utoipa::path(
    get,
    path = "/v2/models/{name}/ready",
    operation_id = "v2_model_ready",
    tag = "v2",
    params(("name" = Name, Path, description = "The model's name")),
    responses(
        (status = OK, body = ModelReady),
        (status = NOT_FOUND, body = ErrorBody),
        (status = SERVICE_UNAVAILABLE, body = ModelReady),
    ),
)]
async fn model_ready(State(state): State<AppState>, Path(name): Path<String>) -> Result<Response, V2Error> {
    Ok(readiness_of(&state, name, Want::Default).await?)
}

/// Whether a version of a model can classify pictures
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}/ready",
    operation_id = "v2_model_version_ready",
    tag = "v2",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = String, Path, description = "The version"),
    ),
    responses(
        (status = OK, body = ModelReady),
        (status = NOT_FOUND, body = ErrorBody),
        (status = SERVICE_UNAVAILABLE, body = ModelReady),
    ),
)]
async fn model_version_ready(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, V2Error> {
    let want = version_of(&version)?;
    Ok(readiness_of(&state, name, want).await?)
}

async fn metadata(state: &AppState, name: &str, want: Want) -> Result<Json<ModelMetadata>, ApiError> {
    let name = model_name(name)?;
    let version = state.store.resolve(&name, &want).await?;
    let (model, _artifact) = reference(state, &version).await?;
    let manifest = state.predictor.manifest(&model).await?;
    let versions = state.store.model(&name).await?.versions;
    let side = i64::from(manifest.preprocessing.input_size);
    let pictures = TensorMetadata { name: tensor::PICTURES, datatype: "BYTES", shape: vec![-1] };
    let pixels = TensorMetadata { name: tensor::PIXELS, datatype: "FP32", shape: vec![-1, side, side, 3] };
    Ok(Json(ModelMetadata {
        name: name.to_string(),
        versions: versions.iter().rev().map(|version| version.version.to_string()).collect(),
        platform: env!("CARGO_PKG_NAME"),
        inputs: vec![pictures, pixels],
        outputs: output::metadata(manifest.classes.len()),
    }))
}

async fn readiness_of(state: &AppState, name: String, want: Want) -> Result<Response, ApiError> {
    let version = state.store.resolve(&model_name(&name)?, &want).await?;
    let (model, _artifact) = reference(state, &version).await?;
    state.predictor.manifest(&model).await?;
    let ready = readiness(state).await.ready;
    Ok((status(ready), Json(ModelReady { name, ready })).into_response())
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
