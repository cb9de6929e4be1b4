//! Every byte of a segment, checked.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::codec::unpacked;
use super::error::Fault;
use super::segment::{self, HEADER_BYTES, SEGMENT_BYTES};
use super::{ShelfError, evict};

/// What became of checking a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentState {
    /// Every row is what was written.
    Whole,
    /// It went since it was listed: evicted, or its data set deleted.
    Gone,
    /// Something isn't what was written.
    Damaged(&'static str),
}

/// The segments of all shelves in `root`.
///
/// # Errors
/// [`ShelfError::Io`] when a folder can't be read.
pub fn segments(root: &Path) -> Result<Vec<PathBuf>, ShelfError> {
    let mut paths = Vec::new();
    for dir in evict::shelves(root).map_err(ShelfError::at(root))? {
        match segment::names(&dir, None) {
            Ok(names) => paths.extend(names.into_iter().map(|name| dir.join(name))),
            // Evicted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(ShelfError::at(&dir)(error)),
        }
    }
    Ok(paths)
}

/// Checks a segment from its first byte to its last.
///
/// # Errors
/// What the system says.
pub fn verify(path: &Path) -> io::Result<SegmentState> {
    match rows(path) {
        Ok(()) => Ok(SegmentState::Whole),
        Err(Fault::Damaged(reason)) => Ok(SegmentState::Damaged(reason)),
        Err(Fault::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(SegmentState::Gone),
        Err(Fault::Io(error)) => Err(error),
    }
}

fn rows(path: &Path) -> Result<(), Fault> {
    let file = File::open(path)?;
    let mut header = [0; HEADER_BYTES as usize];
    file.read_exact_at(&mut header, 0)?;
    let [.., a, b, c, d] = header;
    let row_bytes = u32::from_le_bytes([a, b, c, d]);
    if !(1..=SEGMENT_BYTES).contains(&row_bytes) {
        return Err(Fault::Damaged("its rows have an impossible length"));
    }
    let mut row = vec![0; row_bytes as usize];
    for entry in segment::load(path, row_bytes)? {
        let mut stored = vec![0; entry.stored as usize];
        file.read_exact_at(&mut stored, entry.offset.into())?;
        if crc32fast::hash(&stored) != entry.crc {
            return Err(Fault::Damaged("a row has another checksum"));
        }
        if stored.len() < row.len() && !unpacked(&stored, &mut row) {
            return Err(Fault::Damaged("a row doesn't unpack"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Packed, RowKey, Shelf, Turn};
    use super::*;

    #[test]
    fn any_changed_bit_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(root.path(), "shelf", 64).unwrap();
        let mut writer = shelf.try_writer(&"0123456789abcdef".repeat(4), Turn::Alone).unwrap().unwrap();
        for number in 0..4u8 {
            let row: Vec<u8> = (0..64).map(|at| if at % 4 == 0 { at + number } else { 0 }).collect();
            writer.append(RowKey::new(&number.to_string(), "evaluation"), &Packed::of::<1>(&row)).unwrap();
        }
        writer.finish().unwrap();
        let [path] = &segments(root.path()).unwrap()[..] else { panic!("not one segment") };
        assert_eq!(verify(path).unwrap(), SegmentState::Whole);
        let whole = fs::read(path).unwrap();
        // All but the length of a row: it is the shelf's, and whoever opens the shelf knows it.
        for place in (0..8).chain(HEADER_BYTES as usize..whole.len()) {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(path, &bytes).unwrap();
            assert!(matches!(verify(path).unwrap(), SegmentState::Damaged(_)), "byte {place}");
        }
        fs::remove_file(path).unwrap();
        assert_eq!(verify(path).unwrap(), SegmentState::Gone);
    }
}
