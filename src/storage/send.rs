//! Files on their way to the store.

use std::fs::{File, Metadata};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::{Attribute, AttributeValue, Attributes, GetOptions, ObjectStoreExt, PutMode, PutOptions, WriteMultipart};
use uuid::Uuid;

use super::files::blocking;
use super::key::Key;
use super::remote::Remote;
use super::{StorageError, telemetry};

/// A larger file goes in parts of at least as many bytes.
pub const PART_BYTES: u64 = 8 << 20;
/// Parts on their way at once, of one file.
const ABREAST: usize = 3;
/// S3 takes this many parts of a file.
const MOST_PARTS: u64 = 10_000;
/// How often a file that is to be new is tried again because another writer, or a removal, was under way.
const ATTEMPTS: usize = 5;
/// Says who wrote an object.
const WRITER: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("topgraft-writer"));

/// A file that is being read from its start to its end, whatever becomes of its name.
struct Source {
    file: Arc<File>,
    found: Metadata,
}

impl Source {
    async fn open(path: &Path) -> Result<Self, StorageError> {
        let opened = path.to_owned();
        let opened = blocking(move || {
            let file = File::open(opened)?;
            let found = file.metadata()?;
            Ok(Self { file: Arc::new(file), found })
        });
        opened.await.map_err(StorageError::at(path))
    }

    async fn read(&self, path: &Path, offset: u64, length: u64) -> Result<Bytes, StorageError> {
        let file = Arc::clone(&self.file);
        let read = blocking(move || {
            // A part, which fits any machine's memory.
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
        });
        read.await.map_err(StorageError::at(path))
    }
}

impl Remote {
    /// Takes a file to the store, in place of what is there.
    pub async fn keep(&self, key: &Key, path: &Path) -> Result<(), StorageError> {
        let source = Source::open(path).await?;
        let length = source.found.len();
        if length <= PART_BYTES {
            let bytes = source.read(path, 0, length).await?;
            self.store.put(&key.location(), bytes.into()).await.map_err(overwriting(key))?;
            telemetry::sent(length);
        } else {
            self.keep_parts(key, path, &source).await?;
        }
        self.kept(key, source.found).await;
        Ok(())
    }

    async fn keep_parts(&self, key: &Key, path: &Path, source: &Source) -> Result<(), StorageError> {
        let part = part_bytes(source.found.len());
        let upload = self.store.put_multipart(&key.location()).await.map_err(overwriting(key))?;
        // On every machine that this runs on, an address has 64 bits.
        let mut parts = WriteMultipart::new_with_chunk_size(upload, part as usize);
        match send_parts(&mut parts, key, path, source, part).await {
            Ok(()) => parts.finish().await.map(drop).map_err(overwriting(key)),
            Err(error) => {
                // What can't be taken back now goes by the rule of the bucket for unfinished uploads.
                let _ = parts.abort().await;
                Err(error)
            }
        }
    }

    /// Takes a small file to the store, if nothing of its name is there.
    pub async fn keep_new(&self, key: &Key, path: &Path) -> Result<(), StorageError> {
        let source = Source::open(path).await?;
        let length = source.found.len();
        if length > PART_BYTES {
            // S3 has conditions on parts too, but object_store doesn't offer them.
            let reason = format!("{} is too large to be kept on a condition: {PART_BYTES} bytes at most", path.display());
            return Err(StorageError::Invalid(reason));
        }
        let bytes = source.read(path, 0, length).await?;
        telemetry::sent(length);
        self.create(key, bytes).await?;
        self.kept(key, source.found).await;
        Ok(())
    }

    async fn create(&self, key: &Key, bytes: Bytes) -> Result<(), StorageError> {
        let writer = Uuid::now_v7().to_string();
        for _ in 0..ATTEMPTS {
            match self.store.put_opts(&key.location(), bytes.clone().into(), self.as_new(&writer)).await {
                Ok(_) => return Ok(()),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(StorageError::of(key)(error)),
            }
            match self.writer_of(key).await? {
                // The request was repeated because the answer to the first was lost.
                Some(Some(by)) if by == writer => return Ok(()),
                Some(_) => return Err(StorageError::AlreadyThere { key: key.to_string() }),
                // A writer that came to nothing, or a removal: once more.
                None => {}
            }
        }
        Err(StorageError::Unavailable { reason: "others keep writing and removing the same file".to_owned() })
    }

    fn as_new(&self, writer: &str) -> PutOptions {
        let mut attributes = Attributes::new();
        if self.signed {
            attributes.insert(WRITER, AttributeValue::from(writer.to_owned()));
        }
        PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() }
    }

    /// Who wrote what is there, if it is said; `None` if nothing is there.
    async fn writer_of(&self, key: &Key) -> Result<Option<Option<String>>, StorageError> {
        match self.store.get_opts(&key.location(), GetOptions::new().with_head(true)).await {
            Ok(found) => Ok(Some(found.attributes.get(&WRITER).map(|by| by.as_ref().to_owned()))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StorageError::of(key)(error)),
        }
    }

    /// The file here is a copy from now on.
    async fn kept(&self, key: &Key, found: Metadata) {
        let bytes = found.len();
        match self.on_disk(key, move |cache, key| cache.mark(key, &found)).await {
            Ok(()) => self.grew(key, bytes).await,
            // The store has it. The file here stays, that is all.
            Err(error) => tracing::warn!(%error, %key, "what was kept couldn't be marked as a copy"),
        }
    }
}

/// A refusal of what is allowed to be there: a conflict with another writer, that passes.
fn overwriting(key: &Key) -> impl FnOnce(object_store::Error) -> StorageError + '_ {
    move |error| match StorageError::of(key)(error) {
        StorageError::AlreadyThere { .. } => StorageError::Unavailable { reason: "409 of another writer".to_owned() },
        error => error,
    }
}

async fn send_parts(
    parts: &mut WriteMultipart,
    key: &Key,
    path: &Path,
    source: &Source,
    part: u64,
) -> Result<(), StorageError> {
    let length = source.found.len();
    let mut offset = 0;
    while offset < length {
        // Before reading: what waits is in memory.
        parts.wait_for_capacity(ABREAST).await.map_err(overwriting(key))?;
        let bytes = source.read(path, offset, part.min(length - offset)).await?;
        offset += bytes.len() as u64;
        telemetry::sent(bytes.len() as u64);
        parts.put(bytes);
    }
    Ok(())
}

/// How large the parts of a file are: small, but not too many.
fn part_bytes(length: u64) -> u64 {
    let least = length.div_ceil(MOST_PARTS).max(PART_BYTES);
    least.next_multiple_of(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_has_more_parts_than_a_store_takes() {
        for length in [PART_BYTES + 1, 80 << 30, (80 << 30) + 1, 1 << 40, 5 << 40] {
            assert!(length.div_ceil(part_bytes(length)) <= MOST_PARTS, "{length}");
            assert!(part_bytes(length) >= PART_BYTES);
        }
        assert_eq!(part_bytes(1 << 30), PART_BYTES);
    }
}
