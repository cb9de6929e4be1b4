//! Charts as answers.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::ApiError;
use crate::charts::ChartError;

/// Their media type.
pub(super) const SVG: &str = "image/svg+xml";

/// A chart as an answer.
pub(super) fn svg(chart: Result<String, ChartError>) -> Result<Response, ApiError> {
    Ok(([(header::CONTENT_TYPE, SVG)], chart.map_err(ApiError::internal)?).into_response())
}
