//! What a shelf promises, through its files.

mod damage;
mod space;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

use super::evict::Evicted;
use super::segment::SEGMENT_ROWS;
use super::*;

/// Content hashes of two data sets.
const OWNER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba98765432100123456789abcdef0123456789abcdef0123456789abcdef";

fn key(number: usize) -> RowKey {
    RowKey::new(&number.to_string(), "evaluation")
}

/// A row much like features: mostly zeros, so that it is packed.
fn row(number: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| if (at * 7 + number).is_multiple_of(4) { (at + number) as u8 } else { 0 }).collect()
}

/// Writes `numbers` as one segment.
fn write(shelf: &Shelf, owner: &str, numbers: std::ops::Range<usize>) {
    let mut writer = shelf.try_writer(owner, Turn::Alone).unwrap().unwrap();
    numbers
        .for_each(|number| drop(writer.append(key(number), &Packed::of::<1>(&row(number, shelf.row_bytes as usize))).unwrap()));
    writer.finish().unwrap();
}

fn assert_holds(shelf: &Shelf, numbers: std::ops::Range<usize>) {
    let mut found = vec![0; shelf.row_bytes as usize];
    for number in numbers {
        shelf.read(&key(number), &mut found).unwrap();
        assert_eq!(found, row(number, found.len()));
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    segment::names(dir, None).unwrap().into_iter().map(|name| dir.join(name)).collect()
}

/// Rows as features are, and rows that nothing makes smaller.
fn any_row(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), bytes), vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], bytes)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_written_is_read_back_by_every_later_shelf(
        (bytes, rows) in (1..700usize).prop_flat_map(|bytes| {
            (Just(bytes), vec((0..9u8, any_row(bytes), any::<bool>()), 0..12))
        })
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(root.path(), "shelf", bytes).unwrap();
        let mut writer = shelf.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
        let mut expected = BTreeMap::new();
        for (key, row, cut) in &rows {
            let key = RowKey([*key; 16]);
            // Some keys are written twice, into one segment or two: the same key is the same row.
            writer.append(key, &Packed::of::<1>(expected.entry(key).or_insert(row))).unwrap();
            if *cut {
                writer.cut().unwrap();
            }
        }
        writer.finish().unwrap();
        shelf.refresh().unwrap();
        for shelf in [shelf, Shelf::open(root.path(), "shelf", bytes).unwrap()] {
            prop_assert_eq!(shelf.rows.len(), expected.len());
            let mut found = vec![0; bytes];
            for (key, row) in &expected {
                prop_assert!(shelf.contains(key));
                shelf.read(key, &mut found).unwrap();
                prop_assert_eq!(&found, *row);
            }
        }
    }
}

#[test]
fn rows_of_features_are_stored_smaller_and_by_many_threads_read() {
    let root = tempfile::tempdir().unwrap();
    let bytes = 20_000;
    write(&Shelf::open(root.path(), "shelf", bytes).unwrap(), OWNER, 0..40);
    let shelf = Shelf::open(root.path(), "shelf", bytes).unwrap();
    let held = held(root.path()).unwrap();
    assert!(held < 40 * bytes as u64 / 2, "{held} bytes");
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| assert_holds(&shelf, 0..40))));
    });
    assert!((1..=4).contains(&shelf.reader.idle()));
}

#[test]
fn the_index_is_as_small_as_it_says() {
    assert_eq!(size_of::<Row>(), 32);
}

#[test]
fn keys_tell_pictures_and_views_apart() {
    let keys = [RowKey::new("ab", "c"), RowKey::new("a", "bc"), RowKey::new("ab", "d"), RowKey::new("ab", "")];
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    // Rows are found by it in later versions too.
    assert_eq!(crate::hex::hex(&keys[0].0), "6c032e631d39a14d85aff7e319546af7");
}

#[test]
fn an_interrupted_writer_leaves_the_segments_that_it_had_closed() {
    let root = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(root.path(), "shelf", 8).unwrap();
    let mut writer = shelf.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    let rows = SEGMENT_ROWS + 3;
    (0..rows).for_each(|number| drop(writer.append(key(number), &Packed::of::<1>(&row(number, 8))).unwrap()));
    // Full at `SEGMENT_ROWS`; what a killed process couldn't clear away is no segment.
    drop(writer);
    fs::write(shelf.dir.join(".writing-killed"), "tgshelf1").unwrap();
    let again = Shelf::open(root.path(), "shelf", 8).unwrap();
    assert_holds(&again, 0..SEGMENT_ROWS);
    assert!((SEGMENT_ROWS..rows).all(|number| !again.contains(&key(number))));
    assert!(matches!(again.read(&key(SEGMENT_ROWS), &mut [0; 8]), Err(ShelfError::Missing)));

    // The next writer goes on, and clears away.
    write(&again, OTHER, SEGMENT_ROWS..rows);
    assert_holds(&Shelf::open(root.path(), "shelf", 8).unwrap(), 0..rows);
    assert!(!shelf.dir.join(".writing-killed").exists());
}

#[test]
fn large_rows_close_a_segment_before_it_has_all_its_rows() {
    let root = tempfile::tempdir().unwrap();
    let bytes = SEGMENT_BYTES as usize / 2;
    let mut shelf = Shelf::open(root.path(), "shelf", bytes).unwrap();
    let mut state = 1u32;
    let mut noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.by_ref().take(bytes).collect();
    let mut writer = shelf.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    writer.append(key(0), &Packed::of::<1>(&noise)).unwrap();
    assert_eq!(segments(&shelf.dir).len(), 0);
    writer.append(key(1), &Packed::of::<1>(&noise)).unwrap();
    assert_eq!(segments(&shelf.dir).len(), 1);
    shelf.refresh().unwrap();
    let mut found = vec![0; bytes];
    shelf.read(&key(1), &mut found).unwrap();
    assert!(found == noise);
}

#[test]
fn two_shelves_of_one_folder_learn_of_each_others_rows() {
    let root = tempfile::tempdir().unwrap();
    let mut one = Shelf::open(root.path(), "shelf", 64).unwrap();
    let mut two = Shelf::open(root.path(), "shelf", 64).unwrap();
    write(&one, OWNER, 0..3);
    write(&two, OTHER, 3..6);
    assert!(!one.contains(&key(0)) && !one.contains(&key(3)));
    one.refresh().unwrap();
    two.refresh().unwrap();
    assert_holds(&one, 0..6);
    assert_holds(&two, 0..6);
}

#[test]
fn one_writes_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let one = Shelf::open(root.path(), "shelf", 64).unwrap();
    let two = Shelf::open(root.path(), "shelf", 64).unwrap();
    let writer = one.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    assert!(two.try_writer(OWNER, Turn::Alone).unwrap().is_none() && one.try_writer(OTHER, Turn::Alone).unwrap().is_none());
    drop(writer);
    assert!(two.try_writer(OWNER, Turn::Alone).unwrap().is_some());
}

#[test]
fn those_who_divide_the_rows_write_at_the_same_time_and_nobody_else() {
    let root = tempfile::tempdir().unwrap();
    let shelves: Vec<Shelf> = (0..3).map(|_| Shelf::open(root.path(), "shelf", 8).unwrap()).collect();
    // An interrupted writer's: nobody is at work when the first one comes.
    let left = root.path().join("shelf/.writing-left");
    fs::write(&left, "half").unwrap();
    let mut one = shelves[0].try_writer(OWNER, Turn::Together).unwrap().unwrap();
    assert!(!left.exists());
    one.append(key(0), &Packed::of::<1>(&row(0, 8))).unwrap();
    let mut two = shelves[1].try_writer(OWNER, Turn::Together).unwrap().unwrap();
    assert!(shelves[2].try_writer(OWNER, Turn::Alone).unwrap().is_none());
    two.append(key(1), &Packed::of::<1>(&row(1, 8))).unwrap();
    let segments: BTreeSet<PathBuf> = [one, two].into_iter().map(|writer| writer.finish().unwrap().unwrap()).collect();
    assert_eq!(segments.len(), 2, "what the first one was writing was left to it");
    let writer = shelves[2].try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    assert!(shelves[0].try_writer(OWNER, Turn::Together).unwrap().is_none());
    assert_eq!(writer.finish().unwrap(), None, "nothing was written");
    let mut shelf = Shelf::open(root.path(), "shelf", 8).unwrap();
    shelf.refresh().unwrap();
    assert_holds(&shelf, 0..2);
    assert_eq!(shelf.segments_of(&[key(0), key(1), key(2)]), segments);
}

#[test]
fn more_segments_than_files_stay_open_are_read() {
    let root = tempfile::tempdir().unwrap();
    let mut shelf = Shelf::open(root.path(), "shelf", 8).unwrap();
    let mut writer = shelf.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    for number in 0..150 {
        writer.append(key(number), &Packed::of::<1>(&row(number, 8))).unwrap();
        writer.cut().unwrap();
    }
    shelf.refresh().unwrap();
    assert_holds(&shelf, 0..150);
    assert_holds(&shelf, 0..150);
    assert_eq!(shelf.reader.open(), 128);
}

#[test]
fn what_no_shelf_can_be_is_refused() {
    let root = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "a/b", ".hidden", "a b", "é"] {
        assert!(matches!(Shelf::open(root.path(), name, 8), Err(ShelfError::Invalid(_))), "{name:?}");
    }
    for bytes in [0, (64 << 20) + 1, usize::MAX] {
        assert!(matches!(Shelf::open(root.path(), "shelf", bytes), Err(ShelfError::Invalid(_))), "{bytes}");
    }
    let shelf = Shelf::open(root.path(), "shelf", 8).unwrap();
    assert!(matches!(shelf.try_writer("../x", Turn::Alone), Err(ShelfError::Invalid(_))));
    assert!(matches!(shelf.read(&key(0), &mut [0; 7]), Err(ShelfError::Invalid(_))));
    let mut writer = shelf.try_writer(OWNER, Turn::Alone).unwrap().unwrap();
    assert!(matches!(writer.append(key(0), &Packed::of::<1>(&[0; 9])), Err(ShelfError::Invalid(_))));
}
