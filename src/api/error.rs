//! The one error of the API, which is also the response: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! What a client did wrong says what to change. What is this side's trouble goes to the log, inside the request's span, and
//! the answer says nothing of it but the request's id.

use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::artifact::ArtifactError;
use crate::dataset::DatasetError;
use crate::inference::PredictError;
use crate::recipe::{FieldError, InvalidRecipe};
use crate::store::{Missing, StoreError};

/// The media type of a problem.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What is wrong, as RFC 9457 has it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says which problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Which problem it is; never changes.
    #[schema(example = "dataset_not_found")]
    pub code: &'static str,
    /// What happened and what to change, for people.
    pub detail: String,
    /// The fields of the request that must change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// Why a request has no answer.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
}

impl ApiError {
    /// A problem of the client's; `detail` says what to change.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new() }
    }

    /// A request that is understood but can't be done as it is.
    pub(super) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// One field that must change.
    pub(super) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.into(), message: message.into() };
        let detail = format!("{} {}", error.field, error.message);
        Self::unprocessable("invalid_field", detail).with_errors(vec![error])
    }

    /// This side's trouble: the cause goes to the log.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "the request failed");
        let detail = "something went wrong on the server; its log has the cause under this answer's x-request-id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// A body beyond its limit.
    pub(super) fn too_large(what: &str, limit: u64) -> Self {
        let detail = format!("{what} is larger than the {limit} bytes that are taken");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    pub(super) fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Which problem it is.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What happened and what to change, every field's own message included.
    pub(super) fn message(&self) -> String {
        match self.errors.as_slice() {
            // One field's message is the detail already.
            [] | [_] => self.detail.clone(),
            errors => errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("; "),
        }
    }

    /// Tells the client to come back soon, if that is worth trying.
    pub(super) fn retry_after(&self, headers: &mut HeaderMap) {
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        self.retry_after(&mut headers);
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        let problem = Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            errors: self.errors,
        };
        (self.status, headers, axum::Json(problem)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(missing) => missing.into(),
            StoreError::OverQuota(over) => Self::new(StatusCode::FORBIDDEN, "quota_exceeded", over.to_string()),
            StoreError::Conflict(conflict) => Self::new(StatusCode::CONFLICT, conflict.code(), conflict.to_string()),
            other => Self::internal(other),
        }
    }
}

impl From<Missing> for ApiError {
    fn from(missing: Missing) -> Self {
        Self::new(StatusCode::NOT_FOUND, missing.code(), missing.to_string())
    }
}

impl From<DatasetError> for ApiError {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::ArchiveTooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.code(), error.to_string()),
            error if error.is_senders() => Self::unprocessable(error.code(), error.to_string()),
            other => Self::internal(other),
        }
    }
}

impl From<InvalidRecipe> for ApiError {
    fn from(invalid: InvalidRecipe) -> Self {
        let prefixed = |error: &FieldError| FieldError { field: format!("recipe.{}", error.field), ..error.clone() };
        Self::unprocessable("invalid_recipe", invalid.to_string()).with_errors(invalid.0.iter().map(prefixed).collect())
    }
}

impl From<PredictError> for ApiError {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", error.to_string()),
            PredictError::TooLate => Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline_passed", error.to_string()),
            PredictError::Picture(_) | PredictError::Pixels { .. } => {
                Self::unprocessable("unusable_picture", error.to_string())
            }
            PredictError::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "engine_unavailable", "predictions are not available right now")
            }
            PredictError::Model(_) => Self::internal(error),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        Self::internal(error)
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let code = match &rejection {
            JsonRejection::JsonDataError(_) => "invalid_body",
            JsonRejection::JsonSyntaxError(_) => "invalid_json",
            JsonRejection::MissingJsonContentType(_) => {
                let detail = "send JSON, with the header `content-type: application/json`";
                return Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
            }
            _ => return unread(rejection.status(), &rejection.body_text()),
        };
        Self::new(rejection.status(), code, rejection.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        unread(rejection.status(), &rejection.body_text())
    }
}

impl From<MultipartRejection> for ApiError {
    fn from(rejection: MultipartRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_multipart", format!("{}: send files as a form does", rejection.body_text()))
    }
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        match error.status() {
            StatusCode::BAD_REQUEST => Self::new(StatusCode::BAD_REQUEST, "invalid_multipart", error.body_text()),
            status => unread(status, &error.body_text()),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        if rejection.status().is_server_error() {
            return Self::internal(rejection);
        }
        let detail = format!("nothing is at this address: {}", rejection.body_text());
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::unprocessable("invalid_query", rejection.body_text())
    }
}

/// A body that couldn't be read to its end.
fn unread(status: StatusCode, text: &str) -> ApiError {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(status, "too_large", "the request's body is larger than this address takes: send less at once");
    }
    ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", format!("{text}: send the request again"))
}
