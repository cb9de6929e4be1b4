//! Requests that are sent again.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use super::{Answer, Api, pictures};
use crate::api::idempotency::Turn;
use crate::dataset::testing::{picture, zip};

impl Api {
    /// Posts JSON under a key.
    pub(super) async fn keyed(&self, key: &str, uri: &str, body: &Value) -> Answer {
        let request = Request::post(uri).header("idempotency-key", key).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Uploads under a key.
    async fn keyed_upload(&self, key: &str, uri: &str, archive: Vec<u8>) -> Answer {
        self.send(Request::post(uri).header("idempotency-key", key).body(Body::from(archive)).unwrap()).await
    }

    async fn count(&self, uri: &str) -> usize {
        self.get(uri).await.json()["items"].as_array().unwrap().len()
    }
}

fn replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

#[tokio::test]
async fn the_same_request_is_answered_the_same_and_makes_nothing_again() {
    let api = Api::new().await;
    api.dataset("d").await;
    let body = json!({"dataset": "d", "model": "flowers"});
    let first = api.keyed("a", "/v1/jobs", &body).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{:?}", first.body);
    assert!(!replayed(&first));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    // What became of the job meanwhile is asked for at its address.
    assert_eq!(api.post(&format!("/v1/jobs/{id}/cancel"), "", Body::empty()).await.json()["state"], "cancelled");
    let again = api.keyed("a", "/v1/jobs", &body).await;
    assert!(replayed(&again));
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for name in [header::LOCATION, header::CONTENT_TYPE] {
        assert_eq!(again.headers[&name], first.headers[&name]);
    }
    assert_eq!(api.count("/v1/jobs").await, 1);
    api.keyed("b", "/v1/jobs", &body).await;
    api.post_json("/v1/jobs", body).await;
    assert_eq!(api.count("/v1/jobs").await, 3, "another key, or none, is another request");
}

#[tokio::test]
async fn a_key_is_for_one_request() {
    let api = Api::new().await;
    api.dataset("d").await;
    api.keyed("a", "/v1/jobs", &json!({"dataset": "d", "model": "flowers"})).await;
    let reused = (422, "idempotency_key_reused".to_owned());
    assert_eq!(api.keyed("a", "/v1/jobs", &json!({"dataset": "d", "model": "trees"})).await.problem(), reused);
    assert_eq!(api.keyed("a", "/v1/sweeps", &json!({"dataset": "d", "model": "flowers"})).await.problem(), reused);
    assert_eq!(api.keyed_upload("a", "/v1/datasets?name=e", pictures()).await.problem(), reused);
    assert!(api.uploads().is_empty());
    let long = "x".repeat(256);
    for key in ["", " ", "a b", "a\tb", "é", long.as_str()] {
        let answer = api.keyed(key, "/v1/jobs", &json!({"dataset": "d", "model": "flowers"})).await;
        assert_eq!(answer.problem(), (422, "invalid_idempotency_key".to_owned()), "{key:?}");
    }
    let longest = "x".repeat(255);
    assert_eq!(api.keyed(&longest, "/v1/jobs", &json!({"dataset": "d", "model": "m"})).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn only_one_of_the_same_key_is_answered_at_a_time() {
    let api = Api::new().await;
    api.dataset("d").await;
    let body = json!({"dataset": "d", "model": "flowers"});
    let request = Request::builder().header("idempotency-key", "a").body(Body::empty()).unwrap();
    let turn = Turn::begin(&request, &api.state).unwrap();
    let refused = api.keyed("a", "/v1/jobs", &body).await;
    assert_eq!(refused.problem(), (409, "idempotency_key_in_use".to_owned()));
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    drop(turn);
    assert_eq!(api.keyed("a", "/v1/jobs", &body).await.status, StatusCode::ACCEPTED);
    let many = (0..8).map(|_| api.keyed("b", "/v1/jobs", &body));
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 202 | 409)), "{:?}", answers[0].body);
    assert_eq!(api.count("/v1/jobs").await, 2);
}

#[tokio::test]
async fn what_came_to_nothing_may_be_asked_for_again() {
    let api = Api::new().await;
    let body = json!({"dataset": "d", "model": "flowers"});
    assert_eq!(api.keyed("a", "/v1/jobs", &body).await.problem(), (404, "dataset_not_found".to_owned()));
    api.dataset("d").await;
    let answer = api.keyed("a", "/v1/jobs", &body).await;
    assert_eq!((answer.status, replayed(&answer)), (StatusCode::ACCEPTED, false));
}

#[tokio::test]
async fn an_upload_that_is_sent_again_is_the_same_dataset() {
    let api = Api::new().await;
    let uri = "/v1/datasets?name=flowers";
    let first = api.keyed_upload("a", uri, pictures()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{:?}", first.body);
    api.settled("flowers").await;
    // Without the key, the name would be taken.
    let again = api.keyed_upload("a", uri, pictures()).await;
    assert_eq!((again.status, &again.body, replayed(&again)), (first.status, &first.body, true));
    assert!(api.uploads().is_empty() && api.count("/v1/datasets").await == 1);
    let other = zip(&[("x/daisy/1.png", picture(9))]);
    assert_eq!(api.keyed_upload("a", uri, other).await.problem(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(api.keyed_upload("b", uri, pictures()).await.problem(), (409, "dataset_name_taken".to_owned()));
    // Gone since, and still not made twice.
    assert_eq!(api.delete("/v1/datasets/flowers").await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.keyed_upload("a", uri, pictures()).await.body, first.body);
    assert_eq!(api.count("/v1/datasets").await, 0);
}

#[tokio::test]
async fn answers_are_forgotten_when_their_time_is_over() {
    let api = Api::with(|settings| settings.idempotency_hours = 0).await;
    api.dataset("d").await;
    let body = json!({"dataset": "d", "model": "flowers"});
    api.keyed("a", "/v1/jobs", &body).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert!(!replayed(&api.keyed("a", "/v1/jobs", &body).await));
    assert_eq!(api.count("/v1/jobs").await, 2);
}
