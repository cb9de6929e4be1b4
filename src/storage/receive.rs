//! Files on their way from the store: beside, synced, renamed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore};
use tempfile::TempPath;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::cache::Pin;
use super::files::blocking;
use super::key::Key;
use super::remote::Remote;
use super::{StorageError, telemetry};
use crate::disk;

/// Begins the names of files that aren't whole yet.
pub const UNFINISHED: &str = ".fetching-";
/// Joins some dozens of a connection's pieces into one write.
const BUFFER: usize = 1 << 20;
/// How often in a row a download may go on without getting any further.
const STALLS: usize = 3;

impl Remote {
    /// Fetches a file that isn't here; answers how long it is.
    pub(super) async fn receive(&self, key: &Key) -> Result<(Pin, u64), StorageError> {
        let first = self.store.get_opts(&key.location(), GetOptions::default()).await.map_err(StorageError::of(key))?;
        let path = self.path(key);
        let length = first.meta.size;
        let (file, beside) = beside(&path, length).await?;
        let mut download = Download {
            store: Arc::clone(&self.store),
            key,
            path: &path,
            object: first.meta.clone(),
            file: BufWriter::with_capacity(BUFFER, file.into()),
            offset: 0,
        };
        download.run(first).await?;
        let file = download.finish().await?;
        let pin = self.on_disk(key, move |cache, key| cache.admit(key, file, beside)).await?;
        Ok((pin, length))
    }
}

/// Makes a file beside `path` for so many bytes, which goes with its name's guard.
async fn beside(path: &Path, length: u64) -> Result<(File, TempPath), StorageError> {
    let target: PathBuf = path.to_owned();
    let made = blocking(move || {
        // A key has a part at least, so there is a parent.
        let dir = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        // Told now rather than when the database has no room either.
        if disk::free_bytes(dir)? < length {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        // As any other file: the umask takes what it takes.
        let rights = Permissions::from_mode(0o666);
        Ok(tempfile::Builder::new().prefix(UNFINISHED).permissions(rights).tempfile_in(dir)?.into_parts())
    });
    made.await.map_err(StorageError::at(path))
}

/// A file that is being fetched.
struct Download<'a> {
    store: Arc<dyn ObjectStore>,
    key: &'a Key,
    path: &'a Path,
    /// What it was at the first answer, which it must stay.
    object: ObjectMeta,
    file: BufWriter<tokio::fs::File>,
    /// Bytes that are written.
    offset: u64,
}

impl Download<'_> {
    /// Writes all of the file, in as many requests as it takes.
    async fn run(&mut self, first: GetResult) -> Result<(), StorageError> {
        let mut answer = Ok(first);
        let mut stalls = 0;
        loop {
            let before = self.offset;
            let outcome = match answer {
                Ok(answer) => self.take(answer).await,
                Err(error) => Err(error),
            };
            let error = match outcome {
                Ok(()) if self.offset == self.object.size => return Ok(()),
                Ok(()) => self.damaged(&format!("it ends after {} of {} bytes", self.offset, self.object.size)),
                Err(error @ StorageError::Unavailable { .. }) => error,
                Err(error) => return Err(error),
            };
            stalls = if self.offset > before { 0 } else { stalls + 1 };
            if stalls == STALLS {
                return Err(error);
            }
            // The client has waited between its own attempts already.
            tracing::info!(key = %self.key, offset = self.offset, %error, "a download goes on from where it broke");
            answer = self.go_on().await;
        }
    }

    /// Writes what an answer holds.
    async fn take(&mut self, answer: GetResult) -> Result<(), StorageError> {
        let mut pieces = answer.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(StorageError::of(self.key))? {
            let length = piece.len() as u64;
            if length > self.object.size - self.offset {
                return Err(self.damaged(&format!("there is more of it than its {} bytes", self.object.size)));
            }
            self.file.write_all(&piece).await.map_err(StorageError::at(self.path))?;
            self.offset += length;
            telemetry::received(length);
        }
        Ok(())
    }

    /// Asks for the rest, of the very object that the download began with.
    async fn go_on(&self) -> Result<GetResult, StorageError> {
        let rest = self.offset..self.object.size;
        if rest.is_empty() {
            return Err(StorageError::Unavailable { reason: "the connection broke".to_owned() });
        }
        let options = GetOptions::new().with_range(Some(rest.clone())).with_if_match(self.object.e_tag.clone());
        let answer = self.store.get_opts(&self.key.location(), options).await.map_err(StorageError::of(self.key));
        let answer = match answer {
            Err(StorageError::Invalid(_)) => return Err(self.damaged("it is shorter than it says")),
            answer => answer?,
        };
        // Some stores don't heed the condition.
        let same = answer.meta.e_tag == self.object.e_tag
            && answer.meta.size == self.object.size
            && (self.object.e_tag.is_some() || answer.meta.last_modified == self.object.last_modified);
        match same && answer.range == rest {
            true => Ok(answer),
            false => Err(self.damaged("it was changed while it was read")),
        }
    }

    /// The file, with all that was written.
    async fn finish(mut self) -> Result<File, StorageError> {
        self.file.flush().await.map_err(StorageError::at(self.path))?;
        let file = self.file.into_inner().into_std().await;
        let written = file.metadata().map_err(StorageError::at(self.path))?.len();
        match written == self.object.size {
            true => Ok(file),
            false => Err(StorageError::Damaged { key: self.key.to_string(), reason: format!("{written} bytes were written") }),
        }
    }

    fn damaged(&self, reason: &str) -> StorageError {
        StorageError::Damaged { key: self.key.to_string(), reason: reason.to_owned() }
    }
}
