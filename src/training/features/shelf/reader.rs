//! Reading rows from any number of threads: some segments stay open, each thread at work has a buffer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::codec::unpacked;
use super::error::Fault;
use super::segment::Entry;

/// Segments that stay open. A shelf may have thousands and a process, often, a thousand files; opening one again takes
/// microseconds, unpacking a row a hundred.
const OPEN_FILES: usize = 128;

/// What reading a shelf keeps between two rows.
#[derive(Default)]
pub struct Reader {
    /// The least recently used first.
    files: Mutex<Vec<(u32, Arc<File>)>>,
    /// As many as threads have read at once.
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Reader {
    /// Fills `row` with the row at `entry` of segment number `segment`, which is at `path`. After an error it holds
    /// anything.
    pub fn read(&self, segment: u32, path: &Path, entry: &Entry, row: &mut [u8]) -> Result<(), Fault> {
        let file = self.file(segment, path)?;
        if entry.stored as usize == row.len() {
            return fetch(&file, entry, row);
        }
        let mut stored = lock(&self.idle).pop().unwrap_or_default();
        stored.resize(entry.stored as usize, 0);
        let fetched = fetch(&file, entry, &mut stored);
        let unpacked = fetched.is_ok() && unpacked(&stored, row);
        lock(&self.idle).push(stored);
        fetched?;
        if unpacked { Ok(()) } else { Err(Fault::Damaged("a row doesn't unpack")) }
    }

    fn file(&self, segment: u32, path: &Path) -> io::Result<Arc<File>> {
        let mut files = lock(&self.files);
        let file = match files.iter().position(|&(number, _)| number == segment) {
            Some(at) => files.remove(at).1,
            None => Arc::new(File::open(path)?),
        };
        if files.len() == OPEN_FILES {
            files.remove(0);
        }
        files.push((segment, Arc::clone(&file)));
        Ok(file)
    }
}

/// Reads a row's stored bytes and checks them.
fn fetch(file: &File, entry: &Entry, stored: &mut [u8]) -> Result<(), Fault> {
    file.read_exact_at(stored, entry.offset.into())?;
    if crc32fast::hash(stored) == entry.crc { Ok(()) } else { Err(Fault::Damaged("a row has another checksum")) }
}

/// Neither list is left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl Reader {
    /// Segments that are open.
    pub fn open(&self) -> usize {
        lock(&self.files).len()
    }

    /// Buffers that no thread has.
    pub fn idle(&self) -> usize {
        lock(&self.idle).len()
    }
}
