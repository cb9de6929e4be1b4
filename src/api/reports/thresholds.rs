//! What a threshold costs and brings, on a report's predictions.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{check_class, read};
use crate::api::extract::{Json, Path, Query};
use crate::api::models::model_name;
use crate::api::{ApiError, AppState, Problem, artifacts};
use crate::names::Name;
use crate::report::{ReportPredictions, ThresholdPoint, thresholds};
use crate::store::Want;

/// Of what.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ThresholdQuery {
    /// This class against the rest; all pictures if not given.
    label: Option<String>,
}

/// What thresholds cost and bring.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Thresholds {
    /// For the thresholds 0, 0.01 and so on up to 1.
    points: Vec<ThresholdPoint>,
}

/// What `threshold` would have cost and brought on the validation pictures
///
/// Of all pictures, or of one class against the rest: a picture then counts as answered if that class is predicted for it.
/// Probabilities are calibrated, and compared with the threshold as `/predict?threshold=…` does.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/versions/{version}/thresholds",
    operation_id = "show_thresholds",
    tag = "models",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
        ThresholdQuery,
    ),
    responses(
        (status = OK, body = Thresholds),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "A class that isn't among the model's"),
    ),
)]
pub(super) async fn show(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
    Query(query): Query<ThresholdQuery>,
) -> Result<Json<Thresholds>, ApiError> {
    let version = state.store.resolve(&model_name(&name)?, &Want::Version(version)).await?;
    let artifact = artifacts::of_version(&state, &version).await?;
    let points = read(artifact.dir(), move |report: ReportPredictions| {
        check_class(&report.classes, "label", query.label.as_ref())?;
        Ok::<_, ApiError>(thresholds(&report.predictions, query.label.as_deref()))
    });
    Ok(Json(Thresholds { points: points.await?? }))
}
