//! Segments that aren't what was written.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::*;

const BYTES: usize = 96;
const ROWS: usize = 5;

/// A shelf of one segment, some of its rows packed and some as they are; its rows and the segment.
fn shelf(root: &Path) -> (Vec<Vec<u8>>, PathBuf) {
    let shelf = Shelf::open(root, "shelf", BYTES).unwrap();
    let noise = |number: usize| (0..BYTES).map(|at| ((at + 1) * (2 * at + 77 * number + 1)) as u8).collect();
    let rows: Vec<Vec<u8>> = (0..ROWS).map(|n| if n % 2 == 0 { vec![n as u8; BYTES] } else { noise(n) }).collect();
    let mut writer = shelf.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    rows.iter().enumerate().for_each(|(number, row)| drop(writer.append(key(number), &Packed::of::<1>(row)).unwrap()));
    writer.finish().unwrap();
    (rows, segments(&shelf.dir).remove(0))
}

/// How many rows are read as they were written; the others must be missing or found damaged, and then gone for good.
fn intact(root: &Path, rows: &[Vec<u8>]) -> usize {
    let shelf = Shelf::open(root, "shelf", BYTES).unwrap();
    let mut found = vec![0; BYTES];
    let read = |(number, row): (usize, &Vec<u8>)| match shelf.read(&key(number), &mut found) {
        Ok(()) => {
            assert_eq!(&found, row);
            true
        }
        Err(ShelfError::Missing | ShelfError::Damaged { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    let intact = rows.iter().enumerate().map(read).filter(|&read| read).count();
    assert_eq!(segments(&shelf.dir).len(), usize::from(intact == rows.len()), "what is damaged is computed again");
    intact
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_stretch_is_noticed_wherever_it_is(at in any::<prop::sample::Index>(), bytes in vec(any::<u8>(), 1..4)) {
        let root = tempfile::tempdir().unwrap();
        let (rows, path) = shelf(root.path());
        let mut file = fs::read(&path).unwrap();
        let at = at.index(file.len());
        file[at..].iter_mut().zip(&bytes).for_each(|(byte, flip)| *byte ^= flip);
        let same = file == fs::read(&path).unwrap();
        fs::write(&path, file).unwrap();
        prop_assert_eq!(intact(root.path(), &rows) == ROWS, same);
    }
}

#[test]
fn a_segment_of_any_other_length_is_dropped_whole() {
    let root = tempfile::tempdir().unwrap();
    let (rows, path) = shelf(root.path());
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(intact(root.path(), &rows), 0, "{length}");
    }
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert_eq!(intact(root.path(), &rows), 0);
    fs::write(&path, &whole).unwrap();
    assert_eq!(intact(root.path(), &rows), ROWS);
}

#[test]
fn a_segment_of_other_rows_or_another_version_is_dropped() {
    for (at, byte) in [(7, b'2'), (8, 97)] {
        let root = tempfile::tempdir().unwrap();
        let (rows, path) = shelf(root.path());
        let mut file = fs::read(&path).unwrap();
        file[at] = byte;
        fs::write(&path, file).unwrap();
        assert_eq!(intact(root.path(), &rows), 0);
    }
}

#[test]
fn lengths_and_counts_that_lie_are_refused() {
    let lies: [fn(&mut Vec<Entry>); 5] = [
        |entries| entries[0].stored = 0,
        |entries| entries[0].stored = u32::MAX,
        |entries| entries[0].stored = BYTES as u32 + 1,
        |entries| entries.iter_mut().for_each(|entry| entry.stored = BYTES as u32),
        |entries| entries.truncate(ROWS - 1),
    ];
    for (number, lie) in lies.iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let (rows, path) = shelf(root.path());
        let mut entries = segment::load(&path, BYTES as u32).unwrap();
        let file = fs::read(&path).unwrap();
        let end = entries.last().map(|last| (last.offset + last.stored) as usize).unwrap();
        lie(&mut entries);
        // The checksum of the index is right: only what it says is not.
        fs::write(&path, [&file[..end], &segment::tail(&entries)].concat()).unwrap();
        assert_eq!(intact(root.path(), &rows), 0, "lie {number}");
    }
    // A count beyond the file, and beyond any segment in a file that has (sparse) room for it.
    for (count, length) in [(1u32, 0), (SEGMENT_ROWS as u32, 0), (u32::MAX, 0), (1 << 30, 24 << 30)] {
        let root = tempfile::tempdir().unwrap();
        let (rows, path) = shelf(root.path());
        let file = File::create(&path).unwrap();
        file.write_all_at(&segment::header(BYTES as u32), 0).unwrap();
        let mut footer = segment::tail(&[]);
        footer[..4].copy_from_slice(&count.to_le_bytes());
        file.write_all_at(&footer, 12 + length).unwrap();
        assert_eq!(intact(root.path(), &rows), 0, "{count} rows");
    }
}

#[test]
fn a_row_that_unpacks_to_another_length_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let (rows, path) = shelf(root.path());
    let mut entries = segment::load(&path, BYTES as u32).unwrap();
    entries.truncate(1);
    for bytes in [BYTES - 1, BYTES + 1, 1 << 20] {
        let packed = Packed::of::<1>(&vec![1; bytes]).stored;
        let packed = if packed.len() < BYTES { packed } else { vec![7; BYTES - 1] };
        entries[0].stored = packed.len() as u32;
        entries[0].crc = crc32fast::hash(&packed);
        fs::write(&path, [&segment::header(BYTES as u32)[..], &packed, &segment::tail(&entries)].concat()).unwrap();
        assert_eq!(intact(root.path(), &rows[..1]), 0, "{bytes}");
    }
}

#[test]
fn rows_that_went_are_missing_after_a_refresh_and_written_again() {
    let root = tempfile::tempdir().unwrap();
    let (rows, path) = shelf(root.path());
    let mut shelf = Shelf::open(root.path(), "shelf", BYTES).unwrap();
    write(&shelf, OTHER, 100..103);
    shelf.refresh().unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(shelf.read(&key(0), &mut [0; BYTES]), Err(ShelfError::Missing)));
    shelf.refresh().unwrap();
    assert!(!shelf.contains(&key(0)));
    assert_holds(&shelf, 100..103);
    let mut writer = shelf.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    rows.iter().enumerate().for_each(|(number, row)| drop(writer.append(key(number), &Packed::of::<1>(row)).unwrap()));
    writer.finish().unwrap();
    assert_eq!(segments(&shelf.dir).len(), 2);
    shelf.refresh().unwrap();
    assert_eq!(shelf.rows.len(), ROWS + 3);
}
