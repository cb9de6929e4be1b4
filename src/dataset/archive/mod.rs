//! One entry after another out of a zip, a tar (plain, gzip, zstd) or a folder, within limits.
//!
//! Entries are given to the caller in memory, one at a time; nothing is written anywhere. What is no candidate for a
//! picture comes as a [`Rejected`] with its reason, or not at all when nobody meant to send it (folders, `.DS_Store` and
//! the like).

mod folder;
mod meter;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::paths::{self, Layout, Verdict};
use super::{DatasetError, DatasetLimits, Rejected};
use meter::Meter;

/// What a source is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// A directory on this machine's disk.
    Folder,
    /// A zip archive.
    Zip,
    /// An uncompressed tar.
    Tar,
    /// A tar compressed with gzip.
    TarGz,
    /// A tar compressed with zstd.
    TarZst,
}

impl ArchiveKind {
    /// The command that makes such an archive, for error messages.
    pub fn command(self) -> &'static str {
        match self {
            Self::Folder | Self::Zip => "zip -r pictures.zip folder",
            Self::Tar => "tar -cf pictures.tar folder",
            Self::TarGz => "tar -czf pictures.tar.gz folder",
            Self::TarZst => "tar --zstd -cf pictures.tar.zst folder",
        }
    }
}

impl fmt::Display for ArchiveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
        })
    }
}

/// An entry that was meant to be sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file in a class folder, which may be a picture.
    File {
        /// Its path in the source, components joined by `/`.
        path: String,
        /// Its class: the name of the folder that directly contains it; empty out of [`read_pictures`].
        class: String,
        /// Its content, whole; at most [`crate::vision::picture::PictureLimits::max_bytes`].
        bytes: Vec<u8>,
    },
    /// What can't be used, and why.
    Rejected(Rejected),
}

impl fmt::Debug for Entry {
    /// Without the content, which may be millions of bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, class, bytes } => write!(f, "File({path:?}, {class:?}, {} bytes)", bytes.len()),
            Self::Rejected(rejected) => rejected.fmt(f),
        }
    }
}

/// Takes each entry and the fraction of the source that has been read (0 to 1); breaks to read no further.
pub type Visit<'v> = dyn FnMut(Entry, f64) -> ControlFlow<()> + 'v;

/// What `source` is, by its content: a directory, or an archive by its magic numbers. A gzip or zstd stream must hold a
/// tar.
///
/// # Errors
/// [`DatasetError::UnknownArchive`] when it is none of them, [`DatasetError::Io`] when it can't be read.
pub fn detect(source: &Path) -> Result<ArchiveKind, DatasetError> {
    let file = File::open(source).map_err(DatasetError::io("opening the archive"))?;
    if file.metadata().map_err(DatasetError::io("opening the archive"))?.is_dir() {
        return Ok(ArchiveKind::Folder);
    }
    let mut head = Vec::with_capacity(tar::BLOCK);
    BufReader::new(&file).take(tar::BLOCK as u64).read_to_end(&mut head).map_err(DatasetError::io("reading the archive"))?;
    match head.as_slice() {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(ArchiveKind::Zip),
        [0x1f, 0x8b, ..] => tar::compressed(source, ArchiveKind::TarGz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => tar::compressed(source, ArchiveKind::TarZst),
        block if tar::is_header(block) => Ok(ArchiveKind::Tar),
        other => Err(DatasetError::UnknownArchive { found: lookalike(other) }),
    }
}

fn lookalike(head: &[u8]) -> &'static str {
    match head {
        [] => " (it is empty)",
        [b'R', b'a', b'r', b'!', ..] => " (it looks like a RAR archive)",
        [b'7', b'z', 0xbc, 0xaf, ..] => " (it looks like a 7-Zip archive)",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => " (it looks like xz)",
        [b'B', b'Z', b'h', ..] => " (it looks like bzip2)",
        [b'P', b'K', ..] => " (it looks like one part of a split zip)",
        _ if crate::vision::picture::PictureFormat::sniff(head).is_some() => " (it is a single picture)",
        _ => "",
    }
}

/// A quick check of a new upload, so that a broken one is refused at once: the archive's size, a zip's whole directory, a
/// tar's first header. What it returns is the kind found.
///
/// # Errors
/// As [`read_entries`], for what shows without reading the whole of it.
pub fn check(source: &Path, limits: &DatasetLimits) -> Result<ArchiveKind, DatasetError> {
    let kind = detect(source)?;
    let bytes = archive_bytes(source, kind, limits)?;
    let never = AtomicBool::new(false);
    let meter = Meter::new(limits, Layout::Any, &never, bytes);
    match kind {
        ArchiveKind::Folder => folder::check(source, &meter)?,
        ArchiveKind::Zip => zip::check(source, &meter)?,
        ArchiveKind::Tar | ArchiveKind::TarGz | ArchiveKind::TarZst => tar::check(source, kind, &meter)?,
    }
    Ok(kind)
}

/// Reads `source` from its beginning, giving each entry that was meant to be sent to `visit`, in the archive's order (a
/// folder's: by path). Memory holds one entry at a time. Setting `stop` ends it with [`DatasetError::Stopped`].
///
/// # Errors
/// When the source can't be read, is broken so that reading can't go on, or passes a limit of the archive; an entry's own
/// trouble is that entry's rejection.
pub fn read_entries(
    source: &Path,
    limits: &DatasetLimits,
    stop: &AtomicBool,
    visit: &mut Visit<'_>,
) -> Result<(), DatasetError> {
    read(source, limits, Layout::Classes, stop, visit)
}

/// As [`read_entries`], for pictures without classes: they may lie in any folder or none.
///
/// # Errors
/// As there.
pub fn read_pictures(
    source: &Path,
    limits: &DatasetLimits,
    stop: &AtomicBool,
    visit: &mut Visit<'_>,
) -> Result<(), DatasetError> {
    read(source, limits, Layout::Any, stop, visit)
}

fn read(
    source: &Path,
    limits: &DatasetLimits,
    layout: Layout,
    stop: &AtomicBool,
    visit: &mut Visit<'_>,
) -> Result<(), DatasetError> {
    let kind = detect(source)?;
    let meter = Meter::new(limits, layout, stop, archive_bytes(source, kind, limits)?);
    match kind {
        ArchiveKind::Folder => folder::read(source, &meter, visit),
        ArchiveKind::Zip => zip::read(source, &meter, visit),
        ArchiveKind::Tar | ArchiveKind::TarGz | ArchiveKind::TarZst => tar::read(source, kind, &meter, visit),
    }
}

fn archive_bytes(source: &Path, kind: ArchiveKind, limits: &DatasetLimits) -> Result<Option<u64>, DatasetError> {
    if kind == ArchiveKind::Folder {
        return Ok(None);
    }
    let bytes = fs::metadata(source).map_err(DatasetError::io("reading the archive's size"))?.len();
    if bytes > limits.max_archive_bytes {
        return Err(DatasetError::ArchiveTooLarge { bytes, limit: limits.max_archive_bytes });
    }
    Ok(Some(bytes))
}

/// What an entry's name makes of it, before its content is looked at.
enum Named {
    /// To be read.
    Candidate { path: String, class: String },
    /// To be passed on as it is.
    Done(Entry),
    /// To be left out.
    Skip,
}

/// Judges a name whose bytes may be anything.
fn named(raw: &[u8], meter: &Meter<'_>) -> Named {
    let limits = meter.limits;
    match std::str::from_utf8(raw) {
        Ok(name) => match paths::judge(name, limits.max_path_bytes, meter.layout) {
            Verdict::Candidate { path, class } => Named::Candidate { path, class },
            Verdict::Junk => Named::Skip,
            Verdict::Rejected(reason) => Named::Done(rejected(name, reason, limits)),
        },
        Err(_) => {
            let reason = "its name isn't UTF-8: rename it, or make the archive again with a current program";
            Named::Done(rejected(&String::from_utf8_lossy(raw), reason, limits))
        }
    }
}

fn rejected(path: &str, reason: impl Into<String>, limits: &DatasetLimits) -> Entry {
    Entry::Rejected(Rejected { path: paths::shown(path, limits.max_path_bytes), reason: reason.into() })
}
