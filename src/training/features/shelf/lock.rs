//! The locks of a shelf: files that the kernel unlocks with the process that held them, however that ends.
//!
//! `lock` is held, shared, by whoever has the shelf open, and alone by whoever evicts it; when it was last changed is when
//! the shelf was last used. `writing` is held by the one who writes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use super::ShelfError;

/// The name of the lock on a shelf.
pub const LOCK: &str = "lock";
/// The name of the lock on writing to it.
pub const WRITING: &str = "writing";
/// Evictions that may come between the making of a folder and the lock in it. More in a row is something else.
const ATTEMPTS: usize = 100;

/// Keeps a shelf from being evicted.
#[derive(Debug)]
pub struct Lease(File);

impl Lease {
    /// Makes the shelf's folder if it isn't there, and waits for an eviction that is going on.
    pub fn take(dir: &Path) -> Result<Self, ShelfError> {
        let path = dir.join(LOCK);
        for _ in 0..ATTEMPTS {
            match attempt(dir, &path) {
                Ok(Some(file)) => return Ok(Self(file)),
                // Evicted in between, or a signal.
                Ok(None) => {}
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Interrupted) => {}
                Err(error) => return Err(ShelfError::at(&path)(error)),
            }
        }
        Err(ShelfError::at(&path)(ErrorKind::ResourceBusy.into()))
    }
}

fn attempt(dir: &Path, path: &Path) -> io::Result<Option<File>> {
    fs::create_dir_all(dir)?;
    let file = create(path)?;
    file.lock_shared()?;
    if !is_at(&file, path)? {
        return Ok(None);
    }
    file.set_modified(SystemTime::now())?;
    Ok(Some(file))
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A run of days used the shelf until now. Without the stamp it is only evicted earlier.
        let _ = self.0.set_modified(SystemTime::now());
    }
}

/// Opens a lock's file, making it if it isn't there.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// Takes the lock alone, unless somebody has it.
pub fn try_alone(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether `file` is the one at `path` still: a lock on a file that was removed keeps nobody out.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (held, found) = (file.metadata()?, fs::metadata(path)?);
    Ok((held.dev(), held.ino()) == (found.dev(), found.ino()))
}
