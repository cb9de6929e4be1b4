//! Features in the storage, where the workers of all machines find what any of them computed.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;

use super::execute::ExecuteError;
use crate::config::Settings;
use crate::storage::{Storage, StorageError};
use crate::training::{Exchange, SegmentState, SharingError, verify_segment};

/// Segments that are fetched at once.
const ABREAST: usize = 4;

/// What training was told in words, for whoever has to decide what becomes of the job.
#[derive(Debug, Default)]
pub struct Trouble(RefCell<Option<ExecuteError>>);

impl Trouble {
    /// Keeps an error and gives training its words.
    pub fn told(&self, error: impl Into<ExecuteError>) -> SharingError {
        let error = error.into();
        let words = SharingError(error.to_string());
        // The first one is what all others came of.
        self.0.borrow_mut().get_or_insert(error);
        words
    }

    /// The error that was kept.
    pub fn take(&self) -> Option<ExecuteError> {
        self.0.take()
    }
}

/// The storage as features see it.
pub struct Bucket<'a> {
    storage: &'a Storage,
    runtime: &'a Handle,
    features_dir: PathBuf,
    pub trouble: Trouble,
}

impl fmt::Debug for Bucket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl<'a> Bucket<'a> {
    /// Of the features in the data folder that `settings` name.
    pub fn new(settings: &Settings, storage: &'a Storage, runtime: &'a Handle) -> Self {
        Self { storage, runtime, features_dir: settings.features_dir(), trouble: Trouble::default() }
    }

    /// Itself, where machines share a storage.
    pub fn shared(&self) -> Option<&dyn Exchange> {
        self.storage.is_remote().then_some(self as &dyn Exchange)
    }

    async fn fetched(&self, segment: &Path) -> Result<(), StorageError> {
        let local = match self.storage.fetch(segment).await {
            // It had to make room, or its data set was deleted.
            Err(StorageError::NotFound { .. }) => return Ok(()),
            Err(error @ StorageError::Damaged { .. }) => return self.discard(segment, &error).await,
            local => local?,
        };
        let path = local.path().to_owned();
        let looked = tokio::task::spawn_blocking(move || verify_segment(&path)).await;
        match looked {
            Ok(Ok(SegmentState::Damaged(reason))) => self.discard(segment, &reason).await,
            // What can't be read here is told by whoever opens it.
            _ => Ok(()),
        }
    }

    async fn discard(&self, segment: &Path, reason: &(dyn fmt::Display + Sync)) -> Result<(), StorageError> {
        tracing::warn!(path = %segment.display(), %reason, "a damaged segment of features is removed from the storage");
        self.storage.remove(segment).await
    }
}

impl Exchange for Bucket<'_> {
    fn list(&self, shelf: &str) -> Result<Vec<(String, u64)>, SharingError> {
        let kept = self.runtime.block_on(self.storage.list(&self.features_dir.join(shelf)));
        let kept = kept.map_err(|error| self.trouble.told(error))?;
        Ok(kept.into_iter().map(|file| (file.name, file.bytes)).collect())
    }

    fn fetch(&self, segments: &[PathBuf]) -> Result<(), SharingError> {
        let fetch = futures_util::stream::iter(segments).map(Ok).try_for_each_concurrent(ABREAST, |path| self.fetched(path));
        self.runtime.block_on(fetch).map_err(|error| self.trouble.told(error))
    }

    fn keep(&self, segment: &Path) -> Result<(), SharingError> {
        self.runtime.block_on(self.storage.keep(segment)).map_err(|error| self.trouble.told(error))
    }
}
