//! Classifying pictures, as the protocol has it.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::binary::{JSON_LENGTH, Rest};
use super::body::Body;
use super::dto::{InferRequest, InferResponse, InputTensor};
use super::error::{ErrorBody, V2Error};
use super::output::{Output, Scores};
use super::tensor::{Elements, Expected, Tensor};
use super::{Path, version_of};
use crate::api::extract::{Binary, passed_over};
use crate::api::models::model_name;
use crate::api::predict::{all_or_errors, call, reference};
use crate::api::{ApiError, AppState};
use crate::inference::{Input, PredictError};
use crate::names::Name;
use crate::store::Want;

/// Classify pictures with a model's default version
///
/// One input tensor: `pictures`, or `pixels` at the model's input size. The body is JSON, or JSON with tensors in binary form
/// behind it, whose length `Inference-Header-Content-Length` then tells. The header `Content-Encoding` may be `gzip` or
/// `deflate`. The answer is in binary form as far as the request asks for it.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/infer",
    operation_id = "v2_infer",
    tag = "v2",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("inference-header-content-length" = Option<u64>, Header, description = "Bytes of JSON before binary tensors"),
        ("x-deadline-ms" = Option<u64>, Header, description = "Milliseconds that the answer is waited for"),
    ),
    request_body(content((InferRequest = "application/json"), (Binary = "application/octet-stream"))),
    responses(
        (status = OK, content((InferResponse = "application/json"), (Binary = "application/octet-stream"))),
        (status = NOT_FOUND, body = ErrorBody, description = "No such model"),
        (status = PAYLOAD_TOO_LARGE, body = ErrorBody),
        (status = UNPROCESSABLE_ENTITY, body = ErrorBody, description = "A tensor or picture that can't be used"),
        (status = TOO_MANY_REQUESTS, body = ErrorBody, description = "Try again"),
    ),
)]
pub(super) async fn by_default(
    State(state): State<AppState>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, V2Error> {
    Ok(infer(&state, &name, Want::Default, request).await?)
}

/// Classify pictures with a version
#[utoipa::path(
    post,
    path = "/v2/models/{name}/versions/{version}/infer",
    operation_id = "v2_infer_with_version",
    tag = "v2",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = String, Path, description = "The version"),
        ("inference-header-content-length" = Option<u64>, Header, description = "Bytes of JSON before binary tensors"),
        ("x-deadline-ms" = Option<u64>, Header, description = "Milliseconds that the answer is waited for"),
    ),
    request_body(content((InferRequest = "application/json"), (Binary = "application/octet-stream"))),
    responses(
        (status = OK, content((InferResponse = "application/json"), (Binary = "application/octet-stream"))),
        (status = "4XX", body = ErrorBody, description = "As with the default version"),
    ),
)]
pub(super) async fn by_version(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, V2Error> {
    Ok(infer(&state, &name, version_of(&version)?, request).await?)
}

async fn infer(state: &AppState, name: &str, want: Want, request: Request) -> Result<Response, ApiError> {
    // Before the body is read: whoever asks for a model that isn't there needn't send pictures.
    let version = state.store.resolve(&model_name(name)?, &want).await?;
    let call = call(request.headers(), &state.settings)?;
    let (model, _artifact) = reference(state, &version).await?;
    let manifest = state.predictor.manifest(&model).await?;
    if !state.predictor.has_room() {
        passed_over(request).await;
        return Err(PredictError::Busy.into());
    }
    let expected = Expected { side: manifest.preprocessing.input_size as usize, most: state.settings.max_predict_pictures };
    let body = Body::read(request, state.settings.max_predict_bytes).await?;
    // A hundred megabytes take a while to decompress and parse, for which other requests needn't wait.
    let asked = tokio::task::spawn_blocking(move || Asked::of(body, expected)).await.map_err(ApiError::internal)??;
    let results = state.predictor.predict(&model, asked.pictures, call).await;
    let classified = all_or_errors(results, &asked.fields)?;
    let scores: Vec<Scores<'_>> = classified.iter().map(Scores::from).collect();
    let (outputs, binary): (Vec<_>, Vec<_>) = asked.outputs.iter().map(|output| output.tensor(&scores)).unzip();
    let (model_name, model_version) = (version.model.to_string(), version.version.to_string());
    respond(&InferResponse { model_name, model_version, id: asked.id, outputs }, &binary)
}

/// What a request asks for.
struct Asked {
    id: Option<String>,
    pictures: Vec<Input>,
    /// What an error calls each of them.
    fields: Vec<String>,
    outputs: Vec<Output>,
}

impl Asked {
    fn of(body: Body, expected: Expected) -> Result<Self, ApiError> {
        let (json, mut rest) = body.parts()?;
        let InferRequest { id, parameters, inputs, outputs } =
            serde_json::from_slice(&json).map_err(|error| refused(&error))?;
        let binary = parameters.unwrap_or_default().binary_data_output.unwrap_or(false);
        let outputs = Output::wanted(&outputs.unwrap_or_default(), binary)?;
        let [input] = <[InputTensor; 1]>::try_from(inputs)
            .map_err(|inputs| ApiError::field("inputs", format!("must be one tensor, not {}", inputs.len())))?;
        let tensor = tensor(input, &mut rest)?;
        rest.end()?;
        let (pictures, fields) = tensor.pictures(expected)?;
        Ok(Self { id, pictures, fields, outputs })
    }
}

/// The input with its elements, out of the JSON or from behind it.
fn tensor(input: InputTensor, rest: &mut Rest) -> Result<Tensor, ApiError> {
    let InputTensor { name, datatype, shape, parameters, data } = input;
    let elements = match (data, parameters.unwrap_or_default().binary_data_size) {
        (Some(data), None) => Elements::Json(data),
        (None, Some(size)) => Elements::Binary(rest.take(size)?),
        (Some(_), Some(_)) => return Err(ApiError::field("data", "can't be given together with binary_data_size")),
        (None, None) => return Err(ApiError::field("data", "is missing: give it, or binary_data_size")),
    };
    Ok(Tensor { name, datatype, shape, elements })
}

fn refused(error: &serde_json::Error) -> ApiError {
    match error.is_data() {
        true => ApiError::unprocessable("invalid_body", error.to_string()),
        false => ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body's JSON can't be read: {error}")),
    }
}

/// The answer: JSON, and behind it the outputs in binary form, if there are any.
fn respond(response: &InferResponse, binary: &[Option<Vec<u8>>]) -> Result<Response, ApiError> {
    let mut body = serde_json::to_vec(response).map_err(ApiError::internal)?;
    if binary.iter().all(Option::is_none) {
        return Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response());
    }
    let length = HeaderValue::from(body.len());
    binary.iter().flatten().for_each(|bytes| body.extend_from_slice(bytes));
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")), (JSON_LENGTH, length)];
    Ok((headers, body).into_response())
}
