//! A file on its way in: written, counted and hashed as it comes, and gone again unless it is kept.

use std::io;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use crate::api::ApiError;

/// A file that is being received. Dropped, it leaves nothing behind: a client that goes away drops the whole request.
pub(super) struct Receiving {
    part: Part,
    file: File,
    hash: Sha256,
    bytes: u64,
    limit: u64,
}

/// A file that was received whole and lies on disk, still under its passing name.
pub(super) struct Received {
    part: Part,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// A path whose file is removed on drop.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Kept files have been renamed away; for the others there is nothing better to do, and the next start tries again.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Receiving {
    /// Begins a file of at most `limit` bytes. The folder is made if it isn't there.
    pub async fn begin(path: PathBuf, limit: u64) -> Result<Self, ApiError> {
        let parent = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).await.map_err(disk)?;
        let file = File::create_new(&path).await.map_err(disk)?;
        Ok(Self { part: Part(path), file, hash: Sha256::new(), bytes: 0, limit })
    }

    /// Takes what came.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.limit {
            return Err(ApiError::too_large("the archive", self.limit));
        }
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(disk)
    }

    /// All has come: makes it durable.
    pub async fn end(mut self) -> Result<Received, ApiError> {
        self.file.flush().await.map_err(disk)?;
        self.file.sync_all().await.map_err(disk)?;
        let sha256 = crate::hex::hex(&self.hash.finalize());
        Ok(Received { part: self.part, bytes: self.bytes, sha256 })
    }
}

impl Received {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.part.0
    }

    /// Keeps it under another name in the same folder, durably.
    pub async fn keep(&self, path: &Path) -> Result<(), ApiError> {
        fs::rename(self.path(), path).await.map_err(disk)?;
        let parent = path.parent().unwrap_or(Path::new("."));
        File::open(parent).await.map_err(disk)?.sync_all().await.map_err(disk)
    }
}

fn disk(error: io::Error) -> ApiError {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        tracing::error!(%error, "an upload doesn't fit on the disk");
        let detail = "the server has no room for this archive: delete datasets that are no longer needed";
        return ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "no_space", detail);
    }
    ApiError::internal(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_stays_and_what_is_not_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut receiving = Receiving::begin(dir.path().join("up/a.part"), 6).await.unwrap();
        receiving.write(b"abc").await.unwrap();
        let received = receiving.end().await.unwrap();
        assert_eq!(received.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        received.keep(&dir.path().join("up/a.archive")).await.unwrap();
        drop(received);

        let mut interrupted = Receiving::begin(dir.path().join("up/b.part"), 6).await.unwrap();
        interrupted.write(b"abcdef").await.unwrap();
        assert!(interrupted.write(b"g").await.is_err());
        drop(interrupted);
        let left: Vec<_> = std::fs::read_dir(dir.path().join("up")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["a.archive"]);
    }
}
