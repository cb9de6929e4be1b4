//! Reading uploaded archives in the background, a bounded number at once.
//!
//! The archive stays until the data set's row says how it went. So whatever happens in between, the next start finds the
//! archive and reads it again; reading is the same each time.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::IngestionBody;
use crate::api::ServeError;
use crate::config::Settings;
use crate::dataset::ingest::{IngestProgress, ingest};
use crate::dataset::{DatasetError, IngestFailure, Ingested};
use crate::store::{Failure, OverQuota, Store, StoreError};

/// A handle; clones share the work.
#[derive(Debug, Clone)]
pub struct Ingestor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    store: Store,
    /// One for each archive that may be read at the same time.
    permits: Semaphore,
    tasks: TaskTracker,
    /// Set when the server stops; readers look at it between entries.
    stop: AtomicBool,
    /// A plain lock, not an async one: it is held for a few instructions and never across an await.
    progress: Mutex<HashMap<Uuid, IngestProgress>>,
}

impl Ingestor {
    pub(in crate::api) fn new(settings: Arc<Settings>, store: Store) -> Self {
        let permits = Semaphore::new(settings.ingestions as usize);
        let shared = Shared {
            settings,
            store,
            permits,
            tasks: TaskTracker::new(),
            stop: AtomicBool::new(false),
            progress: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has a data set's archive read as soon as its turn comes.
    pub(super) fn enqueue(&self, id: Uuid) {
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move { shared.run(id).await });
    }

    /// How far the reading of a data set has come, while it goes on.
    pub(super) fn progress(&self, id: Uuid) -> Option<IngestionBody> {
        let progress = self.shared.progress().get(&id).copied()?;
        let IngestProgress { accepted, rejected, fraction, .. } = progress;
        Some(IngestionBody { accepted, rejected, fraction })
    }

    /// Takes up what an earlier run of the server left: 1. data sets that were being read are read again if their archive is
    /// there, else they failed; 2. files of uploads that came to nothing, and folders of deleted data sets, are removed.
    pub(in crate::api) async fn recover(&self) -> Result<(), ServeError> {
        let Shared { settings, store, .. } = &*self.shared;
        let mut wanted = Vec::new();
        for dataset in store.ingesting_datasets().await? {
            if tokio::fs::try_exists(settings.archive(dataset.id)).await? {
                tracing::info!(dataset = %dataset.id, "its archive is read again");
                wanted.push(dataset.id);
            } else {
                let message = "the server stopped before the archive was read, and the archive is gone: upload it again";
                let failure = Failure { code: "interrupted".to_owned(), message: message.to_owned() };
                store.fail_dataset(dataset.id, &failure, &[]).await?;
            }
        }
        let archives: Vec<_> = wanted.iter().map(|id| settings.archive(*id)).collect();
        let uploads = settings.uploads_dir();
        tokio::task::spawn_blocking(move || clear(&uploads, |path| archives.iter().any(|archive| archive == path)))
            .await
            .map_err(io::Error::other)??;
        self.clear_folders().await?;
        wanted.into_iter().for_each(|id| self.enqueue(id));
        Ok(())
    }

    async fn clear_folders(&self) -> Result<(), ServeError> {
        let folders = self.shared.settings.data_dir.join("datasets");
        let mut entries = match tokio::fs::read_dir(folders).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        while let Some(entry) = entries.next_entry().await? {
            let Some(id) = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok()) else { continue };
            if let Err(StoreError::NotFound(_)) = self.shared.store.dataset(&id.to_string()).await {
                tokio::fs::remove_dir_all(entry.path()).await?;
            }
        }
        Ok(())
    }

    /// Ends what is under way; it is taken up at the next start.
    pub(in crate::api) async fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.permits.close();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, HashMap<Uuid, IngestProgress>> {
        // Nothing that could panic runs under the lock.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, id: Uuid) {
        // Closed: the server stops, and the next start takes it up.
        let Ok(_permit) = self.permits.acquire().await else { return };
        let reader = self.clone();
        let read = tokio::task::spawn_blocking(move || reader.read(id)).await;
        self.progress().remove(&id);
        let kept = match read {
            Ok(Ok(ingested)) => match self.store.finish_dataset(id, &ingested).await {
                Err(StoreError::OverQuota(over)) => self.give_up(id, &over, &ingested.rejected).await,
                finished => finished,
            },
            Ok(Err(IngestFailure { error: DatasetError::Stopped, .. })) => return,
            Ok(Err(IngestFailure { error, rejected })) => self.fail(id, &error, &rejected).await,
            Err(panicked) => {
                tracing::error!(dataset = %id, error = %panicked, "reading an archive panicked");
                self.store.fail_dataset(id, &internal(), &[]).await
            }
        };
        match kept {
            Ok(()) => {
                // Should this fail, the next start removes it.
                let _ = tokio::fs::remove_file(self.settings.archive(id)).await;
            }
            Err(error) => {
                tracing::error!(dataset = %id, %error, "how the reading went can't be noted; the next start reads again")
            }
        }
    }

    fn read(&self, id: Uuid) -> Result<Ingested, IngestFailure> {
        let pack = self.settings.pack(id);
        std::fs::create_dir_all(self.settings.dataset_dir(id)).map_err(|source| IngestFailure {
            error: DatasetError::Io { doing: "making the dataset's folder", source },
            rejected: Vec::new(),
        })?;
        let note = |progress| {
            self.progress().insert(id, progress);
        };
        ingest(&self.settings.archive(id), &pack, &self.settings.dataset_limits(), &note, &self.stop)
    }

    /// What came out of the archive is more than its key may have.
    async fn give_up(&self, id: Uuid, over: &OverQuota, rejected: &[crate::dataset::Rejected]) -> Result<(), StoreError> {
        // Should this fail, the quota doesn't count it, and the folder goes with the data set.
        if let Err(error) = tokio::fs::remove_dir_all(self.settings.dataset_dir(id)).await {
            tracing::warn!(dataset = %id, %error, "the pictures of a dataset that is over its key's quota are left over");
        }
        let failure = Failure { code: "quota_exceeded".to_owned(), message: over.to_string() };
        self.store.fail_dataset(id, &failure, rejected).await
    }

    async fn fail(&self, id: Uuid, error: &DatasetError, rejected: &[crate::dataset::Rejected]) -> Result<(), StoreError> {
        let failure = if error.is_senders() {
            Failure { code: error.code().to_owned(), message: error.to_string() }
        } else {
            tracing::error!(dataset = %id, %error, "reading an archive failed");
            internal()
        };
        // The folder holds nothing: a failed reading leaves no pack.
        let _ = tokio::fs::remove_dir(self.settings.dataset_dir(id)).await;
        self.store.fail_dataset(id, &failure, rejected).await
    }
}

/// What a sender is told of trouble that isn't theirs.
fn internal() -> Failure {
    let message = "something went wrong on the server while the archive was read: upload it again";
    Failure { code: "internal".to_owned(), message: message.to_owned() }
}

/// Removes the files in a folder, but those to be kept.
fn clear(folder: &Path, keep: impl Fn(&Path) -> bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == "part" || extension == "archive");
        if is_ours && !keep(&path) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
