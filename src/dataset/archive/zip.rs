//! Zip archives, read by their central directory.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use zip::ZipReadOptions;
use zip::read::{Config, ZipFileEntry};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

use super::meter::{Meter, Metered, is_contents_fault, read_bounded, too_large};
use super::{ArchiveKind, Entry, Named, Visit, named, rejected};
use crate::dataset::DatasetError;

/// Directory records are about a hundred bytes and each one begins with a seek, which empties the buffer.
const DIRECTORY_BUFFER: usize = 512;

/// What each entry in the directory begins with (APPNOTE.TXT 6.3.10, section 4.3.12).
const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";

/// The file-type bits of a Unix mode, and the two types that a picture's entry may have.
const TYPE_BITS: u32 = 0o170_000;
const NO_TYPE: u32 = 0;
const REGULAR: u32 = 0o100_000;

pub(super) fn check(source: &Path, meter: &Meter<'_>) -> Result<(), DatasetError> {
    let mut archive = open(source, meter)?;
    let (mut files, mut encrypted) = (0u64, 0u64);
    let directory = archive.files().map_err(broken)?;
    for entry in directory.by_ref() {
        meter.entry()?;
        let entry = entry.map_err(broken)?;
        files += u64::from(entry.is_file());
        encrypted += u64::from(entry.is_file() && entry.encrypted());
    }
    // Its end counts to 65,535, and programs that don't know better begin again at 0: what isn't counted must not be lost in silence.
    let mut next = [0; DIRECTORY_ENTRY.len()];
    if directory.reader_mut().read_exact(&mut next).is_ok() && next == DIRECTORY_ENTRY {
        let detail = "its directory lists more entries than its end counts".into();
        return Err(DatasetError::BrokenArchive { kind: ArchiveKind::Zip, detail });
    }
    if files > 0 && files == encrypted {
        return Err(DatasetError::EncryptedArchive { kind: ArchiveKind::Zip });
    }
    Ok(())
}

pub(super) fn read(source: &Path, meter: &Rc<Meter<'_>>, visit: &mut Visit<'_>) -> Result<(), DatasetError> {
    let mut archive = open(source, meter)?;
    let total = archive.len().max(1) as f64;
    let mut body = BufReader::new(File::open(source).map_err(DatasetError::io("opening the archive"))?);
    for (index, entry) in archive.files().map_err(broken)?.enumerate() {
        meter.entry()?;
        let Some(entry) = one(entry.map_err(broken)?, &mut body, meter)? else { continue };
        if visit(entry, (index + 1) as f64 / total).is_break() {
            break;
        }
    }
    Ok(())
}

fn open(source: &Path, meter: &Meter<'_>) -> Result<ZipIterable<BufReader<File>>, DatasetError> {
    let file = File::open(source).map_err(DatasetError::io("opening the archive"))?;
    let reader = BufReader::with_capacity(DIRECTORY_BUFFER, file);
    let archive = ZipIterable::try_new(reader, Config::default()).map_err(broken)?;
    let limit = meter.limits.max_entries;
    match archive.len() as u64 {
        0 => Err(DatasetError::EmptyArchive { kind: ArchiveKind::Zip }),
        entries if entries > limit => Err(DatasetError::TooManyEntries { limit }),
        _ => Ok(archive),
    }
}

/// One entry of the directory; `None` when nobody meant to send it.
fn one(entry: ZipFileEntry<'_>, body: &mut BufReader<File>, meter: &Rc<Meter<'_>>) -> Result<Option<Entry>, DatasetError> {
    let limits = meter.limits;
    if entry.is_dir() {
        return Ok(None);
    }
    let name = name_of(&entry);
    let (path, class) = match named(&name, meter) {
        Named::Candidate { path, class } => (path, class),
        Named::Done(entry) => return Ok(Some(entry)),
        Named::Skip => return Ok(None),
    };
    let reject = |reason: String| Ok(Some(rejected(&path, reason, limits)));
    if entry.is_symlink() {
        return reject("it is a symbolic link, and links aren't followed: put the picture itself there".into());
    }
    if !matches!(entry.unix_mode().map_or(NO_TYPE, |mode| mode & TYPE_BITS), NO_TYPE | REGULAR) {
        return reject("it is no regular file".into());
    }
    if entry.encrypted() {
        return reject("it is encrypted: make the zip again without a password".into());
    }
    let (size, most) = (entry.size(), limits.picture.max_bytes);
    if size > most {
        return reject(too_large(most));
    }
    let content = entry.with_reader(body, ZipReadOptions::new()).and_then(|file| {
        let mut file = Metered { inner: file, meter: Rc::clone(meter) };
        Ok(read_bounded(&mut file, size, most)?)
    });
    if let Some(error) = meter.take_error() {
        return Err(error);
    }
    match content {
        Ok(Some(bytes)) => Ok(Some(Entry::File { path, class, bytes })),
        Ok(None) => reject(too_large(most)),
        Err(ZipError::Io(source)) if !is_contents_fault(&source) => {
            Err(DatasetError::Io { doing: "reading the archive", source })
        }
        Err(error) => reject(format!("it is broken inside the zip ({}): make the zip again", plain(&error))),
    }
}

/// The entry's name as UTF-8 where that can be had, with `/` between components.
///
/// Programs on Linux and macOS write UTF-8 without saying so, old ones on Windows code page 437 and sometimes `\`.
fn name_of(entry: &ZipFileEntry<'_>) -> Vec<u8> {
    let raw = entry.name_raw();
    let decoded = match std::str::from_utf8(raw) {
        Ok(name) => name.to_owned(),
        Err(_) => match entry.name() {
            Ok(name) => name.into_owned(),
            Err(_) => return raw.to_vec(),
        },
    };
    decoded.replace('\\', "/").into_bytes()
}

fn broken(error: ZipError) -> DatasetError {
    match error {
        ZipError::Io(source) if !is_contents_fault(&source) => DatasetError::Io { doing: "reading the archive", source },
        error => DatasetError::BrokenArchive { kind: ArchiveKind::Zip, detail: plain(&error) },
    }
}

/// The library's words without its prefix, which would repeat what our own sentence says.
fn plain(error: &ZipError) -> String {
    match error {
        ZipError::InvalidArchive(detail) => detail.clone().into_owned(),
        ZipError::UnsupportedArchive(detail) => (*detail).to_owned(),
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it is cut short".into(),
        ZipError::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}
