//! Giving disk back: the shelves that nobody has used for longest, or all that was computed for one data set.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lock::{LOCK, WRITING};
use super::{ShelfError, segment, writer};
use crate::disk::{is_at, try_alone};

/// What [`evict`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Bytes of segments.
    pub bytes: u64,
    /// Shelves.
    pub shelves: usize,
}

/// Removes whole shelves, the least recently used first, until those in `root` have `budget` bytes of segments or fewer;
/// empty ones and what interrupted writers left go whatever the budget. A shelf that anybody has open is left, and so are
/// files that no shelf made.
///
/// # Errors
/// [`ShelfError::Io`] when a folder can't be read or changed.
pub fn evict(root: &Path, budget: u64) -> Result<Evicted, ShelfError> {
    let mut total = 0;
    let mut unused = Vec::new();
    for dir in shelves(root).map_err(ShelfError::at(root))? {
        let lock = claim(&dir).map_err(ShelfError::at(&dir))?;
        let bytes = weigh(&dir).map_err(ShelfError::at(&dir))?;
        total += bytes;
        let Some((lock, used)) = lock else { continue };
        writer::sweep(&dir).map_err(ShelfError::at(&dir))?;
        // Held, so that nobody opens what is about to go.
        unused.push((used, bytes, dir, lock));
    }
    unused.sort_by_key(|&(used, ..)| used);
    unused.retain(|&(_, bytes, ..)| {
        let goes = bytes == 0 || total > budget;
        total -= if goes { bytes } else { 0 };
        goes
    });
    // The locks of those that stay are free by now: removing a large shelf takes seconds.
    let mut evicted = Evicted::default();
    for (_, bytes, dir, _lock) in unused {
        clear(&dir).map_err(ShelfError::at(&dir))?;
        evicted.bytes += bytes;
        evicted.shelves += 1;
    }
    Ok(evicted)
}

/// Removes what was computed for the data set of this content, on every shelf in `root`; returns how many bytes that
/// were. Whoever reads one of its rows next finds it missing.
///
/// # Errors
/// [`ShelfError::Invalid`] if it isn't a content hash; [`ShelfError::Io`] when a folder can't be read or changed.
pub fn remove_owner(root: &Path, content_sha256: &str) -> Result<u64, ShelfError> {
    let owner = segment::owner(content_sha256)?;
    let mut bytes = 0;
    for dir in shelves(root).map_err(ShelfError::at(root))? {
        bytes += remove_segments(&dir, Some(owner)).map_err(ShelfError::at(&dir))?;
    }
    Ok(bytes)
}

/// Bytes of all shelves' segments in `root`.
///
/// # Errors
/// [`ShelfError::Io`] when a folder can't be read.
pub fn held(root: &Path) -> Result<u64, ShelfError> {
    let shelves = shelves(root).map_err(ShelfError::at(root))?;
    shelves.iter().map(|dir| weigh(dir).map_err(ShelfError::at(dir))).sum()
}

/// The folders in `root` that are shelves.
pub(super) fn shelves(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut shelves = Vec::new();
    let Some(folders) = if_there(fs::read_dir(root))? else { return Ok(shelves) };
    for folder in folders {
        let folder = folder?;
        if folder.file_type()?.is_dir() && folder.path().join(LOCK).is_file() {
            shelves.push(folder.path());
        }
    }
    Ok(shelves)
}

/// Takes a shelf alone and says when it was last used; `None` if somebody has it open or it is gone.
fn claim(dir: &Path) -> io::Result<Option<(File, SystemTime)>> {
    let path = dir.join(LOCK);
    let Some(file) = if_there(File::options().write(true).open(&path))? else { return Ok(None) };
    // Another eviction may have removed this file, and an opener made the next, since it was opened.
    if !try_alone(&file)? || !is_at(&file, &path)? {
        return Ok(None);
    }
    let used = file.metadata()?.modified()?;
    Ok(Some((file, used)))
}

/// The bytes of a shelf's segments.
fn weigh(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for name in if_there(segment::names(dir, None))?.unwrap_or_default() {
        bytes += if_there(fs::metadata(dir.join(name)))?.map_or(0, |segment| segment.len());
    }
    Ok(bytes)
}

fn remove_segments(dir: &Path, owner: Option<&str>) -> io::Result<u64> {
    let mut bytes = 0;
    for name in if_there(segment::names(dir, owner))?.unwrap_or_default() {
        let path = dir.join(name);
        let length = if_there(fs::metadata(&path))?.map_or(0, |segment| segment.len());
        bytes += if_there(fs::remove_file(&path))?.map_or(0, |()| length);
    }
    Ok(bytes)
}

/// Removes a shelf that the caller has alone.
fn clear(dir: &Path) -> io::Result<()> {
    remove_segments(dir, None)?;
    if_there(fs::remove_file(dir.join(WRITING)))?;
    // Last: while it is there, an eviction that was interrupted is taken up by the next.
    fs::remove_file(dir.join(LOCK))?;
    match fs::remove_dir(dir) {
        // Files that no shelf made, or already the lock of somebody who waits to open it.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        outcome => outcome,
    }
}

/// `None` for what another process has removed.
fn if_there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
