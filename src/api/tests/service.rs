use axum::body::Body;
use axum::http::{Request, header};
use axum::response::IntoResponse;

use super::Api;

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let api = Api::with(|settings| settings.max_request_bytes = 100).await;
    assert_eq!(api.get("/v2/jobs").await.problem(), (404, "not_found".to_owned()));
    let answer = api.delete("/v1/jobs").await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()));
    assert!(answer.headers.contains_key(header::ALLOW));
    let post = async |media_type: &str, body: &str| api.post("/v1/jobs", media_type, body.to_owned()).await.problem();
    assert_eq!(post("text/plain", "{}").await, (415, "unsupported_media_type".to_owned()));
    assert_eq!(post("application/json", "{").await, (400, "invalid_json".to_owned()));
    assert_eq!(
        post("application/json", &format!("{{\"dataset\": \"{}\"}}", "x".repeat(100))).await,
        (413, "too_large".to_owned())
    );
}

#[tokio::test]
async fn requests_have_ids() {
    let api = Api::new().await;
    let given = Request::get("/healthz").header("x-request-id", "abc-1").body(Body::empty()).unwrap();
    assert_eq!(api.send(given).await.headers["x-request-id"], "abc-1");
    let made_up = api.get("/nowhere").await;
    assert_eq!(made_up.headers["x-request-id"].len(), 36);
}

#[tokio::test]
async fn health_readiness_and_documentation() {
    let api = Api::new().await;
    assert_eq!(api.get("/healthz").await.json()["status"], "ok");
    api.state.workers.started();
    let answer = api.get("/readyz").await;
    let readiness = answer.json();
    assert_eq!((answer.status.as_u16(), &readiness["ready"], &readiness["database"]), (503, &false.into(), &true.into()));
    assert_eq!((&readiness["predictor"], &readiness["workers"]["alive"]), (&false.into(), &1.into()), "its engine is gone");
    api.state.store.close().await;
    assert_eq!(api.get("/readyz").await.json()["database"], false);

    assert_eq!(api.get("/openapi.json").await.json()["info"]["title"], "topgraft");
    assert!(std::str::from_utf8(&api.get("/docs/").await.body).unwrap().contains("swagger-ui"));
    let script = api.get("/docs/swagger-initializer.js").await.body;
    assert!(std::str::from_utf8(&script).unwrap().contains("\"../openapi.json\""), "relative: {script:?}");
}

#[tokio::test]
async fn trouble_on_this_side_says_nothing_of_the_inside() {
    let api = Api::new().await;
    api.state.store.close().await;
    let answer = api.get("/v1/jobs").await;
    assert_eq!(answer.problem(), (500, "internal".to_owned()));
    assert!(!answer.json()["detail"].as_str().unwrap().contains("pool"));
    let panicked = crate::api::panicked(&"a secret").into_response();
    assert_eq!(panicked.status(), 500);
    let body = axum::body::to_bytes(panicked.into_body(), 10_000).await.unwrap();
    assert!(!std::str::from_utf8(&body).unwrap().contains("secret"));
}
