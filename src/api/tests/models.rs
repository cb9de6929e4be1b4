use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;

use super::Api;
use crate::artifact::testing::manifest;
use crate::artifact::{NamedTensor, publish};
use crate::report::{PhaseName, PhaseReport, Report, SplitSummary};
use crate::store::Published;
use crate::store::testing::{claimed, queued_job};
use crate::vision::precision::Precision;

pub(super) fn report(classes: &[String]) -> Report {
    let phases = vec![PhaseReport::new(PhaseName::WarmUp, 1, classes, [(0, 0), (1, 1)])];
    let split = SplitSummary { train: 2, validation: 2, test: 0, seed: 42 };
    Report { classes: classes.to_vec(), phases, test: None, split, calibration: None, predictions: Vec::new() }
}

impl Api {
    /// One with a data set and a version of `flowers`.
    pub(super) async fn published() -> Self {
        let api = Self::new().await;
        api.dataset("d").await;
        api.publish().await;
        api
    }

    /// Publishes the next version of `flowers`; the job's id.
    pub(super) async fn publish(&self) -> String {
        self.publish_with(&report(&manifest("flowers", 1).classes)).await
    }

    /// The same, with this report.
    pub(super) async fn publish_with(&self, report: &Report) -> String {
        let store = &self.state.store;
        let dataset = store.dataset("d").await.unwrap().id;
        let id = queued_job(store, dataset).await;
        let (_, lease) = claimed(store, "w", 0).await.unwrap();
        let version = store.reserve_version(id, lease).await.unwrap();
        let dir = self.state.settings.model_dir(&"flowers".parse().unwrap(), version);
        let manifest = manifest("flowers", version.unsigned_abs());
        let tensor = NamedTensor { name: "head.output.bias".to_owned(), shape: vec![2], data: vec![0.0, 1.0] };
        publish(&dir, manifest, &[tensor], report).unwrap();
        let published = Published { version, accuracy: 1.0, precision: Precision::F32, classes: 2 };
        store.succeed(id, lease, &published).await.unwrap();
        id.to_string()
    }

    async fn put(&self, uri: &str, body: serde_json::Value) -> super::Answer {
        let request = Request::put(uri).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

#[tokio::test]
async fn versions_aliases_and_reports() {
    let api = Api::new().await;
    api.dataset("d").await;
    let job = api.publish().await;
    api.publish().await;
    assert_eq!(api.get(&format!("/v1/jobs/{job}")).await.json()["model"], json!({"name": "flowers", "version": 1}));

    let put = api.put("/v1/models/flowers/aliases/production", json!({"version": 1})).await;
    assert_eq!(put.json(), json!({"model": "flowers", "alias": "production", "version": 1}));
    let listed = &api.get("/v1/models").await.json()["items"][0];
    assert_eq!((&listed["default_version"], &listed["newest_version"], &listed["versions"]), (&1.into(), &2.into(), &2.into()));
    let model = api.get("/v1/models/flowers").await.json();
    assert_eq!((&model["versions"][0]["version"], &model["aliases"]), (&2.into(), &json!({"production": 1})));
    let version = api.get("/v1/models/flowers/versions/1").await.json();
    assert_eq!((&version["job"], &version["manifest"]["classes"]), (&job.as_str().into(), &json!(["daisy", "tulip"])));

    let report = api.get("/v1/models/flowers/report").await.json();
    assert_eq!((&report["phases"][0]["accuracy"], &report["phases"][0]["confusion"]), (&1.0.into(), &json!([[1, 0], [0, 1]])));
    assert_eq!(api.get(&format!("/v1/jobs/{job}/report")).await.json(), report);
    for answer in [
        api.get_as("/v1/models/flowers/versions/1/report", "text/plain").await,
        api.get("/v1/models/flowers/versions/1/report?format=text").await,
    ] {
        assert_eq!(answer.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert!(std::str::from_utf8(&answer.body).unwrap().contains("weighted avg"));
    }
    for answer in [
        api.get_as("/v1/models/flowers/report", "image/svg+xml").await,
        api.get(&format!("/v1/jobs/{job}/report?format=svg")).await,
    ] {
        assert_eq!(answer.headers[header::CONTENT_TYPE], "image/svg+xml");
        assert!(std::str::from_utf8(&answer.body).unwrap().contains("tulip"));
    }
    assert_eq!(api.delete("/v1/models/flowers/aliases/production").await.status, 204);
    assert_eq!(api.get("/v1/models/flowers").await.json()["default_version"], 2);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let api = Api::new().await;
    api.dataset("d").await;
    let predict = async |uri: &str| api.post(uri, "image/png", "x").await.problem();
    assert_eq!(predict("/predict").await, (404, "model_not_found".to_owned()), "no model yet");
    api.publish().await;
    for (uri, code) in [
        ("/v1/models/trees", "model_not_found"),
        ("/v1/models/a%2Fb", "model_not_found"),
        ("/v1/models/trees/report", "model_not_found"),
        ("/v1/models/flowers/versions/2", "version_not_found"),
        ("/v1/models/flowers/versions/x", "not_found"),
        ("/v1/models/flowers/versions/2/report", "version_not_found"),
    ] {
        assert_eq!(api.get(uri).await.problem(), (404, code.to_owned()), "{uri}");
    }
    assert_eq!(api.delete("/v1/models/flowers/aliases/a").await.problem(), (404, "alias_not_found".to_owned()));
    let put = api.put("/v1/models/flowers/aliases/a", json!({"version": 2})).await;
    assert_eq!(put.problem(), (404, "version_not_found".to_owned()));
    let put = api.put("/v1/models/flowers/aliases/.a", json!({"version": 1})).await;
    assert_eq!(put.problem(), (422, "invalid_field".to_owned()));

    assert_eq!(predict("/v1/models/trees/predict").await, (404, "model_not_found".to_owned()));
    assert_eq!(predict("/v1/models/flowers/versions/2/predict").await, (404, "version_not_found".to_owned()));
    assert_eq!(predict("/v1/models/flowers/aliases/a/predict").await, (404, "alias_not_found".to_owned()));
    assert_eq!(predict("/predict?version=1&alias=a").await, (422, "invalid_field".to_owned()));
    assert_eq!(predict("/predict?top_k=0").await, (422, "invalid_field".to_owned()));
}

#[tokio::test]
async fn without_an_engine_the_answer_is_to_come_back() {
    let api = Api::new().await;
    api.dataset("d").await;
    api.publish().await;
    let answer = api.post("/predict", "image/png", crate::dataset::testing::picture(1)).await;
    assert_eq!(answer.problem(), (503, "engine_unavailable".to_owned()));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn versions_can_be_downloaded() {
    let api = Api::new().await;
    api.dataset("d").await;
    api.publish().await;
    let uri = "/v1/models/flowers/versions/1/download";
    let dir = api.state.settings.model_dir(&"flowers".parse().unwrap(), 1);
    let weights = api.get(&format!("{uri}?format=safetensors")).await;
    assert_eq!(
        (weights.status.as_u16(), &weights.body[..]),
        (200, &std::fs::read(dir.join("weights.safetensors")).unwrap()[..])
    );
    assert_eq!(weights.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"flowers-1.safetensors\"");
    let manifest = api.get("/v1/models/flowers/versions/1").await.json()["manifest"].clone();
    let etag = format!("\"{}\"", manifest["files"]["weights.safetensors"].as_str().unwrap());
    assert_eq!(weights.headers[header::ETAG], etag);

    let archive = api.get(uri).await;
    assert_eq!(archive.headers[header::CONTENT_TYPE], "application/x-tar");
    assert_eq!(archive.headers[header::CONTENT_LENGTH], archive.body.len().to_string());
    let mut tar = tar::Archive::new(&archive.body[..]);
    let entries = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    assert_eq!(entries.collect::<Vec<_>>(), ["manifest.json", "weights.safetensors", "report.json"]);
    for (uri, answer) in [(format!("{uri}?format=safetensors"), &weights), (uri.to_owned(), &archive)] {
        let known = Request::get(uri).header(header::IF_NONE_MATCH, &answer.headers[header::ETAG]);
        let again = api.send(known.body(Body::empty()).unwrap()).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    }
    assert_eq!(api.get("/v1/models/flowers/versions/2/download").await.problem(), (404, "version_not_found".to_owned()));
    assert_eq!(api.get(&format!("{uri}?format=pickle")).await.problem(), (422, "invalid_query".to_owned()));
}
