//! A segment: a file of rows that is written once.
//!
//! ```text
//! header   magic (8)  bytes a row (4)
//! rows     back to back, as [`super::codec`] stores them
//! index    a row: key (16)  stored bytes (4)  their CRC-32 (4)
//! footer   rows (4)  CRC-32 of the index (4)  magic (8)
//! ```
//!
//! Numbers are little-endian. Nothing is said twice: where a row begins is the sum of those before it, and that sum, the
//! count and the file's length must agree. So every byte is checked, and no number is believed before it fits the file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::Fault;
use super::{RowKey, ShelfError};

/// Rows a segment: what an interrupted run computes again, at most. Part of the format, a segment of more is refused.
pub const SEGMENT_ROWS: usize = 512;
/// Stored bytes, of large rows, after which a segment is closed although it has fewer.
pub const SEGMENT_BYTES: u32 = 64 << 20;

/// The name of the format and, last, its version.
const MAGIC: [u8; 8] = *b"tgshelf1";
pub const HEADER_BYTES: u32 = 12;
const ENTRY_BYTES: usize = 24;
const FOOTER_BYTES: usize = 16;
const SUFFIX: &str = ".segment";
/// Hexadecimal digits of a content hash that name an owner.
const OWNER_DIGITS: usize = 16;

/// Where a row is in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub key: RowKey,
    /// Bytes from the start of the file.
    pub offset: u32,
    /// Bytes that it takes there.
    pub stored: u32,
    /// CRC-32 of those bytes.
    pub crc: u32,
}

/// What a segment begins with.
pub fn header(row_bytes: u32) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..].copy_from_slice(&row_bytes.to_le_bytes());
    header
}

/// What a segment of these rows, in this order, ends with: index and footer.
pub fn tail(entries: &[Entry]) -> Vec<u8> {
    let mut tail = Vec::with_capacity(entries.len() * ENTRY_BYTES + FOOTER_BYTES);
    for entry in entries {
        tail.extend_from_slice(&entry.key.0);
        tail.extend_from_slice(&entry.stored.to_le_bytes());
        tail.extend_from_slice(&entry.crc.to_le_bytes());
    }
    let crc = crc32fast::hash(&tail);
    // The writer closes a segment at `SEGMENT_ROWS`.
    tail.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    tail.extend_from_slice(&crc.to_le_bytes());
    tail.extend_from_slice(&MAGIC);
    tail
}

/// The rows of the segment at `path`, from header, index and footer. The rows themselves are
/// checked as they are read.
pub fn load(path: &Path, row_bytes: u32) -> Result<Vec<Entry>, Fault> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = [0; HEADER_BYTES as usize];
    file.read_exact_at(&mut start, 0)?;
    if start != header(row_bytes) {
        return Err(Fault::Damaged("it doesn't begin as a segment of such rows does"));
    }
    let before_footer = length.checked_sub(FOOTER_BYTES as u64).ok_or(Fault::Damaged("it has no footer"))?;
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, before_footer)?;
    let (count, index_crc) = (number(&footer, 0) as usize, number(&footer, 4));
    if footer[8..] != MAGIC || count > SEGMENT_ROWS {
        return Err(Fault::Damaged("it doesn't end as a segment does"));
    }
    let before_index = before_footer.checked_sub((count * ENTRY_BYTES) as u64);
    let before_index = before_index.ok_or(Fault::Damaged("it is too short for its index"))?;
    let mut index = vec![0; count * ENTRY_BYTES];
    file.read_exact_at(&mut index, before_index)?;
    if crc32fast::hash(&index) != index_crc {
        return Err(Fault::Damaged("its index has another checksum"));
    }
    entries(&index, row_bytes, before_index)
}

/// Reads an index whose rows must fill the file from the header to `end`.
fn entries(index: &[u8], row_bytes: u32, end: u64) -> Result<Vec<Entry>, Fault> {
    let mut offset = HEADER_BYTES;
    let mut entries = Vec::with_capacity(index.len() / ENTRY_BYTES);
    for bytes in index.chunks_exact(ENTRY_BYTES) {
        let mut key = [0; 16];
        key.copy_from_slice(&bytes[..16]);
        let stored = number(bytes, 16);
        let next = offset.checked_add(stored).filter(|_| (1..=row_bytes).contains(&stored));
        entries.push(Entry { key: RowKey(key), offset, stored, crc: number(bytes, 20) });
        offset = next.ok_or(Fault::Damaged("its index has a row of an impossible length"))?;
    }
    if u64::from(offset) != end {
        return Err(Fault::Damaged("its rows have other lengths than its index says"));
    }
    Ok(entries)
}

/// The little-endian number at `at`, which every caller knows to be inside.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The owner that a data set's content hash names.
///
/// # Errors
/// [`ShelfError::Invalid`] if it isn't a hash in lower-case hexadecimal.
pub fn owner(content_sha256: &str) -> Result<&str, ShelfError> {
    let digits = |owner: &&str| owner.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let owner = content_sha256.get(..OWNER_DIGITS).filter(digits);
    owner.ok_or_else(|| ShelfError::Invalid(format!("{content_sha256:?} is no content hash")))
}

/// The file name of a segment.
pub fn name(owner: &str, unique: &str) -> String {
    format!("{owner}-{unique}{SUFFIX}")
}

/// Whether a file name is that of a segment, and whose.
fn owner_of(name: &str) -> Option<&str> {
    let (name, unique) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    (owner(name).ok()? == name && !unique.is_empty()).then_some(name)
}

/// Whether a file name is that of a segment computed for the data set of this content.
#[must_use]
pub fn is_of(name: &str, content_sha256: &str) -> bool {
    owner(content_sha256).is_ok_and(|owner| owner_of(name) == Some(owner))
}

/// The file names of the segments in `dir`, of `of` alone if there is one; other files are nobody's business here.
pub fn names(dir: &Path, of: Option<&str>) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in fs::read_dir(dir)? {
        let name = file?.file_name().into_string().unwrap_or_default();
        if owner_of(&name).is_some_and(|owner| of.is_none_or(|of| of == owner)) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Removes a damaged segment, so that its rows are computed again rather than failing every later run.
pub fn discard(path: &Path, reason: &str) {
    tracing::warn!(path = %path.display(), reason, "a damaged segment of features is removed");
    if let Err(error) = fs::remove_file(path) {
        // Another process may have been faster; what else stands in the way meets the next reader too.
        tracing::warn!(path = %path.display(), %error, "the damaged segment couldn't be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_are_taken_for_segments() {
        let owner = "0123456789abcdef";
        assert_eq!(owner_of(&name(owner, "x")), Some(owner));
        for other in ["lock", "writing", ".writing-x", "-x.segment", "0123-x.segment", "0123456789abcdeF-x.segment"] {
            assert_eq!(owner_of(other), None, "{other}");
        }
        for other in [format!("{owner}.segment"), format!("{owner}-.segment"), format!("{owner}0-x.segment")] {
            assert_eq!(owner_of(&other), None, "{other}");
        }
    }

    #[test]
    fn an_owner_is_the_start_of_a_hash() {
        assert_eq!(owner(&"0123456789abcdef".repeat(4)).unwrap(), "0123456789abcdef");
        for other in ["", "0123", "../../../../../etc", "0123456789ABCDEF", "éééééééééééé"] {
            assert!(matches!(owner(other), Err(ShelfError::Invalid(_))), "{other}");
        }
    }
}
