//! Whether the process is up, and whether it can do its work.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::extract::Json;
use super::storage::{self, StorageStatus};
use crate::jobs::health::WorkerStatus;

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// The process is up.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    status: &'static str,
    /// The program's version.
    version: &'static str,
}

/// Whether requests can be served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether all of the below that a request needs works.
    pub(super) ready: bool,
    /// Why it isn't: `stopping`, `database` or `predictor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Whether the database answers.
    database: bool,
    /// Whether the engine that classifies pictures runs.
    predictor: bool,
    /// The worker processes. They don't decide `ready`: while one is being restarted, everything but training goes on.
    workers: WorkerStatus,
    /// The disk under the data folder.
    storage: StorageStatus,
}

/// Whether the process is up
#[utoipa::path(get, path = "/healthz", tag = "service", responses((status = OK, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether requests can be served
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "service",
    responses((status = OK, body = Readiness), (status = SERVICE_UNAVAILABLE, body = Readiness)),
)]
async fn readyz(State(state): State<AppState>) -> Response {
    let readiness = readiness(&state).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Looks at what a request needs.
pub(super) async fn readiness(state: &AppState) -> Readiness {
    let database = match state.store.ping().await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            false
        }
    };
    let predictor = state.predictor.is_ready();
    let reasons = [("stopping", state.leaving.is_cancelled()), ("database", !database), ("predictor", !predictor)];
    let reason = reasons.into_iter().find_map(|(reason, holds)| holds.then_some(reason));
    let storage = storage::status(state).await;
    Readiness { ready: reason.is_none(), reason, database, predictor, workers: state.workers.status(), storage }
}
