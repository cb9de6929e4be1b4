//! What is noted of changes, and of the use of keys.

use std::time::Duration;

use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::api::router;

/// Asks until something has happened on another task.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap()
}

#[tokio::test]
async fn what_was_to_change_is_noted_whatever_came_of_it() {
    let api = Api::asking().await;
    let (train, admin) = (api.key(&[Scope::Train]).await, api.key(&[Scope::Admin]).await);
    let listed = async |query: &str| api.ask("GET", &format!("/v1/audit{query}"), &admin).await.json();
    assert_eq!(listed("").await, json!({"items": []}));

    let missing = api.ask_json("/v1/jobs?secret=1", &train, json!({"dataset": "d", "model": "m"})).await;
    let forbidden = api.ask("PUT", "/v1/models/m/aliases/a", &train).await;
    let broken = api.ask("DELETE", "/v1/datasets", &admin).await;
    assert_eq!([missing.status, forbidden.status, broken.status].map(|status| status.as_u16()), [404, 403, 405]);
    // None of these changes anything, or says who it was.
    api.ask("GET", "/v1/jobs", &train).await;
    api.ask("POST", "/predict", &admin).await;
    api.ask("POST", "/v2/models/m/infer", &admin).await;
    api.ask("POST", "/nowhere", &admin).await;
    api.post_json("/v1/jobs", json!({})).await;

    let expected = [
        (&broken, "DELETE", "/v1/datasets", &admin),
        (&forbidden, "PUT", "/v1/models/m/aliases/a", &train),
        (&missing, "POST", "/v1/jobs", &train),
    ];
    let page = listed("").await;
    let entries = page["items"].as_array().unwrap();
    assert_eq!(entries.len(), expected.len(), "{page}");
    for (entry, (answer, method, path, key)) in entries.iter().zip(expected) {
        assert_eq!((&entry["method"], &entry["path"]), (&method.into(), &path.into()));
        assert_eq!(entry["status"], answer.status.as_u16());
        assert_eq!(entry["key"], json!({"id": &key[3..11], "name": "ci"}));
        assert_eq!(entry["request_id"], answer.headers["x-request-id"].to_str().unwrap());
        assert!(entry["at"].as_str().unwrap().ends_with('Z'));
    }
    let first = listed("?limit=2").await;
    let rest = listed(&format!("?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((first["items"].as_array().unwrap().len(), rest["items"][0].clone()), (2, entries[2].clone()));
    assert_eq!(rest.get("next_cursor"), None);
    assert_eq!(api.ask("GET", "/v1/audit?limit=0", &admin).await.problem(), (422, "invalid_field".to_owned()));
}

#[tokio::test]
async fn a_client_that_goes_away_is_noted() {
    let api = Api::new().await;
    let body = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/v1/datasets?name=a").header("host", "localhost").body(body).unwrap();
    let mut answered = Box::pin(router(api.state.clone()).oneshot(request));
    assert!(futures_util::poll!(&mut answered).is_pending());
    drop(answered);
    let entry = until(async || {
        let items = api.get("/v1/audit").await.json()["items"].clone();
        items.get(0).cloned()
    });
    let entry: Value = entry.await;
    assert_eq!((&entry["path"], &entry["status"]), (&"/v1/datasets".into(), &499.into()));
    assert!(entry.get("key").is_none() && entry["request_id"].is_string(), "{entry}");
}

#[tokio::test]
async fn when_a_key_was_last_used_is_noted() {
    let api = Api::asking().await;
    let (used, unused) = (api.key(&[Scope::Train]).await, api.key(&[Scope::Train]).await);
    let id = |key: &str| key.parse::<Key>().unwrap().id();
    let wrong = format!("{}{}", &unused[..12], &used[12..]);
    assert_eq!(api.ask("GET", "/v1/jobs", &wrong).await.status, 401);
    let before = now();
    assert_eq!(api.ask("GET", "/v1/jobs", &used).await.status, 200);
    let last = until(async || api.state.store.key(id(&used)).await.unwrap().last_used_at).await;
    assert!((before..=now()).contains(&last.timestamp_millis()));
    assert_eq!(api.state.store.key(id(&unused)).await.unwrap().last_used_at, None);
}
