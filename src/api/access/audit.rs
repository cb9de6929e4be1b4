//! The audit log: what was to be changed, by whom, and how it was answered.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Caller, routes};
use crate::api::extract::{Json, List, PageQuery, Query};
use crate::api::trace::RequestId;
use crate::api::{ApiError, AppState, Problem};
use crate::names::Name;
use crate::store::{AuditEntry, NewAuditEntry, Store};

/// Longest path that is noted, in bytes.
const MAX_PATH: usize = 1024;

/// The status of what nobody was left to be answered: nginx's number for a client that closed its connection.
const CLIENT_GONE: u16 = 499;

/// The routes.
pub(in crate::api) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A request that was to change something.
#[derive(Debug, Serialize, ToSchema)]
struct AuditBody {
    id: Uuid,
    /// When it was answered.
    at: DateTime<Utc>,
    /// The key that it was asked with; absent where none was needed and none sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<AuditKey>,
    #[schema(example = "POST")]
    method: String,
    #[schema(example = "/v1/jobs")]
    path: String,
    /// The answer's status; 499 if the client went away before it.
    #[schema(example = 202)]
    status: u16,
    /// The answer's `x-request-id`, under which the log has more.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// A key, as it was called then.
#[derive(Debug, Serialize, ToSchema)]
struct AuditKey {
    #[schema(example = "1f0c4a9e")]
    id: String,
    #[schema(value_type = String)]
    name: Name,
}

impl From<AuditEntry> for AuditBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            key: entry.key.map(|(id, name)| AuditKey { id: id.to_string(), name }),
            method: entry.method,
            path: entry.path,
            status: entry.status,
            request_id: entry.request_id,
        }
    }
}

/// List what was to be changed, newest first
///
/// Every POST, PUT, PATCH and DELETE but those that ask models, whether it was done or refused. Requests without a key that
/// holds, where one is needed, and those beyond a key's rate are in the server's log only.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "list_audit",
    tag = "service",
    params(PageQuery),
    responses(
        (status = OK, body = List<AuditBody>),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn list(State(state): State<AppState>, Query(query): Query<PageQuery>) -> Result<Json<List<AuditBody>>, ApiError> {
    let entries = state.store.audit(query.cursor()?, query.limit()?).await?;
    Ok(Json(List::new(entries, |entry| entry.id.to_string(), AuditBody::from)))
}

/// A request that is to change something, until it is noted. Dropped before it was answered, which is what happens to the
/// request of a client that goes away, it is noted too: going away undoes nothing.
pub(super) struct Note {
    store: Store,
    entry: Option<NewAuditEntry>,
}

impl Note {
    /// Of a request, if it is to change something.
    pub(super) fn begin(state: &AppState, caller: &Caller, request: &Request, route: Option<&str>) -> Option<Self> {
        if !routes::changes(request.method(), route) {
            return None;
        }
        let id = request.extensions().get::<RequestId>();
        let entry = NewAuditEntry {
            key: caller.key().map(|key| (key.id, key.name.clone())),
            method: request.method().to_string(),
            path: shortened(request.uri().path()),
            status: CLIENT_GONE,
            request_id: id.map(|RequestId(id)| id.to_str().unwrap_or_default().to_owned()),
        };
        Some(Self { store: state.store.clone(), entry: Some(entry) })
    }

    /// Notes that it was answered.
    pub(super) async fn end(mut self, status: StatusCode) {
        if let Some(entry) = self.entry.take() {
            let entry = NewAuditEntry { status: status.as_u16(), ..entry };
            // A task of its own: a client that goes away now doesn't stop it. It has nothing to answer, and doesn't panic.
            let _ = tokio::spawn(append(self.store.clone(), entry)).await;
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // Without a runtime, the process is ending.
        if let (Some(entry), Ok(runtime)) = (self.entry.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(append(self.store.clone(), entry));
        }
    }
}

/// What was done is done: an entry that can't be written goes to the log instead.
async fn append(store: Store, entry: NewAuditEntry) {
    if let Err(error) = store.append_audit(&entry).await {
        tracing::error!(%error, ?entry, "a change can't be noted in the audit log");
    }
}

fn shortened(path: &str) -> String {
    path[..path.floor_char_boundary(MAX_PATH)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_cut() {
        assert_eq!(shortened("/v1/jobs"), "/v1/jobs");
        assert_eq!(shortened(&format!("/{}", "ä".repeat(1000))).len(), 1023);
    }
}
