//! What a file system's refusal means to whoever asked, how much room there is, and locks on files.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Trouble of the machine, not of what was asked for: once it is over, the same may be asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk, or a quota on it, is used up.
    Full,
    /// A folder of this service can't be used as it is: read-only, or another owner's.
    Unavailable,
}

/// Which trouble of the machine an error is; `None` for any other.
#[must_use]
pub fn trouble(error: &io::Error) -> Option<Trouble> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Trouble::Full),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Some(Trouble::Unavailable),
        _ => None,
    }
}

/// Whether the disk, or a quota on it, is used up.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    trouble(error) == Some(Trouble::Full)
}

/// Bytes that this process may still write to the file system that `path` is on.
///
/// # Errors
/// `path` isn't there, or can't be looked at.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Takes the lock on a file alone, unless somebody has it.
///
/// # Errors
/// The file system's refusals.
pub fn try_alone(file: &File) -> io::Result<bool> {
    taken(file.try_lock())
}

/// Takes the lock on a file with others, unless somebody has it alone.
///
/// # Errors
/// The file system's refusals.
pub fn try_together(file: &File) -> io::Result<bool> {
    taken(file.try_lock_shared())
}

fn taken(outcome: Result<(), TryLockError>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether `file` is the one at `path` still: a lock on a file that was removed keeps nobody out.
///
/// # Errors
/// One of the two can't be looked at.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let held = file.metadata()?;
    Ok((held.dev(), held.ino()) == (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_numbers_are_told_apart() {
        // ENOSPC, EDQUOT, EROFS, EACCES, EPERM, ENOENT, EIO on Linux.
        let expected = [
            (28, Some(Trouble::Full)),
            (122, Some(Trouble::Full)),
            (30, Some(Trouble::Unavailable)),
            (13, Some(Trouble::Unavailable)),
            (1, Some(Trouble::Unavailable)),
            (2, None),
            (5, None),
        ];
        for (number, trouble) in expected {
            assert_eq!(super::trouble(&io::Error::from_raw_os_error(number)), trouble, "{number}");
        }
    }

    #[test]
    fn room_is_measured_where_a_path_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("nowhere")).is_err());
    }
}
