//! What each room's errors are to a client.

use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;

use super::ApiError;
use crate::artifact::ArtifactError;
use crate::dataset::DatasetError;
use crate::inference::PredictError;
use crate::recipe::{FieldError, InvalidRecipe};
use crate::store::{Conflict, Missing, StoreError};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(missing) => missing.into(),
            StoreError::OverQuota(over) => Self::new(StatusCode::FORBIDDEN, "quota_exceeded", over.to_string()),
            StoreError::Conflict(conflict @ Conflict::KeyInUse) => {
                Self::new(StatusCode::CONFLICT, conflict.code(), conflict.to_string()).retry_in(1)
            }
            StoreError::Conflict(conflict) => Self::new(StatusCode::CONFLICT, conflict.code(), conflict.to_string()),
            StoreError::Full => Self::storage_full(error),
            StoreError::Busy => {
                tracing::error!("the database was kept locked by others");
                let detail = "the database is busy with something that takes long: send the request again in a moment";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_busy", detail).retry_in(5)
            }
            StoreError::Unavailable(_) => Self::storage_unavailable(error),
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
            DatasetError::Io { doing, source } => {
                tracing::error!(doing, "the disk refused");
                Self::disk(&source)
            }
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
            PredictError::Model(cause) => {
                tracing::error!(cause, "a model version can't be used");
                let detail = "this version can't be used on this server: its files are missing or damaged, or the backbone is another; \
                              the server's log has the cause under this answer's x-request-id";
                Self { retry_after: None, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "model_unusable", detail) }
            }
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        match &error {
            ArtifactError::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => Self::disk(source),
            ArtifactError::Io { .. } | ArtifactError::Damaged { .. } => Self::damaged("model version", error),
            ArtifactError::Format { .. } => Self::internal(error),
        }
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
