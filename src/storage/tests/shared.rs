//! What several machines see of one store, whichever it is.

use std::fs;
use std::path::Path;

use futures_util::StreamExt;

use super::super::{StorageError, StorageUrl};
use super::server::Server;
use super::*;

/// A store of each kind.
struct Stores {
    _server: Server,
    _folder: TempDir,
    all: Vec<Arc<dyn ObjectStore>>,
}

impl Stores {
    async fn new() -> Self {
        let server = Server::start().await;
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let local = super::super::folder::store(folder.path(), elsewhere.path()).unwrap();
        let all = vec![in_memory(), local, server.store()];
        Self { _server: server, _folder: folder, all }
    }
}

fn names(kept: &[super::super::Kept]) -> Vec<(&str, u64)> {
    kept.iter().map(|kept| (kept.name.as_str(), kept.bytes)).collect()
}

#[tokio::test]
async fn what_one_machine_keeps_another_fetches() {
    for store in &Stores::new().await.all {
        let (here, there) = (Machine::of(store), Machine::of(store));
        let name = "datasets/7/pictures.pack";
        assert!(!there.storage.exists(&there.path(name)).await.unwrap());
        let missing = there.storage.fetch(&there.path(name)).await;
        assert!(matches!(missing, Err(StorageError::NotFound { key }) if key == name), "{store}");
        here.keep(name, b"tulips").await;
        assert!(there.storage.exists(&there.path(name)).await.unwrap());

        let read = there.storage.read(&there.path(name), 1..4).await.unwrap();
        assert_eq!(&read[..], b"uli");
        assert!(!there.path(name).exists(), "a range is read without the rest");
        let local = there.storage.fetch(&there.path(name)).await.unwrap();
        assert_eq!(fs::read(local.path()).unwrap(), b"tulips");
        assert_eq!(there.unfinished(), 0);
        for machine in [&here, &there] {
            assert_eq!(&machine.storage.read(&machine.path(name), 0..6).await.unwrap()[..], b"tulips");
        }

        here.storage.remove(&here.path(name)).await.unwrap();
        here.storage.remove(&here.path(name)).await.unwrap();
        assert!(!here.path(name).exists());
        assert!(!there.storage.exists(&there.path(name)).await.unwrap());
    }
}

#[tokio::test]
async fn ranges_outside_a_file_are_refused_here_and_there() {
    for store in &Stores::new().await.all {
        let (here, there) = (Machine::of(store), Machine::of(store));
        here.keep("a/b", b"tulips").await;
        here.keep("a/empty", b"").await;
        for machine in [&here, &there] {
            assert_eq!(&machine.storage.read(&machine.path("a/b"), 6..6).await.unwrap()[..], b"");
            assert_eq!(&machine.storage.read(&machine.path("a/empty"), 0..0).await.unwrap()[..], b"");
            #[expect(clippy::reversed_empty_ranges, reason = "it is to be refused")]
            for range in [0..7, 6..7, 7..7, 9..12, 4..2] {
                let refused = machine.storage.read(&machine.path("a/b"), range.clone()).await;
                assert!(matches!(refused, Err(StorageError::Invalid(_))), "{store} {range:?} {refused:?}");
            }
        }
        let missing = there.storage.read(&there.path("a/c"), 0..1).await;
        assert!(matches!(missing, Err(StorageError::NotFound { .. })), "{store}");
        let empty = there.storage.fetch(&there.path("a/empty")).await.unwrap();
        assert_eq!(fs::metadata(empty.path()).unwrap().len(), 0);
    }
}

#[tokio::test]
async fn folders_come_whole_and_go_whole() {
    for store in &Stores::new().await.all {
        let (here, there) = (Machine::of(store), Machine::of(store));
        for (name, bytes) in [("manifest.json", "{}"), ("weights.safetensors", "www"), ("more/report.json", "r"), (".tmp", "x")]
        {
            here.write(&format!("models/f/3/{name}"), bytes.as_bytes());
        }
        here.keep("models/f/30/manifest.json", b"{}").await;
        here.storage.keep_folder(&here.path("models/f/3"), "manifest.json").await.unwrap();
        let expected = [("manifest.json", 2), ("more/report.json", 1), ("weights.safetensors", 3)];
        assert_eq!(names(&there.storage.list(&there.path("models/f/3")).await.unwrap()), expected, "{store}");

        let folder = there.storage.fetch_folder(&there.path("models/f/3")).await.unwrap();
        assert_eq!(fs::read(folder.path().join("more/report.json")).unwrap(), b"r");
        assert!(folder.path().join("manifest.json").exists());
        assert!(!there.path("models/f/30").exists());
        assert!(matches!(there.storage.fetch_folder(&there.path("models/g")).await, Err(StorageError::NotFound { .. })));
        assert!(!there.path("models/g").exists());

        there.storage.remove_folder(&there.path("models/f/3")).await.unwrap();
        there.storage.remove_folder(&there.path("models/f/3")).await.unwrap();
        assert!(!there.path("models/f/3").exists());
        assert!(here.storage.list(&here.path("models/f/3")).await.unwrap().is_empty());
        assert!(here.storage.exists(&here.path("models/f/30/manifest.json")).await.unwrap());
    }
}

#[tokio::test]
async fn the_last_file_of_a_folder_is_kept_when_all_others_are() {
    let flaky = Arc::new(super::flaky::Flaky::default());
    let store: Arc<dyn ObjectStore> = flaky.clone();
    let machine = Machine::of(&store);
    for name in ["a", "manifest.json", "z"] {
        machine.write(&format!("models/f/3/{name}"), b"x");
    }
    let missing = machine.storage.keep_folder(&machine.path("models/f/3"), "other.json").await;
    assert!(matches!(missing, Err(StorageError::Io { .. })));
    assert!(flaky.puts().is_empty());
    machine.storage.keep_folder(&machine.path("models/f/3"), "manifest.json").await.unwrap();
    assert_eq!(flaky.puts(), ["models/f/3/a", "models/f/3/z", "models/f/3/manifest.json"]);
    flaky.fail(1);
    let failed = machine.storage.keep_folder(&machine.path("models/f/3"), "manifest.json").await.unwrap_err();
    assert!(failed.is_passing());
}

#[tokio::test]
async fn of_two_writers_exactly_one_wins() {
    for store in &Stores::new().await.all {
        let machines = [Machine::of(store), Machine::of(store)];
        for round in 0..8 {
            let name = format!("models/f/{round}/manifest.json");
            let paths = [machines[0].write(&name, b"first"), machines[1].write(&name, b"second")];
            let (first, second) =
                tokio::join!(machines[0].storage.keep_new(&paths[0]), machines[1].storage.keep_new(&paths[1]));
            let expected: &[u8] = match (&first, &second) {
                (Ok(()), Err(StorageError::AlreadyThere { key })) if *key == name => b"first",
                (Err(StorageError::AlreadyThere { key }), Ok(())) if *key == name => b"second",
                other => panic!("{store}: {other:?}"),
            };
            let third = Machine::of(store);
            let local = third.storage.fetch(&third.path(&name)).await.unwrap();
            assert_eq!(fs::read(local.path()).unwrap(), expected, "{store}");
            assert!(matches!(third.storage.keep_new(local.path()).await, Err(StorageError::AlreadyThere { .. })));
        }
    }
}

#[tokio::test]
async fn a_store_can_be_tried() {
    for store in &Stores::new().await.all {
        let machine = Machine::of(store);
        machine.storage.check().await.unwrap();
        assert_eq!(store.list(None).count().await, 0, "{store}");
    }
}

#[tokio::test]
async fn without_a_store_the_data_folder_is_all_there_is() {
    let machine = Machine::alone();
    assert!(!machine.storage.is_remote());
    machine.storage.check().await.unwrap();
    let path = machine.write("a/b/c", b"tulips");
    machine.storage.keep(&path).await.unwrap();
    machine.storage.keep_new(&path).await.unwrap();
    machine.storage.keep_folder(&machine.path("a"), "b").await.unwrap();
    machine.write("a/.writing", b"x");
    assert_eq!(names(&machine.storage.list(&machine.path("a")).await.unwrap()), [("b/c", 6)]);
    assert!(machine.storage.list(&machine.path("b")).await.unwrap().is_empty());
    assert!(machine.storage.exists(&path).await.unwrap());
    assert_eq!(machine.storage.fetch(&path).await.unwrap().path(), path);
    assert_eq!(machine.storage.fetch_folder(&machine.path("a")).await.unwrap().path(), machine.path("a"));
    assert_eq!(&machine.storage.read(&path, 0..2).await.unwrap()[..], b"tu");
    assert_eq!(machine.storage.evict().await.unwrap(), super::super::Evicted::default());
    for name in ["x", "a/x"] {
        let path = machine.path(name);
        assert!(!machine.storage.exists(&path).await.unwrap());
        assert!(matches!(machine.storage.fetch(&path).await, Err(StorageError::NotFound { .. })));
        assert!(matches!(machine.storage.fetch_folder(&path).await, Err(StorageError::NotFound { .. })));
        assert!(matches!(machine.storage.read(&path, 0..1).await, Err(StorageError::NotFound { .. })));
        machine.storage.remove(&path).await.unwrap();
        machine.storage.remove_folder(&path).await.unwrap();
    }
    machine.storage.remove(&path).await.unwrap();
    assert!(!path.exists());
    machine.storage.remove_folder(&machine.path("a")).await.unwrap();
    assert_eq!(fs::read_dir(machine.root.path()).unwrap().count(), 0, "and nothing else was made");
}

#[tokio::test]
async fn paths_outside_are_refused_by_all() {
    let store = in_memory();
    for machine in [Machine::of(&store), Machine::alone()] {
        let storage = &machine.storage;
        for path in [Path::new("/etc/passwd"), &machine.path("../x"), machine.root.path(), &machine.path(".stored/a")] {
            let refusals = [
                storage.keep(path).await.err(),
                storage.keep_new(path).await.err(),
                storage.keep_folder(path, "x").await.err(),
                storage.fetch(path).await.err(),
                storage.fetch_folder(path).await.err(),
                storage.read(path, 0..1).await.err(),
                storage.exists(path).await.err(),
                storage.list(path).await.err(),
                storage.remove(path).await.err(),
                storage.remove_folder(path).await.err(),
            ];
            let odd = path == machine.root.path();
            for (number, refusal) in refusals.into_iter().enumerate() {
                // A file in the root itself has a name.
                let fine = odd && number == 2;
                assert!(fine || matches!(refusal, Some(StorageError::Invalid(_))), "{number} {path:?} {refusal:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn threads_that_may_block_use_the_runtimes_handle() {
    let store = in_memory();
    let (here, there) = (Machine::of(&store), Machine::of(&store));
    here.keep("a/b", b"tulips").await;
    let (storage, path, handle) = (there.storage.clone(), there.path("a/b"), tokio::runtime::Handle::current());
    let thread = std::thread::spawn(move || {
        let local = handle.block_on(storage.fetch(&path)).unwrap();
        fs::read(local.path()).unwrap()
    });
    let read = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(read, b"tulips");
}

#[test]
fn an_address_opens_a_storage() {
    let (folder, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url: StorageUrl = format!("file://{}", folder.path().display()).parse().unwrap();
    assert!(Storage::open(Some(&url), root.path(), 1).unwrap().is_remote());
    assert!(matches!(Storage::open(Some(&url), folder.path(), 1), Err(StorageError::Invalid(_))));
    let nowhere: StorageUrl = "file:///nowhere/at/all".parse().unwrap();
    assert!(matches!(Storage::open(Some(&nowhere), root.path(), 1), Err(StorageError::Invalid(_))));
}
