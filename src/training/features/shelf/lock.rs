//! The locks of a shelf: files that the kernel unlocks with the process that held them, however that ends.
//!
//! `lock` is held, shared, by whoever has the shelf open, and alone by whoever evicts it; when it was last changed is when
//! the shelf was last used. `writing` is held by the one who writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use super::ShelfError;
use crate::disk::is_at;

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
