//! Full disks and missing files: clear answers, nothing half made, and everything goes on afterwards.

use axum::http::header;
use serde_json::json;
use uuid::Uuid;

use super::{Api, pictures};
use crate::dataset::testing::{picture, zip};
use crate::store::NewDataset;

#[tokio::test]
async fn with_little_room_uploads_and_jobs_are_refused_and_nothing_else() {
    let api = Api::with(|settings| settings.min_free_bytes = u64::MAX).await;
    let refused = (507, "storage_full".to_owned());
    let upload = api.post("/v1/datasets?name=d", "application/zip", pictures()).await;
    assert_eq!(upload.problem(), refused);
    assert!(upload.json()["detail"].as_str().unwrap().contains("delete"), "it says what to change");
    assert!(api.uploads().is_empty());
    let dataset = crate::store::testing::ready_dataset(&api.state.store, "d").await;
    let settings = &api.state.settings;
    std::fs::create_dir_all(settings.dataset_dir(dataset)).unwrap();
    std::fs::write(settings.pack(dataset), [0; 40]).unwrap();
    assert_eq!(api.post_json("/v1/jobs", json!({"dataset": "d", "model": "m"})).await.problem(), refused);
    assert_eq!(api.post_json("/v1/sweeps", json!({"dataset": "d", "model": "m", "vary": {}})).await.problem(), refused);
    let storage = api.get("/readyz").await.json()["storage"].clone();
    assert_eq!((&storage["enough"], &storage["min_free_bytes"]), (&false.into(), &u64::MAX.into()), "{storage}");
    assert!(storage["free_bytes"].as_u64().unwrap() > 0);
    assert_eq!(api.get("/v1/datasets/d").await.status, 200);
    assert_eq!(api.delete("/v1/datasets/d").await.status, 204, "how else would there be room again?");
}

#[tokio::test]
async fn a_database_without_room_says_so_and_goes_on_when_there_is_some() {
    let api = Api::new().await;
    api.dataset("d").await;
    api.state.store.limit_pages(1).await;
    let body = json!({"dataset": "d", "model": "m"});
    let mut made = 0;
    let refused = loop {
        let answer = api.post_json("/v1/jobs", body.clone()).await;
        if answer.status != 202 {
            break answer;
        }
        made += 1;
    };
    assert_eq!(refused.problem(), (507, "storage_full".to_owned()));
    assert_eq!(api.get("/v1/jobs?limit=500").await.json()["items"].as_array().unwrap().len(), made);
    api.state.store.limit_pages(1 << 30).await;
    assert_eq!(api.post_json("/v1/jobs", body).await.status, 202);
}

#[tokio::test]
async fn an_archive_that_does_not_fit_is_read_when_there_is_room() {
    let api = Api::new().await;
    let names: Vec<String> =
        (0..100).map(|n| format!("flowers/{}/{n}.png", if n % 2 == 0 { "daisy" } else { "tulip" })).collect();
    let files: Vec<_> = names.iter().zip(0..).map(|(name, n)| (name.as_str(), picture(n))).collect();
    let (settings, store) = (&api.state.settings, &api.state.store);
    let id = Uuid::now_v7();
    let name = "d".parse().unwrap();
    store
        .insert_dataset(&NewDataset { id, name, bytes: 1, archive_sha256: String::new(), allowance: None }, None)
        .await
        .unwrap();
    std::fs::create_dir_all(settings.uploads_dir()).unwrap();
    std::fs::write(settings.archive(id), zip(&files)).unwrap();
    // A hundred rows don't fit in what is free of the database's pages.
    store.limit_pages(1).await;
    api.state.ingestor.enqueue(id);
    let waits = async {
        loop {
            let dataset = api.get("/v1/datasets/d").await.json();
            if let Some(waits) = dataset["waiting"].as_str() {
                assert_eq!(dataset["state"], "ingesting");
                return waits.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let waits = tokio::time::timeout(std::time::Duration::from_secs(20), waits).await.unwrap();
    assert!(waits.contains("database"), "{waits}");
    assert!(settings.archive(id).exists());
    store.limit_pages(1 << 30).await;
    let dataset = api.settled("d").await;
    assert_eq!((&dataset["state"], &dataset["images"], dataset.get("waiting")), (&"ready".into(), &100.into(), None));
    api.state.ingestor.stop().await;
    assert!(api.uploads().is_empty());
}

#[tokio::test]
async fn an_archive_that_vanished_fails_its_dataset_with_what_to_do() {
    let api = Api::new().await;
    let id = Uuid::now_v7();
    let new = NewDataset { id, name: "d".parse().unwrap(), bytes: 1, archive_sha256: String::new(), allowance: None };
    api.state.store.insert_dataset(&new, None).await.unwrap();
    api.state.ingestor.enqueue(id);
    let error = api.settled("d").await["error"].clone();
    assert_eq!(error["code"], "archive_missing");
    assert!(error["message"].as_str().unwrap().contains("upload it again"));
}

#[tokio::test]
async fn missing_pictures_are_told_and_never_an_internal_error() {
    let api = Api::new().await;
    let id: Uuid = api.dataset("d").await["id"].as_str().unwrap().parse().unwrap();
    assert!(api.get("/v1/datasets/d").await.json().get("damaged").is_none());
    let pack = api.state.settings.pack(id);
    let whole = std::fs::read(&pack).unwrap();
    std::fs::write(&pack, &whole[..10]).unwrap();
    let damaged = (503, "files_damaged".to_owned());
    assert_eq!(api.get("/v1/datasets/d/images/3").await.problem(), damaged);
    std::fs::remove_file(&pack).unwrap();
    for uri in ["/v1/datasets/d", "/v1/datasets?limit=1"] {
        let answer = api.get(uri).await.json();
        let dataset = if answer["items"].is_array() { &answer["items"][0] } else { &answer };
        assert!(dataset["damaged"].as_str().unwrap().contains("backup"), "{dataset}");
    }
    assert_eq!(api.get("/v1/datasets/d/images/0").await.problem(), damaged);
    assert_eq!(api.post_json("/v1/jobs", json!({"dataset": "d", "model": "m"})).await.problem(), damaged);
    let told = crate::upkeep::missing(&api.state.settings, &api.state.store, &api.state.storage).await.unwrap();
    api.state.missing.set(told).unwrap();
    assert_eq!(api.get("/readyz").await.json()["storage"]["missing"], json!(["the pictures of dataset d"]));
    std::fs::write(&pack, whole).unwrap();
    assert_eq!(api.get("/v1/datasets/d/images/3").await.status, 200);
}

#[tokio::test]
async fn missing_artifacts_are_told_and_never_an_internal_error() {
    let api = Api::new().await;
    api.dataset("d").await;
    api.publish().await;
    std::fs::remove_dir_all(api.state.settings.model_dir(&"flowers".parse().unwrap(), 1)).unwrap();
    let version = "/v1/models/flowers/versions/1";
    for uri in [version.to_owned(), format!("{version}/report"), format!("{version}/download")] {
        let answer = api.get(&uri).await;
        assert_eq!(answer.problem(), (503, "files_damaged".to_owned()), "{uri}");
        assert!(!answer.headers.contains_key(header::RETRY_AFTER), "it doesn't pass by itself");
    }
    assert_eq!(api.post("/predict", "image/png", picture(1)).await.problem(), (503, "model_unusable".to_owned()));
}
