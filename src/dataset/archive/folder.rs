//! A plain directory as a source, for the command line: the same entries as an archive of it would give.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::meter::{Meter, Metered, read_bounded, too_large};
use super::{ArchiveKind, Entry, Named, Visit, named, rejected};
use crate::dataset::DatasetError;

/// A file or link below the folder.
struct Found {
    path: PathBuf,
    kind: fs::FileType,
}

pub(super) fn check(source: &Path, meter: &Meter<'_>) -> Result<(), DatasetError> {
    match list(source, meter)?.is_empty() {
        true => Err(DatasetError::EmptyArchive { kind: ArchiveKind::Folder }),
        false => Ok(()),
    }
}

pub(super) fn read(source: &Path, meter: &Rc<Meter<'_>>, visit: &mut Visit<'_>) -> Result<(), DatasetError> {
    let found = list(source, meter)?;
    if found.is_empty() {
        return Err(DatasetError::EmptyArchive { kind: ArchiveKind::Folder });
    }
    let total = found.len() as f64;
    for (index, found) in found.iter().enumerate() {
        // Below `source` by construction; if it weren't, its name would be judged absolute.
        let relative = found.path.strip_prefix(source).unwrap_or(&found.path);
        let Some(entry) = one(found, relative, meter)? else { continue };
        if visit(entry, (index + 1) as f64 / total).is_break() {
            break;
        }
    }
    Ok(())
}

/// Everything below `source` that is no directory, by path. Links are listed, never followed, so there is no way out and
/// no way round.
fn list(source: &Path, meter: &Meter<'_>) -> Result<Vec<Found>, DatasetError> {
    let failed = || DatasetError::io("listing the folder");
    let mut found = Vec::new();
    let mut waiting = vec![source.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).map_err(failed())? {
            meter.entry()?;
            let entry = entry.map_err(failed())?;
            let kind = entry.file_type().map_err(failed())?;
            match kind.is_dir() {
                true => waiting.push(entry.path()),
                false => found.push(Found { path: entry.path(), kind }),
            }
        }
    }
    found.sort_by(|a, b| a.path.as_os_str().as_bytes().cmp(b.path.as_os_str().as_bytes()));
    Ok(found)
}

/// One file; `None` when nobody meant to send it.
fn one(found: &Found, relative: &Path, meter: &Rc<Meter<'_>>) -> Result<Option<Entry>, DatasetError> {
    let limits = meter.limits;
    let (path, class) = match named(relative.as_os_str().as_bytes(), meter) {
        Named::Candidate { path, class } => (path, class),
        Named::Done(entry) => return Ok(Some(entry)),
        Named::Skip => return Ok(None),
    };
    if found.kind.is_symlink() {
        let reason = "it is a symbolic link, and links aren't followed: put the picture itself there";
        return Ok(Some(rejected(&path, reason, limits)));
    }
    if !found.kind.is_file() {
        return Ok(Some(rejected(&path, "it is no regular file", limits)));
    }
    let file = match File::open(&found.path) {
        Ok(file) => file,
        Err(error) => return Ok(Some(rejected(&path, format!("it can't be opened: {error}"), limits))),
    };
    let size = file.metadata().map_err(DatasetError::io("reading a file's size"))?.len();
    let most = limits.picture.max_bytes;
    if size > most {
        return Ok(Some(rejected(&path, too_large(most), limits)));
    }
    let mut reader = Metered { inner: file, meter: Rc::clone(meter) };
    let content = read_bounded(&mut reader as &mut dyn Read, size, most);
    if let Some(error) = meter.take_error() {
        return Err(error);
    }
    Ok(Some(match content {
        Ok(Some(bytes)) => Entry::File { path, class, bytes },
        Ok(None) => rejected(&path, too_large(most), limits),
        Err(error) => rejected(&path, format!("it can't be read: {error}"), limits),
    }))
}
