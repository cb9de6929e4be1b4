//! Writing rows: beside, synced, renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::codec::Packed;
use super::lock::{self, Lease};
use super::segment::{self, Entry, HEADER_BYTES, SEGMENT_BYTES, SEGMENT_ROWS};
use super::{RowKey, ShelfError};
use crate::disk::{try_alone, try_together};

/// What the name of an unfinished segment begins with.
pub const UNFINISHED: &str = ".writing-";
/// Joins a few dozen rows into one write.
const BUFFER: usize = 1 << 20;

/// Who may write to a shelf at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nobody else: they may want the very same rows.
    Alone,
    /// Others who divide the rows among them.
    Together,
}

/// One that writes to a shelf. Rows become visible a segment at a time; what was appended since the
/// last is lost when it is dropped.
pub struct Writer {
    dir: PathBuf,
    row_bytes: u32,
    owner: String,
    // Dropped in this order: what is unfinished is gone before the next one may write.
    unfinished: Option<Unfinished>,
    _turn: File,
    _lease: Arc<Lease>,
}

impl Writer {
    /// Takes a turn to write, unless somebody has one that excludes it; `lease` is the shelf's.
    pub(super) fn begin(
        dir: &Path,
        row_bytes: u32,
        content_sha256: &str,
        turn: Turn,
        lease: Arc<Lease>,
    ) -> Result<Option<Self>, ShelfError> {
        let owner = segment::owner(content_sha256)?.to_owned();
        let path = dir.join(lock::WRITING);
        let file = lock::create(&path).map_err(ShelfError::at(&path))?;
        let alone = try_alone(&file).map_err(ShelfError::at(&path))?;
        if alone {
            // Nobody else is writing, so what is unfinished belongs to nobody.
            sweep(dir).map_err(ShelfError::at(dir))?;
        }
        let taken = match turn {
            Turn::Alone => alone,
            // Whoever was alone lets others in: the kernel gives one lock for the other.
            Turn::Together => try_together(&file).map_err(ShelfError::at(&path))?,
        };
        if !taken {
            return Ok(None);
        }
        Ok(Some(Self { dir: dir.to_owned(), row_bytes, owner, unfinished: None, _turn: file, _lease: lease }))
    }

    /// Appends a row; closes the segment if that fills it, and says which that is.
    ///
    /// # Errors
    /// [`ShelfError::Invalid`] if the row hasn't the shelf's length; [`ShelfError::Io`] when the disk doesn't take it: what
    /// was appended since the last segment is lost then.
    pub fn append(&mut self, key: RowKey, row: &Packed) -> Result<Option<PathBuf>, ShelfError> {
        super::check_length(row.row_bytes(), self.row_bytes)?;
        let full = self.write(key, row).map_err(ShelfError::at(&self.dir))?;
        if full { self.cut() } else { Ok(None) }
    }

    /// Writes a row and answers whether that fills the segment.
    fn write(&mut self, key: RowKey, row: &Packed) -> io::Result<bool> {
        // Taken: after an error there is no half of a row to go on from.
        let mut unfinished = match self.unfinished.take() {
            Some(unfinished) => unfinished,
            None => Unfinished::begin(&self.dir, self.row_bytes)?,
        };
        unfinished.append(key, row)?;
        Ok(self.unfinished.insert(unfinished).is_full())
    }

    /// Closes the segment, if there are rows for one, and says which that is: they survive what may come, and every shelf that is
    /// opened or refreshed from now on has them.
    ///
    /// # Errors
    /// [`ShelfError::Io`] when the disk doesn't take it: its rows are lost then.
    pub fn cut(&mut self) -> Result<Option<PathBuf>, ShelfError> {
        let Some(unfinished) = self.unfinished.take() else { return Ok(None) };
        unfinished.finish(&self.dir, &self.owner).map(Some).map_err(ShelfError::at(&self.dir))
    }

    /// Closes the last segment and lets the next one write.
    ///
    /// # Errors
    /// As [`Writer::cut`].
    pub fn finish(mut self) -> Result<Option<PathBuf>, ShelfError> {
        self.cut()
    }
}

/// A segment being written.
struct Unfinished {
    file: BufWriter<NamedTempFile>,
    entries: Vec<Entry>,
    length: u32,
}

impl Unfinished {
    fn begin(dir: &Path, row_bytes: u32) -> io::Result<Self> {
        // Long enough to be unique with no other look at the folder.
        let file = tempfile::Builder::new().prefix(UNFINISHED).rand_bytes(16).tempfile_in(dir)?;
        let mut file = BufWriter::with_capacity(BUFFER, file);
        file.write_all(&segment::header(row_bytes))?;
        Ok(Self { file, entries: Vec::with_capacity(SEGMENT_ROWS), length: HEADER_BYTES })
    }

    fn append(&mut self, key: RowKey, row: &Packed) -> io::Result<()> {
        self.file.write_all(&row.stored)?;
        // No row is longer than `SEGMENT_BYTES`, and a segment of as many is closed: twice that is the most.
        let bytes = row.stored.len() as u32;
        self.entries.push(Entry { key, offset: self.length, stored: bytes, crc: row.crc });
        self.length += bytes;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.entries.len() == SEGMENT_ROWS || self.length >= SEGMENT_BYTES
    }

    fn finish(mut self, dir: &Path, owner: &str) -> io::Result<PathBuf> {
        self.file.write_all(&segment::tail(&self.entries))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        let beside = file.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = segment::name(owner, beside.trim_start_matches(UNFINISHED));
        let path = dir.join(name);
        file.persist_noclobber(&path).map_err(|error| error.error)?;
        // The new name is durable only once the directory is.
        File::open(dir)?.sync_all()?;
        Ok(path)
    }
}

/// Removes what interrupted writers left; the caller knows that none is at work.
pub fn sweep(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        let file = file?;
        if file.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED)) {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}
