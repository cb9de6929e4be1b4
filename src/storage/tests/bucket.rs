//! A bucket, behind a real S3 interface.

use std::fs;
use std::sync::atomic::Ordering;

use super::super::{PART_BYTES, StorageError};
use super::server::{BUCKET, RETRIES, Server};
use super::*;

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let server = Server::start().await;
    let store = server.store();
    let (here, there) = (Machine::of(&store), Machine::of(&store));
    let bytes = pattern(3 * PART_BYTES as usize + 12_345);
    let path = here.keep("datasets/7/pictures.pack", &bytes).await;
    let parts = server.log().iter().filter(|request| request.starts_with("PUT") && request.contains("partNumber=")).count();
    assert_eq!(parts, 4);
    let most = server.tricks.most_parts.load(Ordering::Relaxed);
    assert!((1..=3).contains(&most), "what is on its way is in memory: {most} parts");

    let middle = 2 * PART_BYTES - 3..2 * PART_BYTES + 4;
    let read = there.storage.read(&there.path("datasets/7/pictures.pack"), middle.clone()).await.unwrap();
    assert_eq!(read, bytes[middle.start as usize..middle.end as usize]);
    let log = server.log();
    assert!(matches!(&log[..], [one] if one.ends_with(&format!("bytes={}-{}", middle.start, middle.end - 1))), "{log:?}");
    let local = there.storage.fetch(&there.path("datasets/7/pictures.pack")).await.unwrap();
    assert!(fs::read(local.path()).unwrap() == bytes);
    let large = here.storage.keep_new(&path).await;
    assert!(matches!(large, Err(StorageError::Invalid(_))));
}

#[tokio::test]
async fn a_large_file_of_which_a_part_is_missing_isnt_there() {
    let server = Server::start().await;
    let machine = Machine::of(&server.store());
    // It is noticed at the end, or while there is more to send.
    for (parts, refused) in [(2, 2), (5, 1)] {
        let path = machine.write("a/b", &pattern(parts * PART_BYTES as usize));
        server.tricks.refuse_parts.store(refused, Ordering::Relaxed);
        assert!(machine.storage.keep(&path).await.unwrap_err().is_passing());
        assert!(!machine.storage.exists(&path).await.unwrap());
        // What had arrived was given back.
        let left = fs::read_dir(server.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(left.filter(|name| name.contains("upload")).count(), 0, "{parts} parts");
    }
    server.tricks.refuse_parts.store(0, Ordering::Relaxed);
    let path = machine.keep("a/b", &pattern(PART_BYTES as usize + 1)).await;
    assert!(machine.storage.exists(&path).await.unwrap());
}

#[tokio::test]
async fn what_fails_for_a_while_is_asked_again() {
    let server = Server::start().await;
    let store = server.store();
    let (here, there) = (Machine::of(&store), Machine::of(&store));
    let refuse = |times| server.tricks.refuse.store(times, Ordering::Relaxed);
    refuse(RETRIES);
    let path = here.keep("a/b", b"tulips").await;
    refuse(RETRIES);
    drop(there.storage.fetch(&there.path("a/b")).await.unwrap());
    refuse(RETRIES);
    assert_eq!(there.storage.list(&there.path("a")).await.unwrap().len(), 1);
    refuse(RETRIES);
    here.storage.remove(&path).await.unwrap();

    here.write("a/b", b"tulips");
    refuse(RETRIES + 1);
    let error = here.storage.keep(&path).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("503 SlowDown"), "{error}");
    here.storage.keep(&path).await.unwrap();
}

#[tokio::test]
async fn whoever_was_first_is_told_so_though_the_answer_was_lost() {
    let server = Server::start().await;
    let store = server.store();
    let (here, there) = (Machine::of(&store), Machine::of(&store));
    server.tricks.lose.store(1, Ordering::Relaxed);
    here.storage.keep_new(&here.write("a/b", b"tulips")).await.unwrap();
    let second = there.storage.keep_new(&there.write("a/b", b"tulips")).await;
    assert!(matches!(second, Err(StorageError::AlreadyThere { .. })));
}

#[tokio::test]
async fn a_connection_that_keeps_breaking_brings_the_file_all_the_same() {
    let server = Server::start().await;
    let store = server.store();
    let (here, there) = (Machine::of(&store), Machine::of(&store));
    let bytes = pattern(1 << 20);
    here.keep("a/b", &bytes).await;
    server.log();
    server.tricks.cut.store(100_000, Ordering::Relaxed);
    let local = there.storage.fetch(&there.path("a/b")).await.unwrap();
    assert!(fs::read(local.path()).unwrap() == bytes);
    // More often than the client goes on by itself, and never twice from the start.
    let log = server.log();
    assert!(log.len() > 1 + RETRIES, "{log:?}");
    let starts: Vec<usize> =
        log.iter().filter_map(|request| request.split_once("bytes=")?.1.split('-').next()?.parse().ok()).collect();
    assert_eq!(starts.len(), log.len() - 1);
    assert!(starts.is_sorted() && starts[0] > 0, "{starts:?}");

    server.tricks.cut.store(1, Ordering::Relaxed);
    let error = there.storage.read(&there.path("a/c"), 0..1).await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }) || error.is_passing(), "{error}");
}

#[tokio::test]
async fn whoever_has_no_right_is_told_what_to_check() {
    let server = Server::start().await;
    let forger = Machine::of(&server.store_of(BUCKET, "", "not-the-secret"));
    let path = forger.write("a/b", b"tulips");
    let errors = [
        forger.storage.check().await.unwrap_err(),
        forger.storage.keep(&path).await.unwrap_err(),
        forger.storage.keep_new(&path).await.unwrap_err(),
        forger.storage.read(&forger.path("a/c"), 0..1).await.unwrap_err(),
        forger.storage.fetch(&forger.path("a/c")).await.unwrap_err(),
        forger.storage.list(&forger.path("a")).await.unwrap_err(),
        forger.storage.remove(&path).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StorageError::Denied { .. }), "{error:?}");
        let told = format!("{error} {error:?} {:?}", forger.storage);
        assert!(told.contains("403"), "{told}");
        assert!(!told.contains("AKIATEST") && !told.contains("not-the-secret"), "{told}");
    }
    assert!(path.exists());

    let lost = Machine::of(&server.store_of("no-such-bucket", "", "hunter2hunter2"));
    // A bucket would refuse all requests; this server makes one for a file that it is sent.
    let error = lost.storage.list(&lost.path("a")).await.unwrap_err();
    assert!(matches!(&error, StorageError::Denied { reason } if reason == "404 NoSuchBucket"), "{error:?}");
}

#[tokio::test]
async fn prefixes_share_a_bucket() {
    let server = Server::start().await;
    let (one, two) = (server.store_of(BUCKET, "one", "hunter2hunter2"), server.store_of(BUCKET, "one-more", "hunter2hunter2"));
    let (one, two) = (Machine::of(&one), Machine::of(&two));
    one.keep("a/b", b"1").await;
    two.keep("a/b", b"22").await;
    assert!(server.dir.path().join(BUCKET).join("one-more/a/b").exists());
    two.storage.remove_folder(&two.path("a")).await.unwrap();
    let kept = one.storage.list(&one.path("a")).await.unwrap();
    assert_eq!(kept.iter().map(|kept| (kept.name.as_str(), kept.bytes)).collect::<Vec<_>>(), [("b", 1)]);
}

#[tokio::test]
async fn long_lists_come_whole_and_without_what_is_nobodys() {
    let server = Server::start().await;
    let machine = Machine::of(&server.store());
    let folder = server.dir.path().join(BUCKET).join("top/graft/cache/features/x");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..1005 {
        fs::write(folder.join(format!("{number:04}.segment")), "x").unwrap();
    }
    fs::write(folder.join("a stranger's"), "x").unwrap();
    fs::write(folder.join(".hidden"), "x").unwrap();
    let kept = machine.storage.list(&machine.path("cache/features")).await.unwrap();
    assert_eq!(kept.len(), 1005);
    assert_eq!(kept[1004].name, "x/1004.segment");
    machine.storage.remove_folder(&machine.path("cache")).await.unwrap();
    assert!(machine.storage.list(&machine.path("cache")).await.unwrap().is_empty());
}
