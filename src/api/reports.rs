//! What a run found out: figures a class, the confusion matrix, the validation pictures' predictions. As JSON, as text or
//! as a picture; and in slices, for pages that don't need the whole of it.

mod predictions;
mod thresholds;

use std::path::PathBuf;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::chart::{SVG, svg};
use super::extract::{Json, Path, Query, accepted};
use super::models::model_name;
use super::{ApiError, AppState, Problem, artifacts};
use crate::artifact::{self, ArtifactError};
use crate::charts;
use crate::names::Name;
use crate::report::{Report, ReportSummary};
use crate::store::JobState;
use crate::store::Want;

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(of_model))
        .routes(routes!(of_version))
        .routes(routes!(of_job))
        .routes(routes!(predictions::list))
        .routes(routes!(thresholds::show))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ReportFormat {
    Json,
    Text,
    Svg,
}

/// How to write a report.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ReportQuery {
    /// `json`, `text` or `svg`; what `Accept` says if not given.
    #[param(inline)]
    format: Option<ReportFormat>,
    /// Whether JSON has the predictions, which are most of it.
    #[param(default = true)]
    predictions: Option<bool>,
}

/// The report on a model's default version
///
/// JSON, text tables with `Accept: text/plain` or `?format=text`, or the last phase's confusion matrix as a picture with
/// `Accept: image/svg+xml` or `?format=svg`.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/report",
    operation_id = "model_report",
    tag = "models",
    params(("name" = Name, Path, description = "The model's name"), ReportQuery),
    responses(
        (status = OK, content((Report = "application/json"), (String = "text/plain"), (String = "image/svg+xml"))),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn of_model(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<ReportQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let version = state.store.resolve(&model_name(&name)?, &Want::Default).await?;
    let artifact = artifacts::of_version(&state, &version).await?;
    answer(artifact.dir(), &query, &headers).await
}

/// The report on a version
///
/// JSON, text tables with `Accept: text/plain` or `?format=text`, or the last phase's confusion matrix as a picture with
/// `Accept: image/svg+xml` or `?format=svg`.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/versions/{version}/report",
    operation_id = "version_report",
    tag = "models",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
        ReportQuery,
    ),
    responses(
        (status = OK, content((Report = "application/json"), (String = "text/plain"), (String = "image/svg+xml"))),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn of_version(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
    Query(query): Query<ReportQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let version = state.store.resolve(&model_name(&name)?, &Want::Version(version)).await?;
    let artifact = artifacts::of_version(&state, &version).await?;
    answer(artifact.dir(), &query, &headers).await
}

/// The report of a job that succeeded
///
/// JSON, text tables with `Accept: text/plain` or `?format=text`, or the last phase's confusion matrix as a picture with
/// `Accept: image/svg+xml` or `?format=svg`. While a job runs, its `report` events tell of the phases that are complete.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/report",
    operation_id = "job_report",
    tag = "jobs",
    params(("id" = Uuid, Path, description = "The job's id"), ReportQuery),
    responses(
        (status = OK, content((Report = "application/json"), (String = "text/plain"), (String = "image/svg+xml"))),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "It hasn't succeeded"),
    ),
)]
async fn of_job(
    State(state): State<AppState>,
    Path(id): Path<Uuid>,
    Query(query): Query<ReportQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let job = state.store.job(id).await?;
    let dir = match (job.state, job.published(), job.sweep) {
        (JobState::Succeeded, Some(version), _) => state.settings.model_dir(&job.model, version),
        (JobState::Succeeded, None, Some(_)) => state.settings.trial_dir(job.id),
        (JobState::Succeeded, None, None) => {
            let detail = "it was a trial that nobody published, and went with its sweep";
            return Err(ApiError::new(StatusCode::CONFLICT, "no_report", detail));
        }
        (state, ..) => {
            let detail = format!("a job has a report once it has succeeded, and the state of this one is {state}");
            return Err(ApiError::new(StatusCode::CONFLICT, "no_report", detail));
        }
    };
    let artifact = artifacts::of(&state.storage, dir).await?;
    answer(artifact.dir(), &query, &headers).await
}

/// The report of the artifact in `dir`.
async fn answer(dir: PathBuf, query: &ReportQuery, headers: &HeaderMap) -> Result<Response, ApiError> {
    let format = query.format.unwrap_or_else(|| match accepted(headers, &["application/json", "text/plain", SVG]) {
        "text/plain" => ReportFormat::Text,
        SVG => ReportFormat::Svg,
        _ => ReportFormat::Json,
    });
    if format == ReportFormat::Json && query.predictions == Some(false) {
        return Ok(Json(read(dir, |summary: ReportSummary| summary).await?).into_response());
    }
    let report = read(dir, |report: Report| report).await?;
    Ok(match format {
        ReportFormat::Json => Json(report).into_response(),
        ReportFormat::Text => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], report.to_string()).into_response(),
        ReportFormat::Svg => {
            // A run without a phase has trained nothing, and published nothing.
            let last = report.phases.last().ok_or_else(|| ApiError::internal("a report without a phase"))?;
            svg(charts::confusion(last))?
        }
    })
}

/// What `make` makes of the report of the artifact in `dir`, or of those parts of it that `R` has. Reports may be megabytes, so
/// that both reading and making happen where they keep nobody waiting.
async fn read<R, T>(dir: PathBuf, make: impl FnOnce(R) -> T + Send + 'static) -> Result<T, ApiError>
where
    R: DeserializeOwned,
    T: Send + 'static,
{
    let read = move || -> Result<T, ArtifactError> { Ok(make(artifact::report_as(&dir, &artifact::manifest(&dir)?)?)) };
    Ok(tokio::task::spawn_blocking(read).await.map_err(ApiError::internal)??)
}

/// Refuses a class that isn't among the model's.
fn check_class(classes: &[String], field: &str, class: Option<&String>) -> Result<(), ApiError> {
    if class.is_none_or(|class| classes.contains(class)) {
        return Ok(());
    }
    Err(ApiError::field(field, "must be one of the model's classes, which the version's manifest lists"))
}
