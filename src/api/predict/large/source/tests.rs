use std::time::Duration;

use axum::http::header;
use futures_util::StreamExt;

use super::*;
use crate::dataset::testing::zip;

fn settings(dir: &tempfile::TempDir) -> Settings {
    Settings { data_dir: dir.path().to_owned(), max_picture_bytes: 4, max_upload_bytes: 1 << 16, ..Settings::default() }
}

async fn receive(kind: Kind, media_type: &str, body: Vec<u8>, settings: &Settings) -> Result<Source, ApiError> {
    let request = Request::builder().header(header::CONTENT_TYPE, media_type).body(body.into()).unwrap();
    Source::receive(kind, request, &Arc::new(settings.clone())).await
}

/// Each entry's path with its content; the last is the error that ended it, if one did.
async fn entries(source: Source, settings: &Settings) -> Vec<(String, Result<Vec<u8>, String>)> {
    let entry = |item: Result<Item, ApiError>| match item {
        Ok(item) => (item.path, item.content.map(|bytes| bytes.to_vec())),
        Err(error) => (String::new(), Err(error.code().to_owned())),
    };
    source.read(settings.dataset_limits()).map(entry).collect().await
}

fn form(files: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, content): &(&str, &str)| {
        format!("--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n{content}\r\n")
    };
    (files.iter().map(part).collect::<String>() + "--x--\r\n").into_bytes()
}

const FORM: &str = "multipart/form-data; boundary=x";

#[tokio::test]
async fn an_archives_entries_come_in_order_wherever_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let archive = zip(&[
        ("b.png", b"one".to_vec()),
        ("a/", Vec::new()),
        ("a/.DS_Store", b"x".to_vec()),
        ("../up.png", b"two".to_vec()),
        ("a/c.png", b"four".to_vec()),
        ("large.png", b"fives".to_vec()),
    ]);
    let source = receive(Kind::Archive, "application/zip", archive, &settings).await.unwrap();
    assert_eq!(source.total(), None);
    let path = source.received.path().to_owned();
    let entries = entries(source, &settings).await;
    assert_eq!(entries[0], ("b.png".to_owned(), Ok(b"one".to_vec())));
    assert!(entries[1].1.as_ref().unwrap_err().contains("upwards"), "{entries:?}");
    assert_eq!(entries[2], ("a/c.png".to_owned(), Ok(b"four".to_vec())));
    assert!(entries[3].1.as_ref().unwrap_err().contains("more than 4 bytes"), "{entries:?}");
    assert_eq!(entries.len(), 4);
    assert!(!path.exists(), "its file goes away with it");
}

#[tokio::test]
async fn a_forms_parts_come_in_order_with_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let body = form(&[("b.png", "one"), ("", "two"), ("large.png", "fives"), ("empty.png", ""), ("a.png", "four")]);
    let source = receive(Kind::Form, FORM, body, &settings).await.unwrap();
    assert_eq!(source.total(), Some(5));
    let entries = entries(source, &settings).await;
    let paths: Vec<_> = entries.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["b.png", "images[1]", "large.png", "empty.png", "a.png"]);
    assert!(entries[2].1.as_ref().unwrap_err().contains("more than 4 bytes"), "{entries:?}");
    let contents: Vec<_> = [0, 1, 3, 4].map(|place: usize| entries[place].1.clone().unwrap()).to_vec();
    assert_eq!(contents, [b"one".to_vec(), b"two".to_vec(), Vec::new(), b"four".to_vec()]);
}

#[tokio::test]
async fn limits_hold_and_what_is_refused_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { max_entries: 2, ..settings(&dir) };
    let three = [("1", "a"), ("2", "b"), ("3", "c")];
    let cases = [
        (Kind::Form, FORM, form(&three), "too_many_entries"),
        (Kind::Form, FORM, form(&[]), "no_picture"),
        (Kind::Form, FORM, b"--y".to_vec(), "invalid_multipart"),
        (Kind::Archive, "application/zip", b"no archive".to_vec(), "unknown_archive"),
        (Kind::Archive, "application/zip", zip(&three.map(|(name, content)| (name, content.into()))), "too_many_entries"),
        (Kind::Archive, "application/x-tar", vec![0; (1 << 16) + 1], "too_large"),
    ];
    for (kind, media_type, body, code) in cases {
        let error = receive(kind, media_type, body, &settings).await.err().unwrap();
        assert_eq!(error.code(), code);
    }
    assert_eq!(std::fs::read_dir(settings.uploads_dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_set_that_nobody_reads_any_more_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let names: Vec<String> = (0..50).map(|number| format!("{number}.png")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), b"x".to_vec())).collect();
    let source = receive(Kind::Archive, "application/zip", zip(&files), &settings).await.unwrap();
    let path = source.received.path().to_owned();
    let mut entries = source.read(settings.dataset_limits()).boxed();
    assert!(entries.next().await.is_some());
    assert!(path.exists(), "the reader waits for somebody to take the next one");
    drop(entries);
    let gone = async {
        while path.exists() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
}
