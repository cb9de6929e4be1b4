//! Artifacts and pictures, here: where they are kept for several machines, they are fetched first.

use std::path::{Path, PathBuf};

use super::{ApiError, AppState};
use crate::artifact::{MANIFEST, REPORT, WEIGHTS};
use crate::storage::{Local, Storage, StorageError};
use crate::store::ModelVersion;

/// An artifact that is here, and stays as long as this lives.
#[derive(Debug)]
pub(super) struct Artifact {
    dir: PathBuf,
    _held: Vec<Local>,
}

impl Artifact {
    /// Its folder.
    pub(super) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }
}

/// The artifact of a version.
pub(super) async fn of_version(state: &AppState, version: &ModelVersion) -> Result<Artifact, ApiError> {
    of(&state.storage, state.settings.model_dir(&version.model, version.version)).await
}

/// The artifact in a folder.
pub(super) async fn of(storage: &Storage, dir: PathBuf) -> Result<Artifact, ApiError> {
    let mut held = Vec::new();
    if storage.is_remote() {
        // The manifest was kept last, so the others are there.
        for file in [MANIFEST, WEIGHTS, REPORT] {
            held.push(storage.fetch(&dir.join(file)).await.map_err(|error| ApiError::kept("model version", error))?);
        }
    }
    Ok(Artifact { dir, _held: held })
}

/// Whether a file that doesn't change is where it was put.
pub(super) async fn is_there(storage: &Storage, path: &Path) -> Result<bool, ApiError> {
    storage.exists(path).await.map_err(|error| ApiError::kept("dataset", error))
}

impl ApiError {
    /// The storage has no `what`, or can't be reached.
    pub(super) fn kept(what: &str, error: StorageError) -> Self {
        match error {
            StorageError::NotFound { .. } => Self::damaged(what, error),
            StorageError::Full { .. } => Self::storage_full(error),
            error if error.is_passing() => Self::storage_unavailable(error),
            error => Self::internal(error),
        }
    }
}
