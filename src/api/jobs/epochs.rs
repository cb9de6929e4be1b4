//! A job's epochs, as JSON, as CSV or as a picture.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::chart::{SVG, svg};
use crate::api::extract::{Json, Path, Query, accepted};
use crate::api::{ApiError, AppState, Problem};
use crate::charts;
use crate::report::Epoch;

/// A job's epochs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Epochs {
    /// In order: those of the warm-up, then those of fine-tuning.
    items: Vec<Epoch>,
}

/// How to write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EpochsFormat {
    Json,
    Csv,
    Svg,
}

/// How to write them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EpochsQuery {
    /// `json`, `csv` or `svg`; what `Accept` says if not given.
    #[param(inline)]
    format: Option<EpochsFormat>,
}

/// A job's epochs
///
/// JSON, CSV with `Accept: text/csv` or `?format=csv`, or the curves of loss and accuracy as a picture with
/// `Accept: image/svg+xml` or `?format=svg`.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/epochs",
    operation_id = "list_epochs",
    tag = "jobs",
    params(("id" = Uuid, Path, description = "The job's id"), EpochsQuery),
    responses(
        (status = OK, content((Epochs = "application/json"), (String = "text/csv"), (String = "image/svg+xml"))),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn epochs(
    State(state): State<AppState>,
    Path(id): Path<Uuid>,
    Query(query): Query<EpochsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    state.store.job(id).await?;
    let items = state.store.epochs(id).await?;
    let format = query.format.unwrap_or_else(|| match accepted(&headers, &["application/json", "text/csv", SVG]) {
        "text/csv" => EpochsFormat::Csv,
        SVG => EpochsFormat::Svg,
        _ => EpochsFormat::Json,
    });
    Ok(match format {
        EpochsFormat::Json => Json(Epochs { items }).into_response(),
        EpochsFormat::Csv => ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv(&items)).into_response(),
        EpochsFormat::Svg => svg(charts::curves(&items))?,
    })
}

/// No field can hold a comma, quote or line break: all are numbers but the phase, whose names are ours.
fn csv(epochs: &[Epoch]) -> String {
    let mut text = String::from("phase,epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds\r\n");
    for e in epochs {
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{}\r\n",
            e.phase, e.epoch, e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.learning_rate, e.seconds
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PhaseName;

    #[test]
    fn csv_has_a_line_an_epoch() {
        let epoch = Epoch {
            phase: PhaseName::WarmUp,
            epoch: 1,
            train_loss: 0.5,
            train_accuracy: 1.0,
            val_loss: 0.25,
            val_accuracy: 0.75,
            learning_rate: 0.001,
            seconds: 2.0,
        };
        assert_eq!(csv(&[epoch]).lines().nth(1), Some("warm_up,1,0.5,1,0.25,0.75,0.001,2"));
    }
}
