//! Copies that make room.

use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, SystemTime};

use super::super::{Evicted, StorageError};
use super::*;

/// A mark's time: when its copy was last used.
fn set_used(machine: &Machine, name: &str, hours_ago: u64) {
    let mark = File::options().write(true).open(machine.path(".stored").join(name)).unwrap();
    mark.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours_ago)).unwrap();
}

fn here(machine: &Machine) -> Vec<&'static str> {
    ["a/1", "a/2", "a/3", "b/4"].into_iter().filter(|name| machine.path(name).exists()).collect()
}

/// A machine with room for 25 bytes, and four copies of 10 bytes: `a/2` is the oldest, then `a/1`, `a/3`, `b/4`.
async fn crowded() -> (Machine, Arc<dyn ObjectStore>) {
    let store = in_memory();
    let other = Machine::of(&store);
    for name in ["a/1", "a/2", "a/3", "b/4"] {
        other.keep(name, b"0123456789").await;
    }
    // Nothing goes by itself while the copies come.
    let machine = Machine::of(&store);
    for (name, hours_ago) in [("a/1", 3), ("a/2", 4), ("a/3", 2), ("b/4", 1)] {
        drop(machine.storage.fetch(&machine.path(name)).await.unwrap());
        set_used(&machine, name, hours_ago);
    }
    (small(machine, &store), store)
}

/// The same machine, started again with room for 25 bytes.
fn small(machine: Machine, store: &Arc<dyn ObjectStore>) -> Machine {
    Machine { storage: Storage::over(Arc::clone(store), true, machine.root.path(), 25), root: machine.root }
}

#[tokio::test]
async fn the_least_recently_used_go_first_and_come_again() {
    let (machine, _store) = crowded().await;
    assert_eq!(machine.storage.evict().await.unwrap(), Evicted { files: 2, bytes: 20 });
    assert_eq!(here(&machine), ["a/3", "b/4"]);
    assert_eq!(machine.storage.evict().await.unwrap(), Evicted::default());
    assert_eq!(&machine.storage.read(&machine.path("a/1"), 3..5).await.unwrap()[..], b"34");
    let local = machine.storage.fetch(&machine.path("a/1")).await.unwrap();
    assert_eq!(fs::read(local.path()).unwrap(), b"0123456789");
}

#[tokio::test]
async fn what_is_used_is_kept_longest() {
    let (machine, _store) = crowded().await;
    drop(machine.storage.fetch(&machine.path("a/2")).await.unwrap());
    machine.storage.read(&machine.path("a/1"), 0..1).await.unwrap();
    machine.storage.evict().await.unwrap();
    assert_eq!(here(&machine), ["a/1", "a/2"]);
}

#[tokio::test]
async fn what_is_held_stays() {
    let (machine, store) = crowded().await;
    let held = machine.storage.fetch(&machine.path("a/2")).await.unwrap();
    set_used(&machine, "a/2", 4);
    // Another process, as far as locks go.
    let other = Storage::over(store, true, machine.root.path(), 0);
    assert_eq!(other.evict().await.unwrap().files, 3);
    assert_eq!(here(&machine), ["a/2"]);
    drop(held);
    assert_eq!(other.evict().await.unwrap().files, 1);
}

#[tokio::test]
async fn what_is_in_a_folder_that_is_held_stays() {
    let (machine, store) = crowded().await;
    let none = Storage::over(Arc::clone(&store), true, machine.root.path(), 0);
    let held = machine.storage.fetch_folder(&machine.path("a")).await.unwrap();
    assert_eq!(none.evict().await.unwrap().files, 1);
    assert_eq!(here(&machine), ["a/1", "a/2", "a/3"]);
    drop(held);
    assert_eq!(none.evict().await.unwrap().files, 3);
}

#[tokio::test]
async fn files_that_the_store_may_not_have_stay() {
    let (machine, store) = crowded().await;
    let none = Storage::over(store, true, machine.root.path(), 0);
    // Never kept.
    let own = machine.write("a/own", b"0123456789");
    // Written anew since it was fetched: of another length, of the same.
    fs::remove_file(machine.path("a/1")).unwrap();
    machine.write("a/1", b"other");
    fs::remove_file(machine.path("a/3")).unwrap();
    machine.write("a/3", b"9876543210");
    // Somebody else removed it: nothing to do.
    fs::remove_dir_all(machine.path("b")).unwrap();
    assert_eq!(none.evict().await.unwrap(), Evicted { files: 1, bytes: 10 });
    assert!(own.exists());
    assert_eq!(here(&machine), ["a/1", "a/3"]);
    // A file is a copy once it is kept.
    machine.storage.keep(&own).await.unwrap();
    assert_eq!(none.evict().await.unwrap(), Evicted { files: 1, bytes: 10 });
    assert!(!own.exists());
}

#[tokio::test]
async fn damaged_marks_cost_nothing_but_room() {
    let (machine, store) = crowded().await;
    let none = Storage::over(store, true, machine.root.path(), 0);
    fs::write(machine.path(".stored/a/1"), "10 1").unwrap();
    fs::write(machine.path(".stored/a/2"), "").unwrap();
    fs::remove_dir_all(machine.path(".stored/b")).unwrap();
    fs::write(machine.path(".stored/a/.x"), "?").unwrap();
    assert_eq!(none.evict().await.unwrap().files, 1);
    assert_eq!(here(&machine), ["a/1", "a/2", "b/4"]);
}

#[tokio::test]
async fn marks_of_files_that_are_gone_go_after_a_while() {
    let (machine, _store) = crowded().await;
    for name in ["a/1", "a/2", "a/3", "b/4"] {
        fs::remove_file(machine.path(name)).unwrap();
        set_used(&machine, name, if name == "a/1" { 0 } else { 2 });
    }
    machine.storage.evict().await.unwrap();
    assert!(machine.path(".stored/a/1").exists(), "its file may be about to come");
    set_used(&machine, "a/1", 2);
    machine.storage.evict().await.unwrap();
    machine.storage.evict().await.unwrap();
    machine.storage.evict().await.unwrap();
    assert!(!machine.path(".stored").exists());
    drop(machine.storage.fetch(&machine.path("a/1")).await.unwrap());
}

#[tokio::test]
async fn removing_takes_the_mark_along() {
    let (machine, _store) = crowded().await;
    machine.storage.remove(&machine.path("b/4")).await.unwrap();
    machine.storage.remove_folder(&machine.path("a")).await.unwrap();
    assert!(!machine.path(".stored/b/4").exists() && !machine.path(".stored/a").exists());
}

#[tokio::test]
async fn whoever_has_a_file_open_reads_on() {
    let (machine, store) = crowded().await;
    let mut open = File::open(machine.path("a/2")).unwrap();
    Storage::over(store, true, machine.root.path(), 0).evict().await.unwrap();
    assert!(here(&machine).is_empty());
    let mut read = String::new();
    open.read_to_string(&mut read).unwrap();
    assert_eq!(read, "0123456789");
}

#[tokio::test]
async fn room_is_made_as_copies_come() {
    let (machine, store) = crowded().await;
    let other = Machine::of(&store);
    other.keep("c/5", b"0123456789").await;
    let local = machine.storage.fetch(&machine.path("c/5")).await.unwrap();
    assert_eq!(here(&machine), ["b/4"]);
    drop(local);
    machine.keep("c/6", b"0123456789").await;
    assert_eq!(here(&machine), [""; 0]);
    assert!(machine.path("c/5").exists() && machine.path("c/6").exists());
}

#[tokio::test]
async fn where_others_make_room_nothing_counts_and_nothing_goes() {
    let store = in_memory();
    let Machine { storage, root } = Machine::with(&store, 25);
    assert!(matches!(storage.clone().leaving(Path::new("/elsewhere")), Err(StorageError::Invalid(_))));
    let machine = Machine { storage: storage.leaving(&root.path().join("a")).unwrap(), root };
    for name in ["a/1", "a/2", "a/3"] {
        machine.keep(name, b"0123456789").await;
    }
    machine.keep("b/4", b"0123456789").await;
    assert_eq!(machine.storage.evict().await.unwrap(), Evicted::default(), "only one of them counts");
    fs::remove_file(machine.path("a/1")).unwrap();
    let local = machine.storage.fetch(&machine.path("a/1")).await.unwrap();
    assert_eq!(fs::read(local.path()).unwrap(), b"0123456789");
    drop(local);
    assert_eq!(here(&small(machine, &store)), ["a/1", "a/2", "a/3", "b/4"]);
}

#[tokio::test]
async fn what_was_kept_first_leaves_the_store_first() {
    let store = in_memory();
    let machine = Machine::of(&store);
    for name in ["a/1", "a/2", "a/3", "b/4"] {
        machine.keep(name, b"0123456789").await;
        // The store's clock has milliseconds.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let a = machine.path("a");
    assert_eq!(machine.storage.trim(&a, 30).await.unwrap(), Evicted::default());
    assert_eq!(machine.storage.trim(&a, 29).await.unwrap(), Evicted { files: 1, bytes: 10 });
    let left: Vec<_> = machine.storage.list(&a).await.unwrap().into_iter().map(|kept| kept.name).collect();
    assert_eq!(left, ["2", "3"]);
    assert_eq!(here(&machine), ["a/1", "a/2", "a/3", "b/4"], "copies make room for themselves");
    assert_eq!(machine.storage.trim(&a, 0).await.unwrap().files, 2);
    assert_eq!(machine.storage.list(&machine.path("b")).await.unwrap().len(), 1);
    assert_eq!(Machine::alone().storage.trim(&a, 0).await.ok(), None, "another's folder");
}
