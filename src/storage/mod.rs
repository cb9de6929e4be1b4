//! Where the files that never change are kept: on this machine alone, or in a store that several machines share.
//!
//! Without a store, the data folder is all there is, and nothing here does anything to it that its callers don't. With one,
//! the store holds the truth, under the names that the files have below the data folder, and the data folder is a cache of
//! it. Whoever makes a file writes it here first, as ever, and then has it *kept*. Whoever needs one has it *fetched*, which
//! is done at once if it is here, and holds on to what that returns while it reads. Copies of what the store holds are
//! removed to make room, those first that nobody has used for longest; files that were never kept or fetched aren't.
//!
//! Several processes may share a data folder. One may remove what another has open, which then reads on.
//!
//! Threads that may block call `handle.block_on(storage.fetch(&path))`, with the runtime's handle.

mod cache;
mod error;
mod evict;
mod files;
mod flight;
mod folder;
mod here;
mod key;
mod receive;
mod remote;
mod s3;
mod send;
mod telemetry;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;

use files::blocking;
use remote::Remote;
use url::Place;

pub use error::StorageError;
pub use evict::Evicted;
pub use here::{Kept, Local};
pub use receive::UNFINISHED;
pub use send::PART_BYTES;
pub use url::{InvalidStorageUrl, StorageUrl};

/// The storage of a data folder. Clones are the same one.
#[derive(Clone)]
pub struct Storage {
    root: Arc<Path>,
    remote: Option<Arc<Remote>>,
}

impl fmt::Debug for Storage {
    /// Without the client: it knows the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("root", &self.root).field("remote", &self.is_remote()).finish()
    }
}

impl Storage {
    /// The storage of the data folder `root`: the one at `url`, of which up to `cache_bytes` are kept here as well, or the
    /// folder alone. Nothing is sent yet; [`Storage::check`] tries whether it can be used.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the `AWS_…` variables don't say how to get in, or the store's folder isn't there or isn't
    /// apart from the data folder.
    pub fn open(url: Option<&StorageUrl>, root: &Path, cache_bytes: u64) -> Result<Self, StorageError> {
        let Some(url) = url else { return Ok(Self { root: root.into(), remote: None }) };
        Ok(match url.place() {
            Place::Bucket { bucket, prefix } => {
                let store = s3::connect(bucket, prefix, s3::variables(), s3::patient())?;
                Self::over(store, true, root, cache_bytes)
            }
            Place::Folder(folder) => Self::over(folder::store(folder, root)?, false, root, cache_bytes),
        })
    }

    /// A storage over any store; `signed` if its objects can have attributes.
    fn over(store: Arc<dyn ObjectStore>, signed: bool, root: &Path, cache_bytes: u64) -> Self {
        let root = Arc::from(root);
        let remote = Remote::new(store, signed, &root, cache_bytes);
        Self { root, remote: Some(Arc::new(remote)) }
    }

    /// The same storage, which makes no room in a folder on this machine: what is kept and fetched there, others remove.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the folder isn't in the data folder.
    pub fn leaving(self, dir: &Path) -> Result<Self, StorageError> {
        let apart = self.key(dir)?;
        let remote = self.remote.map(|remote| Arc::new(remote.leaving(apart)));
        Ok(Self { remote, ..self })
    }

    /// Whether other machines may share it.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Tries whether files can be written to the store, listed and removed.
    ///
    /// # Errors
    /// [`StorageError::Denied`] and [`StorageError::Unavailable`].
    pub async fn check(&self) -> Result<(), StorageError> {
        match &self.remote {
            Some(remote) => remote.check().await,
            None => Ok(()),
        }
    }

    /// Keeps a finished file, in place of what may be there under its name. When this returns, other machines can fetch it,
    /// and the file here is a copy.
    ///
    /// # Errors
    /// [`StorageError`]: the file can't be read, or the store doesn't take it. What was there is there still.
    pub async fn keep(&self, path: &Path) -> Result<(), StorageError> {
        let key = self.key(path)?;
        match &self.remote {
            Some(remote) => remote.keep(&key, path).await,
            None => Ok(()),
        }
    }

    /// Keeps a finished file of up to [`PART_BYTES`], unless anything is there under its name. Of all who try, one succeeds.
    /// Without a store, whoever writes the file sees to that.
    ///
    /// # Errors
    /// [`StorageError::AlreadyThere`]; [`StorageError::Invalid`] if it is too large; as [`Storage::keep`].
    pub async fn keep_new(&self, path: &Path) -> Result<(), StorageError> {
        let key = self.key(path)?;
        match &self.remote {
            Some(remote) => remote.keep_new(&key, path).await,
            None => Ok(()),
        }
    }

    /// Keeps all files in a folder and in those below it; `last`, a name in it, when all others are kept. Whoever fetches
    /// that one then finds the others. Names that begin with a dot are passed over.
    ///
    /// # Errors
    /// As [`Storage::keep`]. Some may be kept by then, but not the last.
    pub async fn keep_folder(&self, dir: &Path, last: &str) -> Result<(), StorageError> {
        let last = self.key(&dir.join(last))?;
        let Some(remote) = &self.remote else { return Ok(()) };
        let mut keys = Vec::new();
        for (path, _) in self.files_here(dir).await? {
            keys.push(self.key(&path)?);
        }
        // Stable: the others stay in the order of their names.
        keys.sort_by_key(|key| *key == last);
        if keys.last() != Some(&last) {
            return Err(StorageError::at(&last.path(&self.root))(io::ErrorKind::NotFound.into()));
        }
        for key in keys {
            remote.keep(&key, &key.path(&self.root)).await?;
        }
        Ok(())
    }

    /// Makes a file local if it isn't, and keeps it so while what is returned lives. Of several that ask at once, one fetches.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if it is neither here nor in the store; otherwise why it can't be had.
    pub async fn fetch(&self, path: &Path) -> Result<Local, StorageError> {
        let key = self.key(path)?;
        let pin = match &self.remote {
            Some(remote) => Some(remote.fetch(&key).await?),
            None => self.must_exist(&key).await?,
        };
        Ok(Local::new(path, pin))
    }

    /// Makes all that the store has in a folder and in those below it local, and keeps it so while what is returned lives.
    /// The store is asked each time which files that are; where their names are known, [`Storage::fetch`] asks nobody.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if nothing is in the store and there is no such folder here; otherwise as
    /// [`Storage::fetch`], some of the files may be here then.
    pub async fn fetch_folder(&self, dir: &Path) -> Result<Local, StorageError> {
        let key = self.key(dir)?;
        let pin = match &self.remote {
            Some(remote) => Some(remote.fetch_folder(&key).await?),
            None => self.must_exist(&key).await?,
        };
        Ok(Local::new(dir, pin))
    }

    /// Reads a range of a file: here if it is here, otherwise from the store, without fetching the rest.
    ///
    /// # Errors
    /// [`StorageError::NotFound`]; [`StorageError::Invalid`] if the range isn't inside the file; otherwise why it can't be
    /// read.
    pub async fn read(&self, path: &Path, range: Range<u64>) -> Result<Bytes, StorageError> {
        let key = self.key(path)?;
        if let Some(bytes) = self.read_here(&key, &range).await? {
            return Ok(bytes);
        }
        match &self.remote {
            Some(remote) => remote.read(&key, range).await,
            None => Err(StorageError::NotFound { key: key.to_string() }),
        }
    }

    /// Whether the store has a file; without one, whether it is here.
    ///
    /// # Errors
    /// [`StorageError`]: nobody can tell.
    pub async fn exists(&self, path: &Path) -> Result<bool, StorageError> {
        let key = self.key(path)?;
        match &self.remote {
            Some(remote) => remote.exists(&key).await,
            None => self.is_here(&key).await,
        }
    }

    /// The files that the store has in a folder and in those below it, by name; without a store, those that are here.
    ///
    /// # Errors
    /// [`StorageError`]: nobody can tell. A folder that isn't there is empty.
    pub async fn list(&self, dir: &Path) -> Result<Vec<Kept>, StorageError> {
        let key = self.key(dir)?;
        if let Some(remote) = &self.remote {
            return remote.list(&key).await;
        }
        self.list_here(&key).await
    }

    /// Removes a file from the store and from this machine, if it is there. Copies on other machines stay until these make
    /// room.
    ///
    /// # Errors
    /// [`StorageError`]: it may be there still.
    pub async fn remove(&self, path: &Path) -> Result<(), StorageError> {
        let key = self.key(path)?;
        if let Some(remote) = &self.remote {
            return remote.remove(&key).await;
        }
        let target = path.to_owned();
        blocking(move || files::remove(&target)).await.map_err(StorageError::at(path))
    }

    /// Removes a folder and all in it from the store and from this machine, as [`Storage::remove`] does a file.
    ///
    /// # Errors
    /// [`StorageError`]: some of it may be there still.
    pub async fn remove_folder(&self, dir: &Path) -> Result<(), StorageError> {
        let key = self.key(dir)?;
        if let Some(remote) = &self.remote {
            return remote.remove_folder(&key).await;
        }
        let target = dir.to_owned();
        blocking(move || files::remove_dir(&target)).await.map_err(StorageError::at(dir))
    }

    /// Removes files of a folder from the store, those first that were kept first, until they have so many bytes or fewer. Copies
    /// stay. Without a store, nothing is done.
    ///
    /// # Errors
    /// [`StorageError`]: they may have more still.
    pub async fn trim(&self, dir: &Path, budget: u64) -> Result<Evicted, StorageError> {
        let key = self.key(dir)?;
        match &self.remote {
            Some(remote) => remote.trim(&key, budget).await,
            None => Ok(Evicted::default()),
        }
    }

    /// Removes copies from this machine, the least recently used first, until they have as many bytes as they may or fewer.
    /// What is held on to stays, and so does what was never kept or fetched. Fetching and keeping do this by themselves, now
    /// and then.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the data folder can't be read or changed.
    pub async fn evict(&self) -> Result<Evicted, StorageError> {
        match &self.remote {
            Some(remote) => remote.evict().await,
            None => Ok(Evicted::default()),
        }
    }
}
