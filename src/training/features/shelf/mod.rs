//! Shelves of rows on disk: bytes that were expensive to compute, kept for every later run. No tensor is known here.
//!
//! A shelf is a folder for rows of one kind (one backbone, precision, preprocessing and layer, which its name says), each
//! of the same length, named by picture and view. Its rows are in segments, files that are written beside, synced and
//! renamed: one that is there is whole, and a run that is interrupted leaves all that it had closed. A segment's name
//! begins with the data set that it was computed for, so that it can go with it, but any run may read any row.
//!
//! Several processes may have a shelf open. One of them writes, or some that divide the rows among them. The index is in
//! memory, 32 bytes a row; rows are read as they are needed, each checked.

mod codec;
mod error;
mod evict;
mod lock;
mod reader;
mod segment;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use error::Fault;
use lock::Lease;
use reader::Reader;
use segment::{Entry, SEGMENT_BYTES};

pub use codec::Packed;
pub use error::ShelfError;
pub use evict::{evict, held, remove_owner};
pub use segment::is_of;
pub use verify::{SegmentState, segments, verify};
pub use writer::{Turn, Writer};

/// Names a row on its shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey([u8; 16]);

impl RowKey {
    /// The row of one view (any text that tells views apart) of the picture with this hash: half a SHA-256 over both.
    #[must_use]
    pub fn new(picture_sha256: &str, view: &str) -> Self {
        // A hash has no zero byte, so no two pairs run together alike.
        let hash = Sha256::new().chain_update(picture_sha256).chain_update([0]).chain_update(view).finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        Self(key)
    }
}

/// An open shelf, to be read from any number of threads. While there is one, the shelf isn't evicted.
pub struct Shelf {
    dir: PathBuf,
    row_bytes: u32,
    lease: Arc<Lease>,
    segments: Vec<String>,
    /// Sorted by key, each key once: a hash table of as many would take up to twice the memory.
    rows: Vec<Row>,
    reader: Reader,
}

struct Row {
    entry: Entry,
    segment: u32,
}

impl Shelf {
    /// Opens the shelf `name` in the folder `root`, for rows of `row_bytes` bytes; makes it if it isn't there. Waits for an
    /// eviction that is going on. Segments that are damaged, or of rows of another length, are removed: their rows aren't
    /// on the shelf.
    ///
    /// # Errors
    /// [`ShelfError::Invalid`] if the name isn't one of letters, digits, `-`, `_` and (not first) `.`, or the length isn't
    /// from 1 byte to 64 MiB; [`ShelfError::Io`] when the folder can't be made or read.
    pub fn open(root: &Path, name: &str, row_bytes: usize) -> Result<Self, ShelfError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(ShelfError::Invalid(format!("{name:?} is no name for a shelf")));
        }
        let row_bytes = u32::try_from(row_bytes).ok().filter(|bytes| (1..=SEGMENT_BYTES).contains(bytes));
        let row_bytes = row_bytes.ok_or_else(|| ShelfError::Invalid("a row has 1 byte to 64 MiB".to_owned()))?;
        let dir = root.join(name);
        let lease = Arc::new(Lease::take(&dir)?);
        let (segments, rows, reader) = (Vec::new(), Vec::new(), Reader::default());
        let mut shelf = Self { dir, row_bytes, lease, segments, rows, reader };
        shelf.refresh()?;
        Ok(shelf)
    }

    /// Learns of segments that were closed or removed since, by anybody.
    ///
    /// # Errors
    /// [`ShelfError::Io`] when the folder or a segment can't be read.
    pub fn refresh(&mut self) -> Result<(), ShelfError> {
        let mut names = segment::names(&self.dir, None).map_err(ShelfError::at(&self.dir))?;
        if self.segments.iter().all(|known| names.contains(known)) {
            let known: HashSet<&str> = self.segments.iter().map(String::as_str).collect();
            names.retain(|name| !known.contains(name.as_str()));
        } else {
            // A row that went may be in another segment as well: read all again.
            self.segments.clear();
            self.rows.clear();
            self.reader = Reader::default();
        }
        let loaded = self.load(names);
        // Whatever came of it: lookups rely on the order.
        self.rows.sort_unstable_by_key(|row| (row.entry.key, row.segment));
        self.rows.dedup_by_key(|row| row.entry.key);
        self.rows.shrink_to_fit();
        loaded
    }

    fn load(&mut self, names: BTreeSet<String>) -> Result<(), ShelfError> {
        for name in names {
            let path = self.dir.join(&name);
            match segment::load(&path, self.row_bytes) {
                Ok(entries) => {
                    let segment = self.segments.len() as u32;
                    self.rows.extend(entries.into_iter().map(|entry| Row { entry, segment }));
                    self.segments.push(name);
                }
                Err(Fault::Damaged(reason)) => segment::discard(&path, reason),
                Err(Fault::Io(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(Fault::Io(error)) => return Err(ShelfError::at(&path)(error)),
            }
        }
        Ok(())
    }

    /// Whether the row is there, as far as this shelf has learnt.
    #[must_use]
    pub fn contains(&self, key: &RowKey) -> bool {
        self.find(key).is_some()
    }

    /// Fills `row` with the row of this key. After an error it holds anything.
    ///
    /// # Errors
    /// [`ShelfError::Missing`] and [`ShelfError::Damaged`] if the row must be computed; [`ShelfError::Invalid`] if `row`
    /// hasn't the shelf's length; [`ShelfError::Io`] when the segment can't be read.
    pub fn read(&self, key: &RowKey, row: &mut [u8]) -> Result<(), ShelfError> {
        check_length(row.len(), self.row_bytes)?;
        let found = self.find(key).ok_or(ShelfError::Missing)?;
        let path = self.dir.join(&self.segments[found.segment as usize]);
        self.reader.read(found.segment, &path, &found.entry, row).map_err(|fault| match fault {
            Fault::Damaged(reason) => {
                segment::discard(&path, reason);
                ShelfError::Damaged { path, reason }
            }
            Fault::Io(error) if error.kind() == ErrorKind::NotFound => ShelfError::Missing,
            Fault::Io(source) => ShelfError::Io { path, source },
        })
    }

    /// Takes a turn to write rows for the data set of this content; `None` while anybody else has one that excludes it, who may be
    /// writing the very rows: ask again later. Others may have written until just now, so [`Shelf::refresh`] before computing
    /// anything. Whoever writes to several shelves at once takes them in the order of their names, or two may wait for each
    /// other.
    ///
    /// # Errors
    /// [`ShelfError::Invalid`] if it isn't a content hash; [`ShelfError::Io`] when the folder can't be written to.
    pub fn try_writer(&self, content_sha256: &str, turn: Turn) -> Result<Option<Writer>, ShelfError> {
        Writer::begin(&self.dir, self.row_bytes, content_sha256, turn, Arc::clone(&self.lease))
    }

    /// The segments that hold these rows, as far as this shelf has them.
    pub fn segments_of<'k>(&self, keys: impl IntoIterator<Item = &'k RowKey>) -> BTreeSet<PathBuf> {
        let found = keys.into_iter().filter_map(|key| self.find(key));
        found.map(|row| self.dir.join(&self.segments[row.segment as usize])).collect()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its name.
    pub fn name(&self) -> &str {
        // It was given as text.
        self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn find(&self, key: &RowKey) -> Option<&Row> {
        self.rows.binary_search_by_key(key, |row| row.entry.key).ok().map(|at| &self.rows[at])
    }
}

fn check_length(bytes: usize, row_bytes: u32) -> Result<(), ShelfError> {
    if bytes == row_bytes as usize {
        return Ok(());
    }
    Err(ShelfError::Invalid(format!("{bytes} bytes are no row of {row_bytes}")))
}
