//! Data sets: upload, look at, delete.

mod audit;
mod features;
mod images;
mod ingestor;
pub(super) mod received;
mod revisions;
mod thumbnail;
mod upload;

use std::collections::HashSet;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::artifacts::is_there;
use super::extract::{Json, List, PageQuery, Path, Query};
use super::idempotency::created;
use super::{ApiError, AppState, Problem};
use crate::dataset::{ClassCount, Rejected};
use crate::names::Name;
use crate::store::{Answer, Dataset, DatasetState, Failure, Rejection};
use crate::upkeep;

pub(super) use ingestor::Ingestor;
pub(super) use thumbnail::Thumbnails;

/// The most rejections that a data set's own answer holds.
const REJECTED_SHOWN: u32 = 1_000;

/// What is wrong with a data set whose pack is gone.
const MISSING: &str =
    "its pictures are missing on the server: have them restored from a backup, or delete it and upload it again";

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(upload::upload, list))
        .routes(routes!(show, delete))
        .routes(routes!(images::list))
        .routes(routes!(images::show))
        .routes(routes!(rejected))
        .routes(routes!(audit::start, audit::show))
        .routes(routes!(audit::findings))
        .routes(routes!(revisions::revise))
}

/// A data set.
#[derive(Debug, Serialize, ToSchema)]
struct DatasetBody {
    id: Uuid,
    name: Name,
    state: DatasetState,
    /// Accepted pictures.
    images: u64,
    /// Sorted; a class's number is its place here.
    classes: Vec<ClassBody>,
    /// The first 1,000 entries that weren't taken; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Vec<RejectedBody>>,
    /// How many entries weren't taken.
    rejected_total: u64,
    /// How far its reading has come, while that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<IngestionBody>,
    /// What its reading waits for, if the server is in trouble; it goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<&'static str>,
    /// What is wrong with its files, if they aren't where they were put.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<&'static str>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    /// Length of the uploaded archive.
    bytes: u64,
    /// SHA-256 of the uploaded archive, to compare with the sender's.
    archive_sha256: Option<String>,
    /// SHA-256 over class names and pictures, once it is ready: equal for equal content, however it was packed.
    content_sha256: Option<String>,
    created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
}

/// A class of a data set.
#[derive(Debug, Serialize, ToSchema)]
struct ClassBody {
    name: String,
    /// Its pictures.
    images: u64,
}

/// An entry that wasn't taken.
#[derive(Debug, Serialize, ToSchema)]
struct RejectedBody {
    /// Where it was in the archive.
    path: String,
    /// Why.
    reason: String,
}

/// How far the reading of an archive has come.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct IngestionBody {
    /// Pictures accepted so far.
    accepted: u64,
    /// Entries rejected so far.
    rejected: u64,
    /// The part of the archive that has been dealt with, 0 to 1.
    fraction: f64,
}

impl DatasetBody {
    /// The data set as a list shows it.
    fn of(dataset: Dataset) -> Self {
        let class = |class: ClassCount| ClassBody { name: class.name, images: class.images };
        Self {
            id: dataset.id,
            name: dataset.name,
            state: dataset.state,
            images: dataset.images,
            classes: dataset.classes.into_iter().map(class).collect(),
            rejected: None,
            rejected_total: dataset.rejected,
            progress: None,
            waiting: None,
            damaged: None,
            error: dataset.error,
            bytes: dataset.bytes,
            archive_sha256: dataset.archive_sha256,
            content_sha256: dataset.content_sha256,
            created_at: dataset.created_at,
            finished_at: dataset.finished_at,
        }
    }
}

impl DatasetBody {
    /// The data set with how its reading fares, and whether it is among those that are damaged.
    fn now(state: &AppState, dataset: Dataset, damaged: &HashSet<Uuid>) -> Self {
        let id = dataset.id;
        let damaged = damaged.contains(&id).then_some(MISSING);
        let progress = state.ingestor.progress(id);
        let waiting = state.ingestor.waiting(id).filter(|_| dataset.state == DatasetState::Ingesting);
        Self { progress, waiting, damaged, ..Self::of(dataset) }
    }
}

/// The answer to a data set's making.
fn entered(status: StatusCode, dataset: &Dataset) -> serde_json::Result<Answer> {
    let body = DatasetBody { rejected: Some(Vec::new()), ..DatasetBody::of(dataset.clone()) };
    created(status, format!("/v1/datasets/{}", dataset.id), &body)
}

/// Questions that a storage is asked at the same time.
const QUESTIONS: usize = 16;

/// Those of ready data sets whose pictures aren't where they were put.
async fn damaged(state: &AppState, datasets: &[Dataset]) -> Result<HashSet<Uuid>, ApiError> {
    let ready = datasets.iter().filter(|dataset| dataset.state == DatasetState::Ready);
    let packs: Vec<_> = ready.map(|dataset| (dataset.id, state.settings.pack(dataset.id))).collect();
    let look = move || packs.into_iter().filter(|(_, pack)| !pack.is_file()).collect();
    let not_here: Vec<_> = tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)?;
    if !state.storage.is_remote() {
        return Ok(not_here.into_iter().map(|(id, _)| id).collect());
    }
    let asked = not_here.into_iter().map(|(id, pack)| async move { Ok((id, is_there(&state.storage, &pack).await?)) });
    let found: Vec<Result<_, ApiError>> = stream::iter(asked).buffer_unordered(QUESTIONS).collect().await;
    let missing = |found: Result<(Uuid, bool), ApiError>| found.map(|(id, there)| (!there).then_some(id)).transpose();
    found.into_iter().filter_map(missing).collect()
}

/// Refuses a data set whose pictures aren't where they were put.
pub(super) async fn refuse_damaged(state: &AppState, dataset: &Dataset) -> Result<(), ApiError> {
    if damaged(state, std::slice::from_ref(dataset)).await?.is_empty() {
        return Ok(());
    }
    Err(ApiError::damaged("dataset", state.settings.pack(dataset.id).display()))
}

impl From<Rejected> for RejectedBody {
    fn from(rejected: Rejected) -> Self {
        Self { path: rejected.path, reason: rejected.reason }
    }
}

/// List datasets, newest first
#[utoipa::path(
    get,
    path = "/v1/datasets",
    operation_id = "list_datasets",
    tag = "datasets",
    params(PageQuery),
    responses((status = OK, body = List<DatasetBody>)),
)]
async fn list(State(state): State<AppState>, Query(query): Query<PageQuery>) -> Result<Json<List<DatasetBody>>, ApiError> {
    let datasets = state.store.datasets(query.cursor()?, query.limit()?).await?;
    let damaged = damaged(&state, &datasets.items).await?;
    let body = |dataset: Dataset| DatasetBody::now(&state, dataset, &damaged);
    Ok(Json(List::new(datasets, |dataset| dataset.id.to_string(), body)))
}

/// Show a dataset
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}",
    operation_id = "show_dataset",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name")),
    responses(
        (status = OK, body = DatasetBody),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn show(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<DatasetBody>, ApiError> {
    let dataset = state.store.dataset(&id).await?;
    let rejections = state.store.rejections(dataset.id, None, REJECTED_SHOWN).await?.items;
    let rejected = rejections.into_iter().map(|rejection| rejection.rejected.into()).collect();
    let damaged = damaged(&state, std::slice::from_ref(&dataset)).await?;
    Ok(Json(DatasetBody { rejected: Some(rejected), ..DatasetBody::now(&state, dataset, &damaged) }))
}

/// Delete a dataset
///
/// Finished jobs and published models go on showing its name. Refused while it is being read and while unfinished jobs need
/// it.
#[utoipa::path(
    delete,
    path = "/v1/datasets/{id}",
    operation_id = "delete_dataset",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name")),
    responses(
        (status = NO_CONTENT),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "It is needed"),
    ),
)]
async fn delete(State(state): State<AppState>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = state.store.dataset(&id).await?.id;
    let content = state.store.delete_dataset(id).await?;
    // From here on nothing refers to the files. Should this fail, the next start removes what has the name of something deleted,
    // and puts aside what has not.
    let (folder, deleted) = (state.settings.dataset_dir(id), upkeep::deleted(&state.settings.datasets_dir(), id));
    if state.storage.is_remote()
        && let Err(error) = state.storage.remove_folder(&folder).await
    {
        tracing::warn!(dataset = %id, %error, "a deleted dataset's pictures are left over in the storage");
    }
    let removed = async {
        tokio::fs::rename(&folder, &deleted).await?;
        tokio::fs::remove_dir_all(&deleted).await
    };
    if let Err(error) = removed.await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(dataset = %id, folder = %folder.display(), %error, "a deleted dataset's folder is left over");
    }
    if let Some(content) = content {
        features::forget(&state, id, content).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// List what wasn't taken from the archive, in its order
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}/rejected",
    operation_id = "list_rejected",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name"), PageQuery),
    responses(
        (status = OK, body = List<RejectedBody>),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn rejected(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<RejectedBody>>, ApiError> {
    let dataset = state.store.dataset(&id).await?;
    let page = state.store.rejections(dataset.id, query.cursor()?, query.limit()?).await?;
    let body = |rejection: Rejection| rejection.rejected.into();
    Ok(Json(List::new(page, |rejection| rejection.number.to_string(), body)))
}
