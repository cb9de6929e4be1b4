//! A file on its way in: written, counted and hashed as it comes, and gone again unless it is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use crate::api::ApiError;
use crate::api::storage::demand_room;
use crate::config::Settings;

/// What a form may add to its files.
const FORM_OVERHEAD: u64 = 64 << 10;

/// Received bytes between two looks at how much room there is.
const ROOM_EVERY: u64 = 16 << 20;

/// Refuses a request whose own header says that it is longer than is taken, or than there is room for, before it has travelled.
pub(in crate::api) async fn refuse_longer(
    headers: &HeaderMap,
    what: &str,
    limit: u64,
    settings: &Settings,
) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit.saturating_add(FORM_OVERHEAD)) {
        return Err(ApiError::too_large(what, limit));
    }
    demand_room(settings, length.unwrap_or(0)).await
}

/// A file that is being received. Dropped, it leaves nothing behind: a client that goes away drops the whole request.
pub(in crate::api) struct Receiving {
    part: Part,
    file: File,
    hash: Sha256,
    bytes: u64,
    what: &'static str,
    limit: u64,
    settings: Arc<Settings>,
    /// Bytes at which room is looked for again.
    look: u64,
}

/// A file that was received whole and lies on disk, still under its passing name.
pub(in crate::api) struct Received {
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
    /// Begins a file of at most `limit` bytes, which is `what` to the sender. The folder is made if it isn't there.
    pub async fn begin(path: PathBuf, what: &'static str, limit: u64, settings: &Arc<Settings>) -> Result<Self, ApiError> {
        let parent = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).await.map_err(|error| ApiError::disk(&error))?;
        let file = File::create_new(&path).await.map_err(|error| ApiError::disk(&error))?;
        let settings = Arc::clone(settings);
        Ok(Self { part: Part(path), file, hash: Sha256::new(), bytes: 0, what, limit, settings, look: ROOM_EVERY })
    }

    /// Takes what came.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.limit {
            return Err(ApiError::too_large(self.what, self.limit));
        }
        if self.bytes >= self.look {
            self.look = self.bytes + ROOM_EVERY;
            demand_room(&self.settings, 0).await?;
        }
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(|error| ApiError::disk(&error))
    }

    /// Takes a whole body as it comes.
    pub async fn write_body(&mut self, body: Body) -> Result<(), ApiError> {
        let mut chunks = body.into_data_stream();
        let broken = |error: axum::Error| {
            let detail = format!("the upload broke off ({error}): send it again");
            ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", detail)
        };
        while let Some(chunk) = chunks.try_next().await.map_err(broken)? {
            self.write(&chunk).await?;
        }
        Ok(())
    }

    /// All has come: makes it durable.
    pub async fn end(mut self) -> Result<Received, ApiError> {
        self.file.flush().await.map_err(|error| ApiError::disk(&error))?;
        self.file.sync_all().await.map_err(|error| ApiError::disk(&error))?;
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
        fs::rename(self.path(), path).await.map_err(|error| ApiError::disk(&error))?;
        let parent = path.parent().unwrap_or(Path::new("."));
        File::open(parent)
            .await
            .map_err(|error| ApiError::disk(&error))?
            .sync_all()
            .await
            .map_err(|error| ApiError::disk(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_stays_and_what_is_not_goes() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Arc::new(Settings { data_dir: dir.path().to_owned(), ..Settings::default() });
        let mut receiving = Receiving::begin(dir.path().join("up/a.part"), "the file", 6, &settings).await.unwrap();
        receiving.write(b"abc").await.unwrap();
        let received = receiving.end().await.unwrap();
        assert_eq!(received.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        received.keep(&dir.path().join("up/a.archive")).await.unwrap();
        drop(received);

        let mut interrupted = Receiving::begin(dir.path().join("up/b.part"), "the file", 6, &settings).await.unwrap();
        interrupted.write(b"abcdef").await.unwrap();
        assert!(interrupted.write(b"g").await.is_err());
        drop(interrupted);
        let left: Vec<_> = std::fs::read_dir(dir.path().join("up")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["a.archive"]);
    }
}
