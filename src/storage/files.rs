//! What is done with files on this machine's disk. All of it blocks.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// Runs what blocks where it keeps nobody waiting.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(io::Error::new(ErrorKind::Interrupted, "the process ends")),
        },
    }
}

/// `None` for what isn't there.
pub fn if_there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(it) => Ok(Some(it)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files below a folder, whole ones: names that begin with a dot are passed over, and so is what is no file. None if
/// the folder isn't there.
pub fn below(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in if_there(fs::read_dir(&folder))?.into_iter().flatten() {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Some(kind) = if_there(entry.file_type())? else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let Some(found) = if_there(entry.metadata())? else { continue };
                files.push((entry.path(), found.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a range; `None` if it isn't inside the file.
pub fn read(file: &File, range: &Range<u64>) -> io::Result<Option<Bytes>> {
    let length = file.metadata()?.len();
    let Some(wanted) = range.end.checked_sub(range.start).filter(|_| range.end <= length) else { return Ok(None) };
    // What is inside a file and doesn't fit an address can't be had on this machine.
    let Ok(wanted) = usize::try_from(wanted) else { return Ok(None) };
    let mut bytes = vec![0; wanted];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(Some(bytes.into()))
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(path)).map(drop)
}

/// Removes a folder and all in it, if it is there.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    if_there(fs::remove_dir_all(path)).map(drop)
}
