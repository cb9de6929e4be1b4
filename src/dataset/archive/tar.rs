//! Tar archives, plain or compressed, read as a stream.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use super::meter::{Consumed, Meter, Metered, is_contents_fault, read_bounded, too_large};
use super::{ArchiveKind, Entry, Named, Visit, named, rejected};
use crate::dataset::DatasetError;

/// A tar is made of blocks of 512 bytes (POSIX.1-2001, ustar).
pub(super) const BLOCK: usize = 512;

/// The most that may stand between two entries (long names, extended attributes, sparse maps), in bytes. The library
/// reads these into memory whole.
const MAX_HEADERS: u64 = 1 << 20;

/// Where a header's checksum field is, and how it is counted: as if it were spaces (POSIX.1-2001, ustar).
const CHECKSUM: std::ops::Range<usize> = 148..156;

type Reader<'a> = Metered<'a, Box<dyn Read + 'a>>;

/// Whether `block` is a tar header with a right checksum, or the zeros that an empty tar consists of.
pub(super) fn is_header(block: &[u8]) -> bool {
    if block.len() != BLOCK {
        return false;
    }
    if block.iter().all(|byte| *byte == 0) {
        return true;
    }
    let sum: u64 = block.iter().enumerate().map(|(i, &b)| if CHECKSUM.contains(&i) { 32 } else { u64::from(b) }).sum();
    let field = String::from_utf8_lossy(&block[CHECKSUM]);
    let digits = field.trim_matches(|c: char| c == ' ' || c == '\0');
    u64::from_str_radix(digits, 8).is_ok_and(|stored| stored == sum)
}

/// `kind` if the compressed stream begins with a tar header.
pub(super) fn compressed(source: &Path, kind: ArchiveKind) -> Result<ArchiveKind, DatasetError> {
    let file = File::open(source).map_err(DatasetError::io("opening the archive"))?;
    let mut block = Vec::with_capacity(BLOCK);
    let stream = decompress(file, kind).map_err(DatasetError::io("reading the archive"))?;
    stream.take(BLOCK as u64).read_to_end(&mut block).map_err(|error| broken(kind, error))?;
    match is_header(&block) {
        true => Ok(kind),
        false => Err(DatasetError::UnknownArchive { found: " (it is compressed, but no tar is in it)" }),
    }
}

pub(super) fn check(source: &Path, kind: ArchiveKind, meter: &Rc<Meter<'_>>) -> Result<(), DatasetError> {
    let mut archive = open(source, kind, meter)?;
    meter.allow(MAX_HEADERS);
    match archive.entries().map_err(|error| failed(kind, error, meter))?.next() {
        None => Err(DatasetError::EmptyArchive { kind }),
        Some(Err(error)) => Err(failed(kind, error, meter)),
        Some(Ok(_)) => Ok(()),
    }
}

pub(super) fn read(source: &Path, kind: ArchiveKind, meter: &Rc<Meter<'_>>, visit: &mut Visit<'_>) -> Result<(), DatasetError> {
    let mut archive = open(source, kind, meter)?;
    let mut entries = archive.entries().map_err(|error| failed(kind, error, meter))?;
    let (mut any, mut unread) = (false, 0u64);
    loop {
        // The next header lies behind what is left of this entry and its padding.
        meter.allow(unread.saturating_add(MAX_HEADERS));
        let Some(entry) = entries.next() else { break };
        meter.allow(u64::MAX);
        let mut entry = entry.map_err(|error| failed(kind, error, meter))?;
        meter.entry()?;
        any = true;
        unread = entry.size();
        let Some(entry) = one(&mut entry, kind, meter)? else { continue };
        if visit(entry, meter.fraction()).is_break() {
            return Ok(());
        }
    }
    if meter.at_end() {
        // Only the closing zeros tell a whole tar from one cut between two entries.
        return Err(DatasetError::BrokenArchive { kind, detail: "it ends before its closing mark".into() });
    }
    if !any {
        return Err(DatasetError::EmptyArchive { kind });
    }
    finish(archive, kind, meter)
}

/// Reads what follows the last entry, so that the compressed stream's own checksum is looked at.
fn finish(archive: tar::Archive<Reader<'_>>, kind: ArchiveKind, meter: &Meter<'_>) -> Result<(), DatasetError> {
    meter.allow(u64::MAX);
    match io::copy(&mut archive.into_inner(), &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(kind, error, meter)),
    }
}

fn open<'a>(source: &Path, kind: ArchiveKind, meter: &Rc<Meter<'a>>) -> Result<tar::Archive<Reader<'a>>, DatasetError> {
    let file = File::open(source).map_err(DatasetError::io("opening the archive"))?;
    let file = Consumed { inner: file, meter: Rc::clone(meter) };
    let inner = decompress(file, kind).map_err(DatasetError::io("reading the archive"))?;
    Ok(tar::Archive::new(Metered { inner, meter: Rc::clone(meter) }))
}

/// Streams may be several members one after another, as parallel compressors make them.
fn decompress<'a>(file: impl Read + 'a, kind: ArchiveKind) -> io::Result<Box<dyn Read + 'a>> {
    const BUFFER: usize = 128 << 10;
    let file = BufReader::with_capacity(BUFFER, file);
    Ok(match kind {
        ArchiveKind::TarGz => Box::new(BufReader::new(MultiGzDecoder::new(file))),
        ArchiveKind::TarZst => Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(file)?)),
        ArchiveKind::Tar | ArchiveKind::Zip | ArchiveKind::Folder => Box::new(file),
    })
}

/// One entry; `None` when nobody meant to send it.
fn one(entry: &mut tar::Entry<'_, Reader<'_>>, kind: ArchiveKind, meter: &Meter<'_>) -> Result<Option<Entry>, DatasetError> {
    let limits = meter.limits;
    let kind_of_entry = entry.header().entry_type();
    // Global headers describe others and are no entries of their own.
    if kind_of_entry.is_dir() || kind_of_entry.is_pax_global_extensions() {
        return Ok(None);
    }
    let (path, class) = match named(&entry.path_bytes(), meter) {
        Named::Candidate { path, class } => (path, class),
        Named::Done(entry) => return Ok(Some(entry)),
        Named::Skip => return Ok(None),
    };
    let reject = |reason: String| Ok(Some(rejected(&path, reason, limits)));
    if kind_of_entry.is_symlink() || kind_of_entry.is_hard_link() {
        return reject("it is a link, and links aren't followed: put the picture itself there".into());
    }
    if !(kind_of_entry.is_file() || kind_of_entry.is_contiguous()) {
        return reject("it is no regular file".into());
    }
    let (size, most) = (entry.size(), limits.picture.max_bytes);
    if size > most {
        return reject(too_large(most));
    }
    match read_bounded(entry, size, most) {
        Ok(Some(bytes)) if bytes.len() as u64 == size => Ok(Some(Entry::File { path, class, bytes })),
        Ok(Some(_)) => Err(DatasetError::BrokenArchive { kind, detail: format!("it is cut short within {path}") }),
        Ok(None) => reject(too_large(most)),
        Err(error) => Err(failed(kind, error, meter)),
    }
}

fn failed(kind: ArchiveKind, error: io::Error, meter: &Meter<'_>) -> DatasetError {
    meter.take_error().unwrap_or_else(|| broken(kind, error))
}

fn broken(kind: ArchiveKind, error: io::Error) -> DatasetError {
    if !is_contents_fault(&error) {
        return DatasetError::Io { doing: "reading the archive", source: error };
    }
    let detail = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut short".into(),
        _ => error.to_string(),
    };
    DatasetError::BrokenArchive { kind, detail }
}
