//! The store that others share, and what this machine has of it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Location;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutPayload};

use super::cache::{Cache, Pin};
use super::evict::Evicted;
use super::files::blocking;
use super::flight::Flights;
use super::key::Key;
use super::{Kept, StorageError, telemetry};

/// Files of a folder that are fetched at once.
const ABREAST: usize = 4;

/// What is written to see whether that is allowed. Its name is no key.
const PROBE: &str = ".topgraft-check";

/// A store and the cache of it.
pub struct Remote {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Whether objects can carry the name of who wrote them.
    pub(super) signed: bool,
    pub(super) cache: Arc<Cache>,
    root: Arc<Path>,
    pub(super) flights: Flights,
}

impl Remote {
    /// The files of `store`, below `root` here. `signed` if its objects can have attributes.
    pub fn new(store: Arc<dyn ObjectStore>, signed: bool, root: &Arc<Path>, cache_bytes: u64) -> Self {
        let cache = Arc::new(Cache::new(root, cache_bytes));
        Self { store, signed, cache, root: Arc::clone(root), flights: Flights::default() }
    }

    /// The same, but for a folder here in which others make room.
    pub fn leaving(&self, apart: Key) -> Self {
        let (store, root) = (Arc::clone(&self.store), Arc::clone(&self.root));
        Self { store, signed: self.signed, cache: Arc::new(self.cache.leaving(apart)), root, flights: Flights::default() }
    }

    /// Tries whether files can be written, listed and removed.
    pub async fn check(&self) -> Result<(), StorageError> {
        let probe = Location::from(PROBE);
        self.store.put(&probe, PutPayload::from_static(b"")).await.map_err(StorageError::of(PROBE))?;
        self.store.list(Some(&probe)).try_next().await.map_err(StorageError::of(PROBE))?;
        gone(self.store.delete(&probe).await).map_err(StorageError::of(PROBE))
    }

    /// Where a file is on this machine, once it is.
    pub(super) fn path(&self, key: &Key) -> PathBuf {
        key.path(&self.root)
    }

    /// What blocks on this machine's files.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        key: &Key,
        work: impl FnOnce(&Cache, &Key) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (cache, for_work) = (Arc::clone(&self.cache), key.clone());
        blocking(move || work(&cache, &for_work)).await.map_err(StorageError::at(&self.path(key)))
    }

    /// Makes a file local and keeps it so.
    pub async fn fetch(&self, key: &Key) -> Result<Pin, StorageError> {
        let outcome = self.local_or_fetched(key).await;
        telemetry::fetch(match &outcome {
            Ok((_, result)) => result,
            Err(_) => "failed",
        });
        outcome.map(|(pin, _)| pin)
    }

    async fn local_or_fetched(&self, key: &Key) -> Result<(Pin, &'static str), StorageError> {
        if let Some(pin) = self.on_disk(key, Cache::pin).await? {
            return Ok((pin, "local"));
        }
        let _turn = self.flights.turn(key).await;
        if let Some(pin) = self.on_disk(key, Cache::pin).await? {
            return Ok((pin, "local"));
        }
        let (pin, bytes) = self.receive(key).await?;
        self.grew(key, bytes).await;
        Ok((pin, "fetched"))
    }

    /// Makes all files of a folder local and keeps them so.
    pub async fn fetch_folder(&self, dir: &Key) -> Result<Pin, StorageError> {
        let kept = self.list(dir).await?;
        if kept.is_empty() {
            let local = self.on_disk(dir, Cache::pin_folder).await?;
            return local.ok_or_else(|| StorageError::NotFound { key: dir.to_string() });
        }
        // First, so that what comes stays.
        let pin = self.on_disk(dir, Cache::make_and_pin_folder).await?;
        let files = futures_util::stream::iter(kept.iter().map(Ok));
        files.try_for_each_concurrent(ABREAST, |file| async move { self.fetch(&file.key).await.map(drop) }).await?;
        Ok(pin)
    }

    /// Reads a range of a file that isn't here.
    pub async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StorageError> {
        let outside = || StorageError::Invalid(format!("{}..{} isn't inside {key}", range.start, range.end));
        if range.is_empty() {
            // Stores refuse to be asked for nothing.
            let length = self.length(key).await?;
            return if range.start == range.end && range.end <= length { Ok(Bytes::new()) } else { Err(outside()) };
        }
        let options = GetOptions::new().with_range(Some(range.clone()));
        let answer = self.store.get_opts(&key.location(), options).await.map_err(StorageError::of(key))?;
        if answer.range != range {
            return Err(outside());
        }
        let bytes = answer.bytes().await.map_err(StorageError::of(key))?;
        telemetry::received(bytes.len() as u64);
        if bytes.len() as u64 != range.end - range.start {
            return Err(StorageError::Unavailable { reason: "the connection broke".to_owned() });
        }
        Ok(bytes)
    }

    async fn length(&self, key: &Key) -> Result<u64, StorageError> {
        self.store.head(&key.location()).await.map(|found| found.size).map_err(StorageError::of(key))
    }

    /// Whether the store has a file.
    pub async fn exists(&self, key: &Key) -> Result<bool, StorageError> {
        match self.length(key).await {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the store has below a folder. Names that no file here has are passed over: somebody else put them there.
    pub async fn list(&self, dir: &Key) -> Result<Vec<Kept>, StorageError> {
        let found = self.store.list(Some(&dir.location())).map_err(StorageError::of(dir));
        let kept = found.try_filter_map(async |object| {
            let key = Key::parse(object.location.as_ref());
            Ok(key.and_then(|key| Kept::of(dir, key, object.size)))
        });
        let mut kept: Vec<Kept> = kept.try_collect().await?;
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(kept)
    }

    /// Removes a file, everywhere.
    pub async fn remove(&self, key: &Key) -> Result<(), StorageError> {
        gone(self.store.delete(&key.location()).await).map_err(StorageError::of(key))?;
        self.on_disk(key, Cache::remove).await
    }

    /// Removes a folder, everywhere.
    pub async fn remove_folder(&self, dir: &Key) -> Result<(), StorageError> {
        // All that is there, whoever put it there; and listed before anything goes, which not every store bears meanwhile.
        let found = self.store.list(Some(&dir.location())).map_ok(|object| Ok(object.location));
        let found: Vec<_> = found.try_collect().await.map_err(StorageError::of(dir))?;
        let mut removed = self.store.delete_stream(futures_util::stream::iter(found).boxed());
        while let Some(outcome) = removed.next().await {
            gone(outcome.map(drop)).map_err(StorageError::of(dir))?;
        }
        self.on_disk(dir, Cache::remove_folder).await
    }

    /// Removes files of a folder from the store, those first that were kept first, until they have so many bytes or fewer.
    pub async fn trim(&self, dir: &Key, budget: u64) -> Result<Evicted, StorageError> {
        let found = self.store.list(Some(&dir.location())).map_err(StorageError::of(dir));
        let mut found: Vec<_> = found.try_collect().await?;
        found.sort_by(|a, b| (b.last_modified, &b.location).cmp(&(a.last_modified, &a.location)));
        let (mut total, mut trimmed) = (0u64, Evicted::default());
        for object in found {
            total = total.saturating_add(object.size);
            if total > budget {
                gone(self.store.delete(&object.location).await).map_err(StorageError::of(dir))?;
                trimmed.files += 1;
                trimmed.bytes += object.size;
            }
        }
        Ok(trimmed)
    }

    /// Makes room, if copies take more than they may.
    pub async fn evict(&self) -> Result<Evicted, StorageError> {
        let cache = Arc::clone(&self.cache);
        let evicted = blocking(move || cache.evict()).await.map_err(StorageError::at(&self.root))?;
        telemetry::evicted(&evicted);
        Ok(evicted)
    }

    /// There are copies of so many bytes more.
    pub(super) async fn grew(&self, key: &Key, bytes: u64) {
        if !self.cache.grew(key, bytes) {
            return;
        }
        // Whoever made the copy has it; that others take too much room is no fault of theirs.
        if let Err(error) = self.evict().await {
            tracing::warn!(%error, "copies of what is in the storage couldn't make room");
        }
    }
}

/// What isn't there needs no removing.
fn gone(outcome: object_store::Result<()>) -> object_store::Result<()> {
    match outcome {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        outcome => outcome,
    }
}
