//! Training jobs: submit, look at, cancel, follow.

mod epochs;
mod events;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::access::Caller;
use super::datasets::refuse_damaged;
use super::extract::{Json, List, PageQuery, Path, Query};
use super::idempotency::{IdempotencyHeader, Keyed, answered, created};
use super::storage::demand_room;
use super::webhooks::{WebhookBody, WebhookRequest, settled};
use super::{ApiError, AppState, Problem};
use crate::names::Name;
use crate::recipe::{Recipe, RecipeRequest};
use crate::report::{FeaturePlan, Progress};
use crate::store::{Answer, DatasetName, Failure, Job, JobFilter, JobState, NewJob, Waiting};

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(submit, list))
        .routes(routes!(show))
        .routes(routes!(cancel))
        .routes(routes!(epochs::epochs))
        .routes(routes!(events::events))
}

/// What to train.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct JobRequest {
    /// Id or name of the data set to train on.
    #[schema(example = "flowers17")]
    dataset: String,
    /// The model whose next version the job publishes: 1 to 64 of `a-z A-Z 0-9 - _ .`, beginning with a letter or digit.
    #[schema(example = "flowers")]
    model: String,
    /// How to train; whatever is left out comes from the preset.
    #[serde(default)]
    recipe: RecipeRequest,
    /// Whom to tell when the job has ended.
    webhook: Option<WebhookRequest>,
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
struct JobBody {
    id: Uuid,
    state: JobState,
    /// The sweep that it is a trial of: then it publishes nothing by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Uuid>,
    /// What it trains on.
    dataset: DatasetName,
    /// What it publishes.
    model: JobModel,
    /// How it trains, whole.
    recipe: Recipe,
    /// What it keeps of the pictures between epochs; null until that is decided.
    features: Option<FeaturePlan>,
    /// How far it is; null until it runs.
    progress: Option<Progress>,
    /// How often it has been started.
    attempts: u32,
    /// Whether it stops as soon as its worker hears of it.
    cancel_requested: bool,
    /// Why it isn't begun, if it waits for more than a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    /// Whom to tell when it has ended, and whether that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookBody>,
    created_at: DateTime<Utc>,
    /// When it was last started.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
}

/// What a job publishes.
#[derive(Debug, Serialize, ToSchema)]
struct JobModel {
    /// The model's name.
    name: Name,
    /// The version, once it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        let version = job.published();
        Self {
            id: job.id,
            state: job.state,
            sweep: job.sweep,
            dataset: job.dataset,
            model: JobModel { name: job.model, version },
            recipe: job.recipe,
            features: job.features,
            progress: job.progress,
            attempts: job.attempts,
            cancel_requested: job.cancel_requested,
            waiting: job.waiting,
            error: job.error,
            webhook: job.webhook.map(WebhookBody::pending),
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

impl JobBody {
    /// The job with what has become of its webhook.
    async fn shown(job: Job, state: &AppState) -> Result<Self, ApiError> {
        let mut body = Self::from(job);
        settled(&state.store, body.webhook.iter_mut().map(|webhook| (body.id, webhook)).collect()).await?;
        Ok(body)
    }
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct JobQuery {
    /// Those in this state.
    state: Option<JobState>,
    /// Those that publish this model.
    #[param(value_type = Option<Name>)]
    model: Option<String>,
    /// Most items to answer with, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Submit a job
#[utoipa::path(
    post,
    path = "/v1/jobs",
    operation_id = "submit_job",
    tag = "jobs",
    params(IdempotencyHeader),
    request_body = JobRequest,
    responses(
        (status = ACCEPTED, body = JobBody, description = "Queued", headers(("location" = String, description = "The job"))),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such dataset"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "The dataset isn't ready"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "Fields that must change"),
        (status = INSUFFICIENT_STORAGE, body = Problem, content_type = "application/problem+json",
         description = "The server's disk is full"),
    ),
)]
async fn submit(
    State(state): State<AppState>,
    caller: Caller,
    Keyed(Json(request), promise): Keyed<Json<JobRequest>>,
) -> Result<Response, ApiError> {
    let model: Name = request.model.parse().map_err(|error| ApiError::field("model", format!("{error}")))?;
    let recipe = request.recipe.resolve()?;
    let webhook = request.webhook.map(|webhook| webhook.checked(&state.settings)).transpose()?;
    let dataset = state.store.dataset(&request.dataset).await?;
    refuse_damaged(&state, &dataset).await?;
    demand_room(&state.settings, 0).await?;
    // Whether it is ready is decided where the row is inserted; that a ready one can be split, where it was ingested.
    let (id, allowance) = (Uuid::now_v7(), caller.allowance());
    let new = NewJob { id, dataset: dataset.id, model, recipe, webhook, allowance };
    let job = state.store.insert_job(&new, promise.as_ref().map(|promise| promise.keep(submitted))).await?;
    answered(submitted(&job).map_err(ApiError::internal)?)
}

fn submitted(job: &Job) -> serde_json::Result<Answer> {
    created(StatusCode::ACCEPTED, format!("/v1/jobs/{}", job.id), &JobBody::from(job.clone()))
}

/// List jobs, newest first
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(JobQuery),
    responses((status = OK, body = List<JobBody>)),
)]
async fn list(State(state): State<AppState>, Query(query): Query<JobQuery>) -> Result<Json<List<JobBody>>, ApiError> {
    let model = query.model.as_deref().map(str::parse).transpose();
    let model = model.map_err(|error: crate::names::InvalidName| ApiError::field("model", error.to_string()))?;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let jobs = state.store.jobs(&JobFilter { state: query.state, model }, page.cursor()?, page.limit()?).await?;
    let mut list = List::new(jobs, |job| job.id.to_string(), JobBody::from);
    let webhooks = list.items.iter_mut().filter_map(|job| Some((job.id, job.webhook.as_mut()?)));
    settled(&state.store, webhooks.collect()).await?;
    Ok(Json(list))
}

/// Show a job
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "show_job",
    tag = "jobs",
    params(("id" = Uuid, Path, description = "The job's id")),
    responses(
        (status = OK, body = JobBody),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn show(State(state): State<AppState>, Path(id): Path<Uuid>) -> Result<Json<JobBody>, ApiError> {
    Ok(Json(JobBody::shown(state.store.job(id).await?, &state).await?))
}

/// Cancel a job
///
/// One that waits is cancelled at once, one that runs as soon as its worker hears of it, within seconds.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("id" = Uuid, Path, description = "The job's id")),
    responses(
        (status = OK, body = JobBody, description = "The job as it is now"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "It is over"),
    ),
)]
async fn cancel(State(state): State<AppState>, Path(id): Path<Uuid>) -> Result<Json<JobBody>, ApiError> {
    Ok(Json(JobBody::shown(state.store.request_cancel(id).await?, &state).await?))
}
