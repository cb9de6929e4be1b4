//! An artifact as one file, a plain tar of its three files: out of one machine, and into another.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::fit::{self, Misfit};
use super::publish::finish;
use super::{ArtifactError, MANIFEST, Manifest, REPORT, WEIGHTS, at, manifest, report, tensors};
use crate::report::Report;

/// The files of an artifact, in the archive's order, and the most bytes that each may have: class names are short; a hundred
/// thousand predictions of a hundred classes are 200 MB; the largest head that a recipe can ask for is 3.3 GB.
const FILES: [(&str, u64); 3] = [(MANIFEST, 16 << 20), (WEIGHTS, 4 << 30), (REPORT, 1 << 30)];

/// A tar is made of blocks of this many bytes, and ends in two of zeros (POSIX.1-2001, ustar).
const BLOCK: u64 = 512;

/// Why an archive can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It isn't what an artifact's download is.
    #[error("{path} isn't an artifact's tar: {reason}; it holds {MANIFEST}, {WEIGHTS} and {REPORT} and nothing else")]
    Foreign {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused, or a file isn't what the manifest says.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The tensors aren't those that the manifest asks for.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// A piece of the archive.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of its own: headers and padding.
    Bytes(Vec<u8>),
    /// A file of the artifact, open, and its length.
    File(File, u64),
}

/// The archive of the artifact in `dir`, piece by piece in order: the same artifact gives the same bytes. The files are open
/// already, so that it is whole whatever becomes of the folder.
///
/// # Errors
/// A missing file.
pub fn pieces(dir: &Path) -> Result<Vec<Piece>, ArtifactError> {
    let mut pieces = Vec::new();
    let mut padding = 0;
    for (name, _) in FILES {
        let path = dir.join(name);
        let file = File::open(&path).map_err(at(&path))?;
        let bytes = file.metadata().map_err(at(&path))?.len();
        let mut header = tar::Header::new_ustar();
        header.set_path(name).map_err(at(&path))?;
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_cksum();
        let mut between = vec![0; padding];
        between.extend_from_slice(header.as_bytes());
        pieces.extend([Piece::Bytes(between), Piece::File(file, bytes)]);
        padding = (bytes.next_multiple_of(BLOCK) - bytes) as usize;
    }
    pieces.push(Piece::Bytes(vec![0; padding + 2 * BLOCK as usize]));
    Ok(pieces)
}

/// An archive that was unpacked and found right, in a folder of its own, which goes when this is dropped.
#[derive(Debug)]
pub struct Unpacked {
    dir: tempfile::TempDir,
    /// What the model is.
    pub manifest: Manifest,
    /// What its run found out.
    pub report: Report,
}

/// Unpacks `archive` into a new folder in `parent`, which is made if it isn't there, and checks it: three plain files of
/// bounded sizes, the manifest's format, the checksums, the shapes of the tensors.
///
/// # Errors
/// [`ArchiveError`]; then nothing is left.
pub fn unpack(archive: &Path, parent: &Path) -> Result<Unpacked, ArchiveError> {
    let file = File::open(archive).map_err(at(archive))?;
    fs::create_dir_all(parent).map_err(at(parent))?;
    let dir = tempfile::Builder::new().prefix(".importing-").tempdir_in(parent).map_err(at(parent))?;
    extract(archive, BufReader::new(file), dir.path())?;
    let manifest = manifest(dir.path())?;
    let report = report(dir.path(), &manifest)?;
    fit::learnt(&manifest, &tensors(dir.path(), &manifest)?)?;
    if report.classes != manifest.classes {
        let reason = "its report is of other classes than its manifest".to_owned();
        return Err(ArchiveError::Foreign { path: archive.to_owned(), reason });
    }
    Ok(Unpacked { dir, manifest, report })
}

impl Unpacked {
    /// Makes it the artifact in `dest`, as a version of `model`; what lies there is an abandoned attempt's and goes.
    ///
    /// # Errors
    /// The file system's refusals.
    pub fn publish(self, dest: &Path, model: &str, version: u64) -> Result<(), ArtifactError> {
        if dest.exists() {
            fs::remove_dir_all(dest).map_err(at(dest))?;
        }
        let parent = dest.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(at(parent))?;
        let published = Manifest { model: model.to_owned(), version, created_at: chrono::Utc::now(), ..self.manifest };
        finish(self.dir, dest, &published)
    }
}

/// Writes the archive's files to `dir`. Entries are looked at raw, so that nothing (long names, links, sparse files) is read or
/// made but plain files by the three names.
fn extract(archive: &Path, reader: impl Read, dir: &Path) -> Result<(), ArchiveError> {
    let foreign = |reason: String| ArchiveError::Foreign { path: archive.to_owned(), reason };
    let mut tar = tar::Archive::new(reader);
    let mut missing: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    for entry in tar.entries().map_err(at(archive))?.raw(true) {
        let mut entry = entry.map_err(|error| foreign(error.to_string()))?;
        let found = FILES.iter().find(|(name, _)| *entry.path_bytes() == *name.as_bytes());
        let (Some((name, most)), true) = (found, entry.header().entry_type().is_file()) else {
            return Err(foreign(format!("it has an entry {:?}", String::from_utf8_lossy(&entry.path_bytes()))));
        };
        let Some(place) = missing.iter().position(|missing| missing == name) else {
            return Err(foreign(format!("it has {name} twice")));
        };
        missing.swap_remove(place);
        let bytes = entry.size();
        if bytes > *most {
            return Err(foreign(format!("its {name} has {bytes} bytes, more than {most}")));
        }
        let path = dir.join(name);
        let mut file = File::create_new(&path).map_err(at(&path))?;
        // An error in the copy may be the archive's or the disk's: its text says which.
        let copied = io::copy(&mut entry, &mut file).map_err(|error| foreign(format!("{name}: {error}")))?;
        if copied != bytes {
            return Err(foreign(format!("it is cut short within {name}")));
        }
        file.flush().and_then(|()| file.sync_all()).map_err(at(&path))?;
    }
    if missing.is_empty() { Ok(()) } else { Err(foreign(format!("it has no {}", missing.join(" and no ")))) }
}

#[cfg(test)]
mod tests;
