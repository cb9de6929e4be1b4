//! What is on this machine.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::cache::Pin;
use super::files::{self, blocking, if_there};
use super::key::Key;
use super::{Storage, StorageError};

/// A file in the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name below the folder that was listed, with `/` between the parts.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    pub(super) key: Key,
}

impl Kept {
    /// The file of this key, if it is below `dir`.
    pub(super) fn of(dir: &Key, key: Key, bytes: u64) -> Option<Self> {
        let name = dir.name_below(&key)?.to_owned();
        Some(Self { name, bytes, key })
    }
}

/// A file or folder that is on this machine, and isn't removed to make room while this lives, by any process. Where there is
/// a store, it takes an open file of this process, for a folder one as well.
#[derive(Debug)]
#[must_use = "what was fetched may be removed again once this is dropped"]
pub struct Local {
    path: PathBuf,
    /// None where there is no store, and nothing is removed.
    _pin: Option<Pin>,
}

impl Local {
    pub(super) fn new(path: &Path, pin: Option<Pin>) -> Self {
        Self { path: path.to_owned(), _pin: pin }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Storage {
    pub(super) fn key(&self, path: &Path) -> Result<Key, StorageError> {
        Key::of(&self.root, path)
    }

    /// The whole files in a folder here.
    pub(super) async fn files_here(&self, dir: &Path) -> Result<Vec<(PathBuf, u64)>, StorageError> {
        let folder = dir.to_owned();
        blocking(move || files::below(&folder)).await.map_err(StorageError::at(dir))
    }

    /// What a store would list if it had what is here.
    pub(super) async fn list_here(&self, dir: &Key) -> Result<Vec<Kept>, StorageError> {
        let here = self.files_here(&dir.path(&self.root)).await?.into_iter();
        let mut kept: Vec<Kept> = here.filter_map(|(path, bytes)| Kept::of(dir, self.key(&path).ok()?, bytes)).collect();
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(kept)
    }

    /// Reads a range of a file, if it is here.
    pub(super) async fn read_here(&self, key: &Key, range: &Range<u64>) -> Result<Option<Bytes>, StorageError> {
        let path = key.path(&self.root);
        let (opened, wanted, for_work, remote) = (path.clone(), range.clone(), key.clone(), self.remote.clone());
        let read = blocking(move || {
            let Some(file) = if_there(File::open(opened))? else { return Ok(None) };
            if let Some(remote) = remote {
                remote.cache.used(&for_work);
            }
            files::read(&file, &wanted).map(Some)
        });
        match read.await.map_err(StorageError::at(&path))? {
            Some(None) => Err(StorageError::Invalid(format!("{}..{} isn't inside {key}", range.start, range.end))),
            read => Ok(read.flatten()),
        }
    }

    pub(super) async fn is_here(&self, key: &Key) -> Result<bool, StorageError> {
        let path = key.path(&self.root);
        let found = blocking(move || if_there(fs::metadata(path))).await;
        found.map(|found| found.is_some()).map_err(StorageError::at(&key.path(&self.root)))
    }

    /// No pin: without a store nothing is removed to make room.
    pub(super) async fn must_exist(&self, key: &Key) -> Result<Option<Pin>, StorageError> {
        match self.is_here(key).await? {
            true => Ok(None),
            false => Err(StorageError::NotFound { key: key.to_string() }),
        }
    }
}
