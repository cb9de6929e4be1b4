//! Looking after what lies in the data folder: tidying up after a crash, checking every byte, backing it up.
//!
//! The rule of what is moved: what the database knows of stays, what this service leaves behind when it is interrupted goes, and
//! anything else is put aside in `quarantine/`, with a line in the log. Nothing that can't be computed again is ever deleted.

mod backup;
mod check;
mod tidy;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

pub use backup::{BackupError, BackupSummary, backup};
pub use check::{CheckReport, Checked, Finding, Kind, check};
pub use tidy::{missing, tidy};

use crate::config::Settings;
use crate::storage::StorageError;
use crate::store::StoreError;

/// Begins the names of folders whose things were deleted.
const DELETED: &str = ".deleted-";

/// Why the data folder can't be looked after.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refused.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// The storage refused.
    #[error("the storage: {0}")]
    Storage(#[from] StorageError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UpkeepError + '_ {
    |source| UpkeepError::Io { path: path.to_owned(), source }
}

/// The name that a thing's folder in `parent` gets once the thing is deleted: whatever has it may go.
#[must_use]
pub fn deleted(parent: &Path, id: Uuid) -> PathBuf {
    parent.join(format!("{DELETED}{id}"))
}

/// Moves a file or folder to the quarantine, as `kind` of thing; where it lies now.
fn quarantine(settings: &Settings, path: &Path, kind: &str) -> Result<PathBuf, UpkeepError> {
    let dir = settings.quarantine_dir();
    fs::create_dir_all(&dir).map_err(at(&dir))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A name of its own, whenever and however often the same thing comes here: a UUIDv7 begins with the time.
    let target = dir.join(format!("{kind}-{name}-{}", Uuid::now_v7()));
    fs::rename(path, &target).map_err(at(path))?;
    tracing::warn!(from = %path.display(), to = %target.display(), "put into quarantine: delete it if nobody misses it");
    Ok(target)
}

/// Puts a file or folder aside that the database doesn't know of. One that can't be moved (onto another file system, say) stays
/// where it is, in nobody's way.
pub fn put_aside(settings: &Settings, path: &Path, kind: &str) {
    if let Err(error) = quarantine(settings, path, kind) {
        tracing::warn!(path = %path.display(), %error, "nobody knows this, and it can't be put aside");
    }
}

/// The entries of a folder, which may not be there.
fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, UpkeepError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect).map_err(at(dir)),
    }
}

/// A name as text; what isn't text was named by nobody here.
fn name_of(entry: &fs::DirEntry) -> String {
    entry.file_name().into_string().unwrap_or_default()
}
