//! `/metrics`: what the service tells Prometheus of itself.

use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ApiError, AppState};

/// Upper bounds of times, in seconds: from a cached answer to the longest that anybody waits for.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of batches.
const PICTURES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// How often samples are summed up when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    responses((status = OK, body = String, content_type = "text/plain")),
)]
async fn show(State(state): State<AppState>) -> Result<Response, ApiError> {
    let recorder = recorder().map_err(ApiError::internal)?;
    for (job_state, jobs) in state.store.count_jobs().await? {
        gauge!("topgraft_jobs", "state" => job_state.as_str()).set(jobs as f64);
    }
    Collector::default().collect();
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, recorder.render()).into_response())
}

/// Counts and times requests by route, not by address: there are as many addresses as anybody likes.
pub(super) async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    histogram!("topgraft_http_request_seconds", "route" => route.clone()).record(began.elapsed().as_secs_f64());
    counter!("topgraft_http_requests_total", "route" => route, "method" => method, "status" => status).increment(1);
    response
}

/// Sums samples up from time to time, so that they take no memory when nobody asks for them.
pub(super) async fn upkeep() {
    let recorder = match recorder() {
        Ok(recorder) => recorder,
        Err(error) => return tracing::error!(%error, "there are no metrics"),
    };
    loop {
        tokio::time::sleep(UPKEEP).await;
        recorder.run_upkeep();
    }
}

/// The process's one recorder, made when it is first asked for.
fn recorder() -> Result<&'static PrometheusHandle, &'static BuildError> {
    static RECORDER: OnceLock<Result<PrometheusHandle, BuildError>> = OnceLock::new();
    let recorder = RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Full("topgraft_batch_pictures".to_owned()), &PICTURES)?;
        let handle = builder.install_recorder()?;
        describe();
        Ok(handle)
    });
    recorder.as_ref()
}

fn describe() {
    Collector::default().describe();
    describe_counter!("topgraft_http_requests_total", "HTTP requests");
    describe_histogram!("topgraft_http_request_seconds", Unit::Seconds, "Time to the head of the answer");
    describe_gauge!("topgraft_http_connections", "Open connections");
    describe_counter!("topgraft_pictures_total", "Pictures to classify, by model and by what became of them");
    describe_histogram!("topgraft_picture_seconds", Unit::Seconds, "From admission to answer");
    describe_histogram!("topgraft_decode_seconds", Unit::Seconds, "Decoding and rendering a picture");
    describe_histogram!("topgraft_prefix_seconds", Unit::Seconds, "A batch's pass through the shared frozen prefix");
    describe_histogram!("topgraft_tail_seconds", Unit::Seconds, "The models' own layers for a batch");
    describe_histogram!("topgraft_batch_pictures", "Pictures in a batch");
    describe_gauge!("topgraft_queue_pictures", "Decoded pictures that wait for the device");
    // There from the start, so that nothing looks like no data.
    gauge!("topgraft_queue_pictures").set(0.0);
    describe_counter!("topgraft_model_loads_total", "Models brought into memory, or not");
    describe_counter!("topgraft_model_evictions_total", "Models that had to make room");
    describe_gauge!("topgraft_model_cache_bytes", Unit::Bytes, "What the loaded models take");
    describe_gauge!("topgraft_jobs", "Jobs by state");
    describe_counter!("topgraft_storage_fetches_total", "Files wanted of the storage, by whether they were here already");
    describe_counter!("topgraft_storage_received_bytes_total", Unit::Bytes, "What came from the storage");
    describe_counter!("topgraft_storage_sent_bytes_total", Unit::Bytes, "What went to the storage");
    describe_counter!("topgraft_storage_evicted_files_total", "Copies that had to make room");
    describe_counter!("topgraft_storage_evicted_bytes_total", Unit::Bytes, "Their bytes");
    describe_counter!("topgraft_webhook_deliveries_total", "Attempts to deliver a webhook, by what came of them");
}
