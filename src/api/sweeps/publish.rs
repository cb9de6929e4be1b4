//! Publishing a trial.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::extract::{Json, Path};
use crate::api::idempotency::{IdempotencyHeader, Keyed, Promise, answered, created};
use crate::api::models::VersionBody;
use crate::api::storage::demand_room;
use crate::api::{ApiError, AppState, Problem, artifacts};
use crate::artifact::{self, MANIFEST};
use crate::store::{Answer, Missing, ModelVersion, Published, Reserved, StoreError, Want};

/// What to publish.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishRequest {
    /// The trial, by its job's id; the best one if left out.
    trial: Option<Uuid>,
}

/// Publish a trial
///
/// As the next version of the sweep's model. A trial that was published before is answered with its version. The body may be
/// left out.
#[utoipa::path(
    post,
    path = "/v1/sweeps/{id}/publish",
    operation_id = "publish_trial",
    tag = "sweeps",
    params(("id" = Uuid, Path, description = "The sweep's id"), IdempotencyHeader),
    request_body = Option<PublishRequest>,
    responses(
        (status = CREATED, body = VersionBody, description = "Published",
         headers(("location" = String, description = "The version"))),
        (status = OK, body = VersionBody, description = "It had been published before",
         headers(("location" = String, description = "The version"))),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such sweep or trial"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json",
         description = "No trial has succeeded yet, or the one named hasn't"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json"),
        (status = INSUFFICIENT_STORAGE, body = Problem, content_type = "application/problem+json",
         description = "The server's disk is full"),
    ),
)]
pub(super) async fn publish(
    State(state): State<AppState>,
    Path(id): Path<Uuid>,
    Keyed(request, promise): Keyed<Option<Json<PublishRequest>>>,
) -> Result<Response, ApiError> {
    let trial = request.and_then(|Json(request)| request.trial);
    let reserved = state.store.reserve_trial(id, trial).await?;
    if reserved.job.published().is_none() {
        demand_room(&state.settings, 0).await?;
        let version = enter(&state, id, &reserved, promise.as_ref()).await?;
        return answered(published(&version).map_err(ApiError::internal)?);
    }
    let version = state.store.resolve(&reserved.job.model, &Want::Version(reserved.version)).await?;
    if let Some(promise) = &promise {
        state.store.remember(promise.keep(published_before), &version).await?;
    }
    answered(published_before(&version).map_err(ApiError::internal)?)
}

fn published(version: &ModelVersion) -> serde_json::Result<Answer> {
    let location = format!("/v1/models/{}/versions/{}", version.model, version.version);
    created(StatusCode::CREATED, location, &VersionBody::from(version.clone()))
}

fn published_before(version: &ModelVersion) -> serde_json::Result<Answer> {
    Ok(Answer { status: StatusCode::OK.as_u16(), ..published(version)? })
}

/// 1. The artifact into its model's folder; 2. the version into the database.
async fn enter(
    state: &AppState,
    sweep: Uuid,
    reserved: &Reserved,
    promise: Option<&Promise>,
) -> Result<ModelVersion, ApiError> {
    let Reserved { job, version, accuracy } = reserved;
    let dest = state.settings.model_dir(&job.model, *version);
    let trial = match artifacts::of(&state.storage, state.settings.trial_dir(job.id)).await {
        Ok(trial) => trial,
        Err(error) => {
            state.store.sweep(sweep).await?;
            return Err(error);
        }
    };
    let source = trial.dir();
    let copy = {
        let (dest, model, version) = (dest.clone(), job.model.clone(), version.unsigned_abs());
        move || artifact::republish(&source, &dest, model.as_str(), version)
    };
    let manifest = match tokio::task::spawn_blocking(copy).await.map_err(ApiError::internal)? {
        Ok(manifest) => manifest,
        Err(error) => {
            // Perhaps the trial's folder went because the sweep was deleted meanwhile.
            state.store.sweep(sweep).await?;
            return Err(error.into());
        }
    };
    state.storage.keep_folder(&dest, MANIFEST).await.map_err(|error| ApiError::kept("model version", error))?;
    let classes = u32::try_from(manifest.classes.len()).map_err(ApiError::internal)?;
    let entry = Published { version: *version, accuracy: *accuracy, precision: manifest.precision, classes };
    let entered = state.store.publish_trial(job.id, &entry, promise.map(|promise| promise.keep(published))).await;
    if let Err(StoreError::NotFound(Missing::Sweep)) = entered
        && let Err(error) = state.storage.remove_folder(&dest).await
    {
        tracing::warn!(dir = %dest.display(), %error, "an artifact that nobody owns couldn't be removed");
    }
    Ok(entered?)
}
