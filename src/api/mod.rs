//! The HTTP surface. axum lives here only: a file a resource, with its DTOs and handlers; each exports `router()`, and this
//! file only merges them.

mod access;
mod artifacts;
mod chart;
mod datasets;
mod download;
mod error;
mod extract;
mod guard;
mod headers;
mod health;
mod idempotency;
mod jobs;
mod listen;
mod metrics;
mod models;
mod openapi;
mod pace;
mod pages;
mod parts;
mod predict;
mod recipes;
mod reports;
mod storage;
mod sweeps;
mod trace;
mod v2;
mod webhooks;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use access::{AccessError, check_access};
pub use error::{ApiError, Problem};
pub use openapi::{openapi, openapi_json};

use crate::config::Settings;
use crate::inference::Predictor;
use crate::jobs::WorkerHealth;
use crate::storage::Storage;
use crate::store::Store;
use crate::upkeep;
use access::Rates;
use datasets::{Ingestor, Thumbnails};
use extract::accepted;
use idempotency::InFlight;

/// What the handlers need; clones share it.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Limits and paths.
    pub settings: Arc<Settings>,
    /// The database.
    pub store: Store,
    /// Where files that don't change are kept.
    pub storage: Storage,
    /// The engine that classifies pictures.
    pub predictor: Predictor,
    /// How the worker processes fare.
    pub workers: WorkerHealth,
    ingestor: Ingestor,
    thumbnails: Thumbnails,
    rates: Rates,
    /// Keys of requests that are being answered.
    in_flight: InFlight,
    /// What the database knew of and the disk didn't when the server started.
    missing: Arc<OnceLock<Vec<String>>>,
    /// Cancelled when the server was asked to stop: from then on it isn't ready, and connections end after an answer.
    leaving: CancellationToken,
    /// Cancelled when it takes no more connections: streams that would never end then do.
    stopping: CancellationToken,
}

impl AppState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(settings: Arc<Settings>, store: Store, storage: Storage, predictor: Predictor, workers: WorkerHealth) -> Self {
        let ingestor = Ingestor::new(settings.clone(), store.clone(), storage.clone());
        let thumbnails = Thumbnails::new(settings.decode_threads);
        let (rates, in_flight, missing) = (Rates::default(), InFlight::default(), Arc::default());
        let (leaving, stopping) = (CancellationToken::new(), CancellationToken::new());
        Self {
            settings,
            store,
            storage,
            predictor,
            workers,
            ingestor,
            thumbnails,
            rates,
            in_flight,
            missing,
            leaving,
            stopping,
        }
    }
}

/// Serves until `shutdown` is over. Then it says at once that it isn't ready, takes connections for as long as the settings let
/// others notice, and lets requests in flight finish, for as long as the settings allow.
///
/// At the start, data sets whose ingestion was interrupted are taken up again, what an earlier run left is removed or put aside,
/// and what is missing is told to the log and `/readyz`.
///
/// # Errors
/// A database or folder that can't be used at the start.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    state.ingestor.recover().await?;
    upkeep::tidy(&state.settings, &state.store, &state.storage).await?;
    // Set once: a state is served once.
    let _ = state.missing.set(upkeep::missing(&state.settings, &state.store, &state.storage).await?);
    let (leaving, stopping) = (state.leaving.clone(), state.stopping.clone());
    let lame_duck = Duration::from_millis(state.settings.lame_duck_ms);
    let drain = Duration::from_secs(u64::from(state.settings.drain_seconds));
    let ingestor = state.ingestor.clone();
    let asked = async move {
        shutdown.await;
        leaving.cancel();
        tokio::time::sleep(lame_duck).await;
    };
    let upkeep = tokio::spawn(metrics::upkeep());
    let bounds = listen::Bounds::of(&state.settings);
    let mut connections = listen::accept(listener, router(state), bounds, asked).await;
    stopping.cancel();
    if tokio::time::timeout(drain, connections.ended()).await.is_err() {
        tracing::warn!(seconds = drain.as_secs(), "requests were still in flight and are cut off");
    }
    drop(connections);
    upkeep.abort();
    ingestor.stop().await;
    Ok(())
}

/// Why the server can't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The network or the file system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The data folder can't be tidied up.
    #[error(transparent)]
    Upkeep(#[from] upkeep::UpkeepError),
}

/// The routes of every resource, with what OpenAPI says of them.
fn resources() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(datasets::router())
        .merge(recipes::router())
        .merge(jobs::router())
        .merge(sweeps::router())
        .merge(models::router())
        .merge(reports::router())
        .merge(download::router())
        .merge(predict::router())
        .merge(v2::router())
        .merge(health::router())
        .merge(metrics::router())
        .merge(access::router())
}

fn router(state: AppState) -> Router {
    let max_request = state.settings.max_request_bytes;
    let (resources, _) = resources().split_for_parts();
    // Pages ask it past everything that guards the network, but not past what their readers' keys are good for.
    let within = resources.clone().layer(from_fn(access::within)).with_state(state.clone());
    resources
        // Relative, so that a prefix does no harm.
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi()).config(Config::from("../openapi.json")))
        .merge(pages::router(within))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(max_request))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| panicked(&*panic)))
        .layer(from_fn_with_state(pace::Pace::of(&state.settings), pace::keep))
        // Outside of what catches panics, so that a change that ends in one is noted.
        .layer(from_fn_with_state(state.clone(), access::guard))
        .layer(from_fn_with_state(state.clone(), guard::check))
        .layer(from_fn_with_state(state.clone(), headers::add))
        .layer(from_fn(metrics::count))
        .layer(from_fn(trace::trace))
        .with_state(state)
}

async fn not_found(uri: Uri, headers: HeaderMap) -> Response {
    if accepted(&headers, &["application/json", "text/html"]) == "text/html" {
        return pages::nothing_here(uri.path());
    }
    let detail = format!("nothing is at {}: /docs lists the addresses that there are", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", detail).into_response()
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let detail = format!("{} does not take {method}: the header `allow` lists what it takes", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::internal(format_args!("a handler panicked: {}", text.unwrap_or("without a text"))).into_response()
}

#[cfg(test)]
mod tests;
