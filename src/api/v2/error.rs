//! Errors as the protocol has them: a JSON object with one text.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::ApiError;
use crate::api::extract::Json;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) struct V2Error(ApiError);

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What happened and what to change, for people.
    error: String,
}

impl<E: Into<ApiError>> From<E> for V2Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for V2Error {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        self.0.retry_after(&mut headers);
        (self.0.status(), headers, Json(ErrorBody { error: self.0.message() })).into_response()
    }
}
