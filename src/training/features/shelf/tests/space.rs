//! Eviction, and what goes with a data set.

use std::time::{Duration, SystemTime};

use super::*;

/// Shelves `names`, one of them used a day later than the one before, none of them open; the bytes of each.
fn shelves(root: &Path, names: &[&str]) -> u64 {
    for (day, name) in names.iter().enumerate() {
        write(&Shelf::open(root, name, 512).unwrap(), OWNER, 0..4);
        used(root, name, day as u64);
    }
    held(root).unwrap() / names.len() as u64
}

fn used(root: &Path, name: &str, day: u64) {
    let lock = lock::create(&root.join(name).join(lock::LOCK)).unwrap();
    lock.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * (day + 1))).unwrap();
}

fn left(root: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_longest_unused_go_first_until_the_rest_is_within_the_budget() {
    let root = tempfile::tempdir().unwrap();
    let bytes = shelves(root.path(), &["d", "a", "c", "b"]);
    assert_eq!(evict(root.path(), 4 * bytes).unwrap(), Evicted::default());
    assert_eq!(evict(root.path(), 2 * bytes + 1).unwrap(), Evicted { bytes: 2 * bytes, shelves: 2 });
    assert_eq!(left(root.path()), ["b", "c"]);
    // Opening one is using it, and so is closing it.
    drop(Shelf::open(root.path(), "c", 512).unwrap());
    assert_eq!(evict(root.path(), bytes).unwrap().shelves, 1);
    assert_eq!(left(root.path()), ["c"]);
    assert_holds(&Shelf::open(root.path(), "c", 512).unwrap(), 0..4);
    evict(root.path(), 0).unwrap();
    assert!(left(root.path()).is_empty());
}

#[test]
fn a_shelf_in_use_is_left_and_counts() {
    let root = tempfile::tempdir().unwrap();
    let bytes = shelves(root.path(), &["a", "b", "c"]);
    let shelf = Shelf::open(root.path(), "a", 512).unwrap();
    used(root.path(), "a", 0);
    assert_eq!(evict(root.path(), 2 * bytes).unwrap(), Evicted { bytes, shelves: 1 });
    assert_eq!(left(root.path()), ["a", "c"]);
    // The writer keeps it too, without the shelf.
    let mut writer = shelf.try_writer(OTHER, Turn::Alone).unwrap().unwrap();
    writer.append(key(9), &Packed::of::<1>(&row(9, 512))).unwrap();
    drop(shelf);
    assert_eq!(evict(root.path(), 0).unwrap().shelves, 1);
    writer.finish().unwrap();
    assert_eq!(evict(root.path(), 0).unwrap().shelves, 1);
    assert!(left(root.path()).is_empty());
}

#[test]
fn what_no_shelf_made_is_left_and_what_writers_left_goes() {
    let root = tempfile::tempdir().unwrap();
    shelves(root.path(), &["a", "b"]);
    fs::create_dir(root.path().join("other")).unwrap();
    fs::write(root.path().join("other/0123456789abcdef-x.segment"), "").unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    for name in ["notes", ".writing-x"] {
        fs::write(root.path().join("a").join(name), "").unwrap();
        fs::write(root.path().join("b").join(name), "").unwrap();
    }
    let open = Shelf::open(root.path(), "b", 512).unwrap();
    evict(root.path(), u64::MAX).unwrap();
    assert!(!root.path().join("a/.writing-x").exists() && root.path().join("b/.writing-x").exists());
    drop(open);
    evict(root.path(), 0).unwrap();
    assert_eq!(left(root.path()), ["a", "b", "file", "other"]);
    assert_eq!(left(&root.path().join("a")), ["notes"]);
    assert_eq!(left(&root.path().join("b")), ["notes"]);
    assert_eq!(left(&root.path().join("other")).len(), 1);
    // What is left of it can be a shelf again.
    write(&Shelf::open(root.path(), "a", 512).unwrap(), OWNER, 0..1);
    assert_holds(&Shelf::open(root.path(), "a", 512).unwrap(), 0..1);
}

#[test]
fn no_folder_is_nothing_to_remove() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(evict(&root.path().join("none"), 0).unwrap(), Evicted::default());
    assert_eq!(remove_owner(&root.path().join("none"), OWNER).unwrap(), 0);
    assert!(matches!(remove_owner(root.path(), "x"), Err(ShelfError::Invalid(_))));
}

#[test]
fn a_data_set_takes_its_own_rows_with_it() {
    let root = tempfile::tempdir().unwrap();
    let bytes = shelves(root.path(), &["a", "b"]);
    let mut reading = Shelf::open(root.path(), "a", 512).unwrap();
    assert_holds(&reading, 0..1);
    write(&reading, OTHER, 4..8);
    assert_eq!(remove_owner(root.path(), OWNER).unwrap(), 2 * bytes);
    assert_eq!(remove_owner(root.path(), OWNER).unwrap(), 0);
    // The segment is open here: until the next look its rows are.
    assert_holds(&reading, 0..4);
    reading.refresh().unwrap();
    assert!((0..4).all(|number| !reading.contains(&key(number))));
    assert_holds(&reading, 4..8);
    assert!(!Shelf::open(root.path(), "b", 512).unwrap().contains(&key(0)));
    // Empty now.
    assert_eq!(evict(root.path(), u64::MAX).unwrap(), Evicted { bytes: 0, shelves: 1 });
    assert_eq!(left(root.path()), ["a"]);
}

#[test]
fn shelves_that_are_opened_and_evicted_at_once_lose_no_row_in_use() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..2)
            .map(|thread| {
                let root = root.path();
                scope.spawn(move || {
                    for turn in 0..40 {
                        let mut shelf = Shelf::open(root, "shelf", 16).unwrap();
                        let number = thread * 1000 + turn;
                        let Some(mut writer) = shelf.try_writer(OWNER, Turn::Alone).unwrap() else { continue };
                        writer.append(key(number), &Packed::of::<1>(&row(number, 16))).unwrap();
                        writer.finish().unwrap();
                        shelf.refresh().unwrap();
                        assert_holds(&shelf, number..number + 1);
                    }
                })
            })
            .collect();
        while users.iter().any(|user| !user.is_finished()) {
            evict(root.path(), 0).unwrap();
        }
    });
    evict(root.path(), 0).unwrap();
    assert!(left(root.path()).is_empty());
}
