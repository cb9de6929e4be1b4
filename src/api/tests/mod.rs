//! The API without a network: requests go straight to the router. `server.rs` has what only shows on a connection.

mod access;
mod datasets;
mod durable;
mod hostile;
mod idempotency;
mod jobs;
mod large;
mod models;
mod pages;
mod reports;
mod server;
mod service;
mod sweeps;
mod thumbnails;
mod v2;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use serde_json::Value;
use tower::ServiceExt;

use super::{AppState, router};
use crate::config::Settings;
use crate::dataset::testing::{picture, zip};
use crate::inference::Predictor;
use crate::jobs::WorkerHealth;
use crate::storage::Storage;
use crate::store::Store;

struct Api {
    state: AppState,
    dir: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and code; the media type must be a problem's.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{:?}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }
}

impl Api {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings { data_dir: dir.path().to_owned(), min_free_bytes: 0, ..Settings::default() };
        change(&mut settings);
        let store = Store::open(&settings.database()).await.unwrap();
        let storage = Storage::open(None, &settings.data_dir, 0).unwrap();
        let state = AppState::new(Arc::new(settings), store, storage, Predictor::disconnected(), WorkerHealth::new(1));
        Self { state, dir }
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        request.headers_mut().entry(header::HOST).or_insert(header::HeaderValue::from_static("localhost"));
        let response = router(self.state.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    async fn get_as(&self, uri: &str, accept: &str) -> Answer {
        self.send(Request::get(uri).header(header::ACCEPT, accept).body(Body::empty()).unwrap()).await
    }

    async fn delete(&self, uri: &str) -> Answer {
        self.send(Request::delete(uri).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, uri: &str, media_type: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(uri).header(header::CONTENT_TYPE, media_type).body(body.into()).unwrap()).await
    }

    async fn post_json(&self, uri: &str, body: Value) -> Answer {
        self.post(uri, "application/json", body.to_string()).await
    }

    /// Waits until a data set has been read.
    async fn settled(&self, id: &str) -> Value {
        for _ in 0..200 {
            let dataset = self.get(&format!("/v1/datasets/{id}")).await.json();
            if dataset["state"] != "ingesting" {
                return dataset;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the data set is still being read");
    }

    /// A ready data set of two classes by this name.
    async fn dataset(&self, name: &str) -> Value {
        let answer = self.post(&format!("/v1/datasets?name={name}"), "application/zip", pictures()).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        let dataset = self.settled(name).await;
        assert_eq!(dataset["state"], "ready", "{dataset}");
        dataset
    }

    /// What lies in the folder of uploads.
    fn uploads(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("uploads"));
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        entries.map(|entries| entries.map(name).collect()).unwrap_or_default()
    }
}

/// A zip of two classes with two pictures each and one file that is none.
fn pictures() -> Vec<u8> {
    zip(&[
        ("flowers/daisy/1.png", picture(1)),
        ("flowers/daisy/2.png", picture(2)),
        ("flowers/tulip/3.png", picture(3)),
        ("flowers/tulip/4.png", picture(4)),
        ("flowers/tulip/notes.txt", b"not a picture".to_vec()),
    ])
}
