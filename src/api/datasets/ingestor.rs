//! Reading uploaded archives in the background, a bounded number at once.
//!
//! The archive stays until the data set's row says how it went. So whatever happens in between, the next start finds the
//! archive and reads it again; reading is the same each time. A full disk is waited for: the data set stays `ingesting`, and is
//! read again when there is room.
//!
//! Of servers that share a database, one reads an archive: it claims that, and renews the claim while it is at it. What nobody has a
//! claim on any more another takes up.

mod claims;
mod failures;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::IngestionBody;
use crate::api::ServeError;
use crate::config::Settings;
use crate::dataset::ingest::{IngestProgress, ingest};
use crate::dataset::{DatasetError, IngestFailure, Ingested};
use crate::disk::{Trouble, trouble};
use crate::jobs::has_room;
use crate::storage::{Storage, StorageError};
use crate::store::{Store, StoreError};
use claims::clear;
use failures::internal;

/// How long a full disk is waited for before the next look; doubled for each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a reading came to.
enum Outcome {
    /// The row says how it went.
    Over,
    /// The server stops, or the database is broken: the next start reads again.
    Left,
    /// The machine's trouble, in words for the sender: read again when it has passed.
    Waits(&'static str),
}

/// A handle; clones share the work.
#[derive(Debug, Clone)]
pub struct Ingestor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    store: Store,
    storage: Storage,
    /// Names this process in claims.
    token: Uuid,
    /// One for each archive that may be read at the same time.
    permits: Semaphore,
    tasks: TaskTracker,
    /// Set when the server stops; readers look at it between entries.
    stop: AtomicBool,
    /// Cancelled at the same time, for those that wait.
    stopping: CancellationToken,
    /// A plain lock, not an async one: it is held for a few instructions and never across an await.
    progress: Mutex<HashMap<Uuid, IngestProgress>>,
    /// What data sets wait for. A plain lock, for the same reason.
    waiting: Mutex<HashMap<Uuid, &'static str>>,
    /// The readings that this server has claimed. Likewise.
    claimed: Mutex<HashSet<Uuid>>,
}

impl Ingestor {
    pub(in crate::api) fn new(settings: Arc<Settings>, store: Store, storage: Storage) -> Self {
        let permits = Semaphore::new(settings.ingestions as usize);
        let shared = Shared {
            settings,
            store,
            storage,
            token: Uuid::now_v7(),
            permits,
            tasks: TaskTracker::new(),
            stop: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            progress: Mutex::default(),
            waiting: Mutex::default(),
            claimed: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has a data set's archive read as soon as its turn comes.
    pub(in crate::api) fn enqueue(&self, id: Uuid) {
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move {
            if shared.claim(id, true).await {
                shared.run(id).await;
            }
        });
    }

    /// Has the archives read of data sets whose reading is claimed.
    fn take_up(&self, claimed: Vec<Uuid>) {
        for id in claimed {
            self.shared.tasks.spawn(Arc::clone(&self.shared).run(id));
        }
    }

    /// How far the reading of a data set has come, while it goes on.
    pub(super) fn progress(&self, id: Uuid) -> Option<IngestionBody> {
        let progress = self.shared.progress().get(&id).copied()?;
        let IngestProgress { accepted, rejected, fraction, .. } = progress;
        Some(IngestionBody { accepted, rejected, fraction })
    }

    /// What a data set's reading waits for, if it does.
    pub(super) fn waiting(&self, id: Uuid) -> Option<&'static str> {
        self.shared.waiting().get(&id).copied()
    }

    /// Takes up what an earlier run of the server left: 1. data sets that were being read are read again if their archive is
    /// there, else they failed; 2. files of uploads that came to nothing are removed, and archives that nobody knows put aside.
    ///
    /// Where other servers may be, it looks again and again for what they leave, and clears nothing up that may be theirs.
    pub(in crate::api) async fn recover(&self) -> Result<(), ServeError> {
        let wanted = self.shared.left().await?;
        let (settings, shared) = (Arc::clone(&self.shared.settings), self.shared.store.is_shared());
        let archives: Vec<_> = wanted.iter().map(|id| settings.archive(*id)).collect();
        tokio::task::spawn_blocking(move || clear(&settings, &archives, shared)).await.map_err(io::Error::other)??;
        if shared {
            let ingestor = self.clone();
            self.shared.tasks.spawn(async move { ingestor.look().await });
        }
        self.take_up(wanted);
        Ok(())
    }

    /// Ends what is under way; it is taken up at the next start.
    pub(in crate::api) async fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.stopping.cancel();
        self.shared.permits.close();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        if let Err(error) = self.shared.store.release_readings(self.shared.token).await {
            tracing::warn!(%error, "other servers take up what wasn't read a little later");
        }
    }
}

impl Shared {
    fn claimed(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        // Nothing that could panic runs under the lock.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<Uuid, IngestProgress>> {
        // Nothing that could panic runs under the lock.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, &'static str>> {
        // As above.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until the row says how it went, waiting as long as the machine is in trouble; or until another server has the claim.
    async fn run(self: Arc<Self>, id: Uuid) {
        tokio::select! {
            () = Arc::clone(&self).read_on(id) => {}
            () = self.keep_claim(id) => tracing::warn!(dataset = %id, "its archive is another server's to read now"),
        }
        self.claimed().remove(&id);
    }

    /// Reads until the row says how it went, waiting as long as the machine is in trouble.
    async fn read_on(self: Arc<Self>, id: Uuid) {
        let mut pause = FIRST_PAUSE;
        loop {
            // Closed: the server stops, and the next start takes it up.
            let Ok(permit) = self.permits.acquire().await else { return };
            let outcome = self.attempt(id).await;
            drop(permit);
            self.progress().remove(&id);
            let waits = match outcome {
                Outcome::Waits(waits) => waits,
                Outcome::Left => return,
                Outcome::Over => {
                    self.waiting().remove(&id);
                    // Should this fail, the next start removes it.
                    let _ = self.storage.remove(&self.settings.archive(id)).await;
                    return;
                }
            };
            tracing::warn!(dataset = %id, seconds = pause.as_secs(), waits, "an archive is read again after a pause");
            self.waiting().insert(id, waits);
            if !self.room_after(pause).await {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for `pause`, and on until there is as much room as is to be left free; `false` if the server stops meanwhile.
    async fn room_after(&self, pause: Duration) -> bool {
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stopping.cancelled() => return false,
            }
            if has_room(&self.settings).await {
                return true;
            }
        }
    }

    async fn attempt(self: &Arc<Self>, id: Uuid) -> Outcome {
        let reader = Arc::clone(self);
        // Another server may have received it.
        let fetched = match self.storage.is_remote() {
            true => match self.storage.fetch(&self.settings.archive(id)).await {
                // Reading meets that. Any other refusal may end, and the archive is there then.
                Err(StorageError::NotFound { .. }) => None,
                Err(error) => return out_of_reach(id, &error),
                Ok(fetched) => Some(fetched),
            },
            false => None,
        };
        let read = tokio::task::spawn_blocking(move || reader.read(id)).await;
        drop(fetched);
        let kept = match read {
            Ok(Ok(ingested)) => {
                if let Err(error) = self.storage.keep(&self.settings.pack(id)).await {
                    return out_of_reach(id, &error);
                }
                match self.store.finish_dataset(id, &ingested).await {
                    Err(StoreError::OverQuota(over)) => self.give_up(id, &over, &ingested.rejected).await,
                    finished => finished,
                }
            }
            Ok(Err(IngestFailure { error: DatasetError::Stopped, .. })) => return Outcome::Left,
            Ok(Err(IngestFailure { error: DatasetError::Io { doing, source }, .. })) if trouble(&source).is_some() => {
                tracing::error!(dataset = %id, doing, error = %source, "reading an archive failed for now");
                return Outcome::Waits(match trouble(&source) {
                    Some(Trouble::Unavailable) => "the server can't write to its data folder right now",
                    _ => "the server's disk is full: reading goes on when there is room",
                });
            }
            Ok(Err(IngestFailure { error, rejected })) => self.fail(id, &error, &rejected).await,
            Err(panicked) => {
                tracing::error!(dataset = %id, error = %panicked, "reading an archive panicked");
                self.store.fail_dataset(id, &internal(), &[]).await
            }
        };
        match kept {
            Ok(()) => Outcome::Over,
            Err(error) if error.is_passing() => {
                tracing::error!(dataset = %id, %error, "how the reading went can't be noted for now");
                Outcome::Waits("the server's database can't be written right now: reading goes on when it can")
            }
            Err(error) => {
                tracing::error!(dataset = %id, %error, "how the reading went can't be noted; the next start reads again");
                Outcome::Left
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
}

/// The storage takes or gives nothing just now; should it refuse for good, somebody must see to that, and then reading goes on as well.
fn out_of_reach(id: Uuid, error: &StorageError) -> Outcome {
    tracing::error!(dataset = %id, %error, "the storage can't be used for now");
    Outcome::Waits("the server can't use its storage right now: reading goes on when it can")
}
