//! The one error of the API, which is also the response: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! What a client did wrong says what to change. What is this side's trouble goes to the log, inside the request's span, and
//! the answer says nothing of it but the request's id.

mod from;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::disk::{Trouble, trouble};
use crate::recipe::FieldError;

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
    /// Seconds after which asking again is worth a try.
    retry_after: Option<u16>,
}

impl ApiError {
    /// A problem of the client's; `detail` says what to change.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after }
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

    /// The disk, or a quota on it, is used up.
    pub(super) fn storage_full(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "the disk is full");
        let detail = "the server's disk has no room for this: delete datasets that are no longer needed, or have space freed";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", detail)
    }

    /// A file or folder of the service can't be used as it is now.
    pub(super) fn storage_unavailable(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "the data folder can't be used");
        let detail = "the server can't use its data folder right now; its log has the cause under this answer's x-request-id";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable", detail).retry_in(30)
    }

    /// What the database knows of, `what`, isn't on the disk, or isn't what was written.
    pub(super) fn damaged(what: &str, cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, what, "files are missing or damaged");
        let detail =
            format!("the files of this {what} are missing on the server, or damaged: have them restored from a backup");
        Self { retry_after: None, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "files_damaged", detail) }
    }

    /// A refusal of the file system in the data folder.
    pub(super) fn disk(error: &std::io::Error) -> Self {
        match trouble(error) {
            Some(Trouble::Full) => Self::storage_full(error),
            Some(Trouble::Unavailable) => Self::storage_unavailable(error),
            None => Self::internal(error),
        }
    }

    /// Asking again is worth a try after so many seconds.
    pub(super) fn retry_in(self, seconds: u16) -> Self {
        Self { retry_after: Some(seconds), ..self }
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
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
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
