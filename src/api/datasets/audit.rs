//! Audits: what is probably wrong with a data set's pictures and labels.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::refuse_damaged;
use crate::api::extract::{Json, List, PageQuery, Path, Query};
use crate::api::{ApiError, AppState, Problem};
use crate::dataset::audit::{AuditSummary, Finding, FindingKind};
use crate::store::{Audit, AuditState, Failure};

/// An audit of a data set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditBody {
    /// The data set's id.
    dataset: Uuid,
    state: AuditState,
    /// How far it is, 0 to 1.
    progress: f64,
    /// What it came to, once it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<AuditSummary>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
}

impl From<Audit> for AuditBody {
    fn from(audit: Audit) -> Self {
        Self {
            dataset: audit.dataset,
            state: audit.state,
            progress: audit.progress,
            summary: audit.summary,
            error: audit.error,
            created_at: audit.created_at,
            finished_at: audit.finished_at,
        }
    }
}

/// Which findings to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FindingQuery {
    /// Those of this kind.
    kind: Option<FindingKind>,
    /// Most items to answer with, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Audit a dataset
///
/// Has the pictures looked through for wrong labels, copies, outliers and classes that are too alike or too small. A worker does it, before
/// any job that waits. Asking again is fine; an audit that failed begins anew.
#[utoipa::path(
    post,
    path = "/v1/datasets/{id}/audit",
    operation_id = "audit_dataset",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name")),
    responses(
        (status = ACCEPTED, body = AuditBody, description = "The audit as it is now"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "The dataset isn't ready"),
    ),
)]
pub(super) async fn start(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<AuditBody>), ApiError> {
    let dataset = state.store.dataset(&id).await?;
    refuse_damaged(&state, &dataset).await?;
    Ok((StatusCode::ACCEPTED, Json(state.store.request_audit(dataset.id).await?.into())))
}

/// How a dataset's audit stands, and what it came to
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}/audit",
    operation_id = "show_audit",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name")),
    responses(
        (status = OK, body = AuditBody),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such dataset, or no audit of it"),
    ),
)]
pub(super) async fn show(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<AuditBody>, ApiError> {
    let dataset = state.store.dataset(&id).await?;
    Ok(Json(state.store.audit_of(dataset.id).await?.into()))
}

/// What an audit found, by kind, the surest first
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}/audit/findings",
    operation_id = "list_findings",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name"), FindingQuery),
    responses(
        (status = OK, body = List<Finding>),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such dataset, or no audit of it"),
    ),
)]
pub(super) async fn findings(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<FindingQuery>,
) -> Result<Json<List<Finding>>, ApiError> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let dataset = state.store.dataset(&id).await?;
    state.store.audit_of(dataset.id).await?;
    let findings = state.store.findings(dataset.id, query.kind, page.cursor()?, page.limit()?).await?;
    Ok(Json(List::new(findings, |(number, _)| number.to_string(), |(_, finding)| finding)))
}
