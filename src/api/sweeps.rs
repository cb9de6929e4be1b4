//! Sweeps: many recipes tried on one data set, compared, the best published on request.

mod body;
mod publish;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::access::Caller;
use super::datasets::refuse_damaged;
use super::extract::{Json, List, PageQuery, Path, Query};
use super::idempotency::{IdempotencyHeader, Keyed, answered, created};
use super::storage::demand_room;
use super::webhooks::WebhookRequest;
use super::{ApiError, AppState, Problem};
use crate::names::Name;
use crate::recipe::{InvalidSweep, Recipe, RecipeRequest, Vary, resolve_all};
use crate::store::{Answer, NewSweep, Submitted};
use body::SweepBody;

/// The most trials of one sweep that may run at the same time.
const MAX_CONCURRENCY: u32 = 64;

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(submit, list))
        .routes(routes!(show, delete))
        .routes(routes!(cancel))
        .routes(routes!(publish::publish))
}

/// What to try: a recipe with some fields varied, or a list of recipes. 1 to 256 trials.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SweepRequest {
    /// Id or name of the data set to train on.
    #[schema(example = "flowers17")]
    dataset: String,
    /// The model that trials are published as: 1 to 64 of `a-z A-Z 0-9 - _ .`, beginning with a letter or digit.
    #[schema(example = "flowers")]
    model: String,
    /// What the trials share; goes with `vary`.
    recipe: Option<RecipeRequest>,
    /// Dotted fields of the recipe, each with the values to try. Every combination is a trial; the last field's values change
    /// fastest.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<serde_json::Value>>>,
             example = json!({"warm_up.optimizer.learning_rate": [1e-3, 1e-4], "head.units": [128, 256]}))]
    vary: Option<Vary>,
    /// In place of `vary`: a recipe for each trial. Whatever one leaves out comes from its preset.
    recipes: Option<Vec<RecipeRequest>>,
    /// How many trials may run at the same time, 1 to 64, however many workers there are; 1 if left out.
    #[schema(minimum = 1, maximum = 64, default = 1)]
    concurrency: Option<u32>,
    /// Whom to tell when the last trial has ended.
    webhook: Option<WebhookRequest>,
}

/// The trials' recipes.
fn recipes(
    base: Option<RecipeRequest>,
    vary: Option<Vary>,
    whole: Option<Vec<RecipeRequest>>,
) -> Result<Vec<Recipe>, ApiError> {
    match (vary, whole) {
        (Some(vary), None) => Ok(vary.recipes(&base.unwrap_or_default())?),
        (None, Some(whole)) if base.is_none() => Ok(resolve_all(whole)?),
        (None, Some(_)) => Err(ApiError::field("recipe", "goes with vary: each of recipes is whole by itself")),
        (None, None) => Err(ApiError::field("vary", "or recipes must be given: they say what to try")),
        (Some(_), Some(_)) => Err(ApiError::field("recipes", "can't go with vary: give one of them")),
    }
}

impl From<InvalidSweep> for ApiError {
    fn from(invalid: InvalidSweep) -> Self {
        Self::unprocessable("invalid_sweep", invalid.to_string()).with_errors(invalid.0)
    }
}

/// Submit a sweep
///
/// Its trials are jobs: they are listed, followed and cancelled as any. They share the data set's bottleneck features, and
/// publish nothing by themselves. Two trials of the same recipe are refused.
#[utoipa::path(
    post,
    path = "/v1/sweeps",
    operation_id = "submit_sweep",
    tag = "sweeps",
    params(IdempotencyHeader),
    request_body = SweepRequest,
    responses(
        (status = ACCEPTED, body = SweepBody, description = "Queued",
         headers(("location" = String, description = "The sweep"))),
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
    Keyed(Json(request), promise): Keyed<Json<SweepRequest>>,
) -> Result<Response, ApiError> {
    let model: Name = request.model.parse().map_err(|error| ApiError::field("model", format!("{error}")))?;
    let concurrency = request.concurrency.unwrap_or(1);
    if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
        return Err(ApiError::field("concurrency", format!("must be from 1 to {MAX_CONCURRENCY}, not {concurrency}")));
    }
    let trials = recipes(request.recipe, request.vary, request.recipes)?;
    let webhook = request.webhook.map(|webhook| webhook.checked(&state.settings)).transpose()?;
    let dataset = state.store.dataset(&request.dataset).await?;
    refuse_damaged(&state, &dataset).await?;
    demand_room(&state.settings, 0).await?;
    let (id, allowance) = (Uuid::now_v7(), caller.allowance());
    let new = NewSweep { id, dataset: dataset.id, model, concurrency, trials, webhook, allowance };
    let sweep = state.store.insert_sweep(&new, promise.as_ref().map(|promise| promise.keep(submitted))).await?;
    answered(submitted(&sweep).map_err(ApiError::internal)?)
}

fn submitted(Submitted { sweep, trials }: &Submitted) -> serde_json::Result<Answer> {
    let location = format!("/v1/sweeps/{}", sweep.id);
    created(StatusCode::ACCEPTED, location, &SweepBody::whole(sweep.clone(), trials.clone()))
}

/// List sweeps, newest first
#[utoipa::path(
    get,
    path = "/v1/sweeps",
    operation_id = "list_sweeps",
    tag = "sweeps",
    params(PageQuery),
    responses((status = OK, body = List<SweepBody>)),
)]
async fn list(State(state): State<AppState>, Query(query): Query<PageQuery>) -> Result<Json<List<SweepBody>>, ApiError> {
    let sweeps = state.store.sweeps(query.cursor()?, query.limit()?).await?;
    let mut list = List::new(sweeps, |sweep| sweep.id.to_string(), SweepBody::of);
    body::settle(&mut list.items, &state).await?;
    Ok(Json(list))
}

/// Show a sweep and its leaderboard
#[utoipa::path(
    get,
    path = "/v1/sweeps/{id}",
    operation_id = "show_sweep",
    tag = "sweeps",
    params(("id" = Uuid, Path, description = "The sweep's id")),
    responses(
        (status = OK, body = SweepBody),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn show(State(state): State<AppState>, Path(id): Path<Uuid>) -> Result<Json<SweepBody>, ApiError> {
    Ok(Json(SweepBody::shown(state.store.sweep(id).await?, &state).await?))
}

/// Cancel a sweep
///
/// Trials that wait are cancelled at once, those that run as soon as their workers hear of it. Those that have succeeded can
/// still be published.
#[utoipa::path(
    post,
    path = "/v1/sweeps/{id}/cancel",
    operation_id = "cancel_sweep",
    tag = "sweeps",
    params(("id" = Uuid, Path, description = "The sweep's id")),
    responses(
        (status = OK, body = SweepBody, description = "The sweep as it is now"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "It is over"),
    ),
)]
async fn cancel(State(state): State<AppState>, Path(id): Path<Uuid>) -> Result<Json<SweepBody>, ApiError> {
    Ok(Json(SweepBody::shown(state.store.cancel_sweep(id).await?, &state).await?))
}

/// Delete a sweep that is over
///
/// What its trials learnt goes, but for what was published. The trials stay as jobs of no sweep.
#[utoipa::path(
    delete,
    path = "/v1/sweeps/{id}",
    operation_id = "delete_sweep",
    tag = "sweeps",
    params(("id" = Uuid, Path, description = "The sweep's id")),
    responses(
        (status = NO_CONTENT),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "Trials aren't over"),
    ),
)]
async fn delete(State(state): State<AppState>, Path(id): Path<Uuid>) -> Result<StatusCode, ApiError> {
    for trial in state.store.delete_sweep(id).await? {
        // From here on nothing refers to the folder. Should this fail, the next start removes it.
        let folder = state.settings.trial_dir(trial);
        if let Err(error) = state.storage.remove_folder(&folder).await {
            tracing::warn!(sweep = %id, folder = %folder.display(), %error, "a deleted sweep's trial is left over");
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
