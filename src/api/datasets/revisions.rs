//! A data set made of another: pictures left out, pictures of another class.

use std::collections::BTreeMap;
use std::io;
use std::path::Path as FsPath;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{DatasetBody, entered, refuse_damaged};
use crate::api::access::Caller;
use crate::api::extract::{Json, Path};
use crate::api::idempotency::{IdempotencyHeader, Keyed, Promise, answered};
use crate::api::storage::demand_room;
use crate::api::{ApiError, AppState, Problem};
use crate::dataset::Ingested;
use crate::dataset::revise::{Changes, ReviseError, revised};
use crate::names::Name;
use crate::store::{Answer, Conflict, Dataset, NewDataset, StoreError};

/// What is to be different.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevisionRequest {
    /// The new data set's name: 1 to 64 of `a-z A-Z 0-9 - _ .`, beginning with a letter or digit.
    #[schema(example = "flowers17-clean")]
    name: String,
    /// Numbers of pictures to leave out.
    #[serde(default)]
    exclude: Vec<u64>,
    /// Pictures that get another class.
    #[serde(default)]
    relabel: Vec<Relabel>,
}

/// A picture and its new class.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Relabel {
    /// The picture's number.
    image: u64,
    /// Its class from now on; it needn't be there yet.
    label: String,
}

/// Make a dataset of another
///
/// The new one has the same pictures but for those that are left out, and other classes for those that are given one; the old one stays
/// as it is. Pictures are shared, not copied, and what was computed of them too.
#[utoipa::path(
    post,
    path = "/v1/datasets/{id}/revisions",
    operation_id = "revise_dataset",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name"), IdempotencyHeader),
    request_body = RevisionRequest,
    responses(
        (status = CREATED, body = DatasetBody, headers(("location" = String, description = "The new dataset"))),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json",
         description = "The name is taken, or the dataset isn't ready"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "Fields that must change, or too little would be left"),
        (status = INSUFFICIENT_STORAGE, body = Problem, content_type = "application/problem+json",
         description = "The server's disk is full"),
    ),
)]
pub(super) async fn revise(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Keyed(Json(request), promise): Keyed<Json<RevisionRequest>>,
) -> Result<Response, ApiError> {
    let name: Name = request.name.parse().map_err(|error| ApiError::field("name", format!("{error}")))?;
    let changes = changes(request.exclude, request.relabel)?;
    let dataset = state.store.dataset(&id).await?;
    if let Some(conflict) = Conflict::of_dataset(dataset.state) {
        return Err(StoreError::from(conflict).into());
    }
    refuse_damaged(&state, &dataset).await?;
    demand_room(&state.settings, 0).await?;
    let images = state.store.all_images(dataset.id).await?;
    let classes: Vec<String> = dataset.classes.iter().map(|class| class.name.clone()).collect();
    let ingested = tokio::task::spawn_blocking(move || revised(&classes, &images, &changes)).await;
    let ingested = ingested.map_err(ApiError::internal)??;
    let new = NewDataset {
        id: Uuid::now_v7(),
        name,
        bytes: dataset.bytes,
        archive_sha256: dataset.archive_sha256.clone().unwrap_or_default(),
        allowance: caller.allowance(),
    };
    // A task of its own: the client's going away must not leave half a data set.
    let entered = tokio::spawn(enter(state, dataset.id, new, ingested, promise)).await.map_err(ApiError::internal)??;
    answered(made(&entered).map_err(ApiError::internal)?)
}

fn made(dataset: &Dataset) -> serde_json::Result<Answer> {
    entered(StatusCode::CREATED, dataset)
}

/// The pack first: a row of a ready data set always has one. What a crash leaves in between is a folder that nobody knows, which the next
/// start puts aside.
async fn enter(
    state: AppState,
    source: Uuid,
    new: NewDataset,
    ingested: Ingested,
    promise: Option<Promise>,
) -> Result<Dataset, ApiError> {
    let (folder, id) = (state.settings.dataset_dir(new.id), new.id);
    let (from, to) = (state.settings.pack(source), state.settings.pack(id));
    let fetched = state.storage.fetch(&from).await.map_err(|error| ApiError::kept("dataset", error))?;
    let dest = to.clone();
    let shared = tokio::task::spawn_blocking(move || share(&from, &dest)).await.map_err(ApiError::internal)?;
    shared.map_err(|error| ApiError::disk(&error))?;
    drop(fetched);
    state.storage.keep(&to).await.map_err(|error| ApiError::kept("dataset", error))?;
    let entered = state.store.insert_revision(&new, &ingested, promise.as_ref().map(|promise| promise.keep(made))).await;
    if entered.is_err() {
        // Should this fail, the next start puts it aside.
        let _ = state.storage.remove_folder(&folder).await;
    }
    Ok(entered?)
}

/// The same file under another name; where the file system has no such thing, a copy. A pack never changes, so nobody can tell.
fn share(from: &FsPath, to: &FsPath) -> io::Result<()> {
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder)?;
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to)?;
        std::fs::File::open(to)?.sync_all()?;
    }
    std::fs::File::open(folder)?.sync_all()
}

impl From<ReviseError> for ApiError {
    fn from(error: ReviseError) -> Self {
        match error {
            ReviseError::NoSuchImage(_) => Self::field("image", error.to_string()),
            ReviseError::Both(_) | ReviseError::Nothing => Self::field("exclude", error.to_string()),
            ReviseError::ClassName { .. } => Self::field("relabel", error.to_string()),
            ReviseError::TooLittle(error) => error.into(),
            ReviseError::Damaged { .. } => Self::internal(error),
        }
    }
}

fn changes(exclude: Vec<u64>, relabel: Vec<Relabel>) -> Result<Changes, ApiError> {
    let mut labels: BTreeMap<u64, String> = BTreeMap::new();
    for Relabel { image, label } in relabel {
        if labels.insert(image, label).is_some() {
            return Err(ApiError::field("relabel", format!("image {image} is named twice: name it once")));
        }
    }
    Ok(Changes { exclude: exclude.into_iter().collect(), relabel: labels })
}
