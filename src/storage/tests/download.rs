//! Downloads that break, and files that several want at once.

use std::fs;

use futures_util::future::join_all;
use object_store::ObjectStoreExt;
use object_store::path::Path as Location;

use super::super::StorageError;
use super::super::key::Key;
use super::flaky::Flaky;
use super::*;

const NAME: &str = "datasets/7/pictures.pack";
const LENGTH: usize = 1000;

/// A machine, and the misbehaving store that has a file for it.
async fn waiting(flaky: Flaky) -> (Arc<Flaky>, Machine, PathBuf) {
    flaky.inner.put(&Location::from(NAME), pattern(LENGTH).into()).await.unwrap();
    let flaky = Arc::new(flaky);
    let store: Arc<dyn ObjectStore> = flaky.clone();
    let machine = Machine::of(&store);
    let path = machine.path(NAME);
    (flaky, machine, path)
}

/// Nothing of a file that didn't come is left.
fn nothing_is_left(machine: &Machine) {
    assert!(!machine.path(NAME).exists());
    assert_eq!(machine.unfinished(), 0);
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let (flaky, machine, path) = waiting(Flaky::default()).await;
    flaky.cut(3, 300);
    let local = machine.storage.fetch(&path).await.unwrap();
    assert_eq!(fs::read(local.path()).unwrap(), pattern(LENGTH));
    assert_eq!(flaky.gets(), [None, Some(300..1000), Some(600..1000), Some(900..1000)]);
    assert_eq!(machine.unfinished(), 0);
}

#[tokio::test]
async fn an_answer_that_ends_early_goes_on_too() {
    let (flaky, machine, path) = waiting(Flaky::quiet()).await;
    flaky.cut(1, 999);
    let local = machine.storage.fetch(&path).await.unwrap();
    assert_eq!(fs::read(local.path()).unwrap(), pattern(LENGTH));
    assert_eq!(flaky.gets(), [None, Some(999..1000)]);
}

#[tokio::test]
async fn trouble_passes_and_leaves_nothing_behind() {
    let (flaky, machine, path) = waiting(Flaky::default()).await;
    flaky.fail(1);
    assert!(machine.storage.fetch(&path).await.unwrap_err().is_passing());
    flaky.cut(1000, 0);
    let error = machine.storage.fetch(&path).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert_eq!(flaky.gets().len(), 1 + 3);
    nothing_is_left(&machine);
    flaky.cut(0, 0);
    drop(machine.storage.fetch(&path).await.unwrap());
    assert_eq!(fs::read(path).unwrap(), pattern(LENGTH));

    let new = machine.write("a/b", b"tulips");
    flaky.fail(2);
    for _ in 0..2 {
        assert!(machine.storage.keep(&new).await.unwrap_err().is_passing());
    }
    machine.storage.keep(&new).await.unwrap();
    assert!(machine.storage.exists(&new).await.unwrap());
}

#[tokio::test]
async fn an_object_that_is_shorter_than_it_says_is_refused() {
    let (_, machine, path) = waiting(Flaky::longer(1)).await;
    let refused = machine.storage.fetch(&path).await;
    assert!(matches!(refused, Err(StorageError::Damaged { .. })), "{refused:?}");
    nothing_is_left(&machine);

    let (flaky, machine, path) = waiting(Flaky::quiet()).await;
    flaky.cut(1000, 0);
    let refused = machine.storage.fetch(&path).await;
    assert!(matches!(refused, Err(StorageError::Damaged { .. })), "{refused:?}");
    nothing_is_left(&machine);
}

#[tokio::test]
async fn an_object_that_changes_meanwhile_is_refused() {
    for removed in [false, true] {
        let (flaky, machine, path) = waiting(Flaky::gated(1)).await;
        flaky.cut(1, 500);
        let change = async {
            while flaky.gate.available_permits() == 1 {
                tokio::task::yield_now().await;
            }
            let location = Location::from(NAME);
            match removed {
                true => flaky.inner.delete(&location).await.unwrap(),
                false => drop(flaky.inner.put(&location, vec![0; LENGTH].into()).await.unwrap()),
            }
            flaky.open();
        };
        let (refused, ()) = tokio::join!(machine.storage.fetch(&path), change);
        match refused.unwrap_err() {
            StorageError::NotFound { .. } if removed => {}
            StorageError::Damaged { .. } if !removed => {}
            other => panic!("{other}"),
        }
        nothing_is_left(&machine);
    }
}

#[tokio::test]
async fn several_that_want_one_file_fetch_it_once() {
    let (flaky, machine, path) = waiting(Flaky::gated(0)).await;
    let wanted = async {
        let all = join_all((0..8).map(|_| machine.storage.fetch(&path))).await;
        all.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    let key = Key::parse(NAME).unwrap();
    let open = async {
        // All are either at it or wait for the one that is.
        while machine.storage.remote.as_ref().unwrap().flights.waiting(&key) < 8 {
            assert!(flaky.asked() <= 1);
            tokio::task::yield_now().await;
        }
        flaky.open();
    };
    let (locals, ()) = tokio::join!(wanted, open);
    assert_eq!(flaky.gets(), [None]);
    assert!(locals.iter().all(|local| fs::read(local.path()).unwrap() == pattern(LENGTH)));
}

#[tokio::test]
async fn two_processes_that_fetch_one_file_both_have_it() {
    let (flaky, machine, path) = waiting(Flaky::gated(0)).await;
    let store: Arc<dyn ObjectStore> = flaky.clone();
    // Locks are of open files: to the system, this is another process.
    let other = Storage::over(store, true, machine.root.path(), 0);
    let open = async {
        while flaky.asked() < 2 {
            tokio::task::yield_now().await;
        }
        flaky.open();
    };
    let (first, second, ()) = tokio::join!(machine.storage.fetch(&path), other.fetch(&path), open);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(fs::read(first.path()).unwrap(), pattern(LENGTH));
    assert_eq!(machine.unfinished(), 0);
    // It is a copy, and both hold it.
    assert_eq!(other.evict().await.unwrap().files, 0);
    drop(second);
    assert_eq!(other.evict().await.unwrap().files, 0);
    drop(first);
    assert_eq!(other.evict().await.unwrap().files, 1);
}

#[tokio::test]
async fn whoever_gives_up_leaves_the_file_to_the_next() {
    let (flaky, machine, path) = waiting(Flaky::gated(0)).await;
    let asked = async {
        while flaky.asked() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = machine.storage.fetch(&path) => panic!("the gate is shut"),
        () = asked => {}
    }
    nothing_is_left(&machine);
    flaky.open();
    drop(machine.storage.fetch(&path).await.unwrap());
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_that_has_no_room_is_refused_at_once() {
    let (flaky, machine, path) = waiting(Flaky::longer(u64::MAX / 2)).await;
    let refused = machine.storage.fetch(&path).await.unwrap_err();
    assert!(matches!(refused, StorageError::Full { .. }) && refused.is_passing());
    assert_eq!(flaky.gets(), [None]);
    nothing_is_left(&machine);
}
