//! Keys, and what they are for.

mod audit;
mod limits;

use axum::body::Body;
use axum::http::{Request, header};
use uuid::Uuid;

use super::{Answer, Api};
use crate::access::{Auth, Key, Scope};
use crate::api::check_access;
use crate::config::Settings;
use crate::store::{NewApiKey, now};

impl Api {
    /// One that asks for keys.
    pub(super) async fn asking() -> Self {
        Self::with(|settings| settings.auth = Auth::Required).await
    }

    /// The text of a new key.
    pub(super) async fn key(&self, scopes: &[Scope]) -> String {
        self.key_with(scopes, |_| {}).await
    }

    async fn key_with(&self, scopes: &[Scope], change: impl FnOnce(&mut NewApiKey)) -> String {
        let key = Key::generate().unwrap();
        let mut new = NewApiKey {
            id: key.id(),
            name: "ci".parse().unwrap(),
            hash: key.hash(),
            scopes: scopes.iter().copied().collect(),
            expires_at: None,
            requests_per_minute: None,
            max_stored_bytes: None,
            max_queued_jobs: None,
        };
        change(&mut new);
        self.state.store.insert_key(&new).await.unwrap();
        key.reveal()
    }

    /// Asks with a key, without a body.
    async fn ask(&self, method: &str, uri: &str, key: &str) -> Answer {
        self.authorized(method, uri, &format!("Bearer {key}")).await
    }

    /// Asks with this `Authorization`.
    async fn authorized(&self, method: &str, uri: &str, authorization: &str) -> Answer {
        let request = Request::builder().method(method).uri(uri).header(header::AUTHORIZATION, authorization);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn ask_json(&self, uri: &str, key: &str, body: serde_json::Value) -> Answer {
        let request = Request::post(uri).header("x-api-key", key).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

fn unauthenticated(answer: &Answer) -> String {
    assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()));
    assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_key_only_what_is_open_answers() {
    let api = Api::asking().await;
    let open = ["/sign-in", "/healthz", "/readyz", "/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json"];
    for uri in open.into_iter().chain(["/v2/health/live", "/v2/health/ready"]) {
        let answer = api.get(uri).await;
        assert!(!matches!(answer.status.as_u16(), 401 | 403), "{uri}: {}", answer.status);
        // Nobody looks at what is sent there.
        assert_eq!(api.authorized("GET", uri, "Bearer x").await.status, answer.status, "{uri}");
    }
    for uri in ["/v1/jobs", "/v1/models", "/v1/audit", "/metrics", "/nowhere", "/v1/datasets/../../docs"] {
        assert!(unauthenticated(&api.get(uri).await).contains("topgraft keys create"), "{uri}");
    }
    for uri in ["/predict", "/v1/datasets?name=a", "/v1/jobs", "/v1/models/m/predict", "/healthz/"] {
        unauthenticated(&api.post(uri, "application/json", "{}").await);
    }
    unauthenticated(&api.delete("/v1/jobs").await);
    let answer = api.get("/v2/models/m").await;
    assert_eq!((answer.status.as_u16(), &answer.headers[header::WWW_AUTHENTICATE]), (401, &"Bearer".parse().unwrap()));
    assert!(answer.json()["error"].as_str().unwrap().contains("needs a key"), "as the protocol has it");
    assert!(api.uploads().is_empty());
}

#[tokio::test]
async fn a_key_that_holds_is_taken_and_no_other() {
    let api = Api::asking().await;
    let key = api.key(&[Scope::Train]).await;
    assert_eq!(api.ask("GET", "/v1/jobs", &key).await.status, 200);
    assert_eq!(api.ask("HEAD", "/v1/jobs", &key).await.status, 200);
    let request = Request::get("/v1/jobs").header("X-Api-Key", &key);
    assert_eq!(api.send(request.body(Body::empty()).unwrap()).await.status, 200);

    let other = Key::generate().unwrap().reveal();
    let wrong = format!("{}{}", &key[..12], &other[12..]);
    let refused = unauthenticated(&api.ask("GET", "/v1/jobs", &wrong).await);
    assert_eq!(refused, unauthenticated(&api.ask("GET", "/v1/jobs", &other).await), "ids aren't told from secrets");
    for malformed in ["", "Bearer", "Basic dXNlcjpwYXNz", key.as_str(), &format!("Bearer {key}="), "Bearer tg_1_2"] {
        unauthenticated(&api.authorized("GET", "/v1/jobs", malformed).await);
    }
    let twice = Request::get("/v1/jobs").header("x-api-key", &key).header("authorization", format!("Bearer {key}"));
    unauthenticated(&api.send(twice.body(Body::empty()).unwrap()).await);

    let past = chrono::DateTime::from_timestamp_millis(now() - 1);
    let expired = api.key_with(&[Scope::Train], |new| new.expires_at = past).await;
    assert!(unauthenticated(&api.ask("GET", "/v1/jobs", &expired).await).contains("has expired"));
    let later = chrono::DateTime::from_timestamp_millis(now() + 3_600_000);
    let lasting = api.key_with(&[Scope::Train], |new| new.expires_at = later).await;
    assert_eq!(api.ask("GET", "/v1/jobs", &lasting).await.status, 200);
    api.state.store.revoke_key(key.parse::<Key>().unwrap().id()).await.unwrap();
    assert!(unauthenticated(&api.ask("GET", "/v1/jobs", &key).await).contains("was revoked"), "from the next request on");
}

#[tokio::test]
async fn a_key_does_what_it_is_for() {
    let api = Api::asking().await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push(api.key(&[scope]).await);
    }
    let publish = format!("/v1/sweeps/{}/publish", Uuid::now_v7());
    // Whether predict, train and admin may.
    let table = [
        ("GET", "/v1/models", [true, true, true]),
        ("GET", "/v1/models/m/versions/1/download", [true, true, true]),
        ("POST", "/predict", [true, false, true]),
        ("POST", "/v1/models/m/aliases/a/predict", [true, false, true]),
        ("POST", "/v2/models/m/infer", [true, false, true]),
        ("GET", "/v2", [true, false, true]),
        ("GET", "/v1/datasets", [false, true, true]),
        ("POST", "/v1/datasets", [false, true, true]),
        ("GET", "/v1/datasets/d/images/0", [false, true, true]),
        ("POST", "/v1/jobs", [false, true, true]),
        ("POST", publish.as_str(), [false, true, true]),
        ("PUT", "/v1/models/m/aliases/a", [false, false, true]),
        ("DELETE", "/v1/models/m/aliases/a", [false, false, true]),
        ("GET", "/v1/audit", [false, false, true]),
        ("GET", "/metrics", [true, true, true]),
        ("DELETE", "/predict", [false, false, true]),
        ("GET", "/nowhere", [true, true, true]),
    ];
    for (method, uri, may) in table {
        for (key, may) in keys.iter().zip(may) {
            let answer = api.ask(method, uri, key).await;
            assert_ne!(answer.status, 401, "{method} {uri}");
            assert_eq!(answer.status != 403, may, "{method} {uri}: {:?}", answer.body);
        }
    }
    let refused = api.ask("GET", "/v1/datasets", &keys[0]).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("scope `train`") && detail.contains("has predict"), "{detail}");
    assert!(!refused.headers.contains_key(header::WWW_AUTHENTICATE));
    assert!(api.ask("GET", "/v2", &keys[1]).await.json()["error"].as_str().unwrap().contains("`predict`"));
    let none = api.key(&[]).await;
    let detail = api.ask("GET", "/v1/models", &none).await.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`predict` or `train`") && detail.contains("has none"), "{detail}");
}

#[tokio::test]
async fn on_a_loopback_address_keys_are_welcome_but_not_needed() {
    let api = Api::new().await;
    assert_eq!(api.get("/v1/jobs").await.status, 200);
    unauthenticated(&api.authorized("GET", "/v1/jobs", "Bearer x").await);
    let key = api.key(&[Scope::Predict]).await;
    assert_eq!(api.ask("GET", "/v1/jobs", &key).await.problem(), (403, "forbidden".to_owned()));
    let open = Api::with(|settings| {
        settings.listen = "0.0.0.0:8080".parse().unwrap();
        settings.auth = Auth::Off;
    });
    let open = open.await;
    assert_eq!(open.authorized("GET", "/v1/jobs", "Bearer x").await.status, 200, "nobody looks at keys");
    let public = Api::with(|settings| settings.listen = "[::]:8080".parse().unwrap()).await;
    unauthenticated(&public.get("/v1/jobs").await);
}

#[tokio::test]
async fn a_server_that_nobody_could_use_does_not_start() {
    let api = Api::new().await;
    let at = |listen: &str, auth| Settings { listen: listen.parse().unwrap(), auth, ..Settings::default() };
    let check = async |listen: &str, auth| check_access(&at(listen, auth), &api.state.store).await.map_err(|e| e.to_string());
    let needing = [("0.0.0.0:80", Auth::Auto), ("[::]:80", Auth::Auto), ("10.1.2.3:80", Auth::Required)];
    let needing = needing.into_iter().chain([("127.0.0.1:80", Auth::Required)]);
    for (listen, auth) in needing.clone() {
        let error = check(listen, auth).await.unwrap_err();
        assert!(error.contains(listen) && error.contains("topgraft keys create") && error.contains("--auth off"), "{error}");
    }
    for (listen, auth) in [("127.0.0.1:80", Auth::Auto), ("[::1]:80", Auth::Auto), ("0.0.0.0:80", Auth::Off)] {
        check(listen, auth).await.unwrap();
    }
    let key: Key = api.key(&[Scope::Predict]).await.parse().unwrap();
    for (listen, auth) in needing.clone() {
        check(listen, auth).await.unwrap();
    }
    api.state.store.revoke_key(key.id()).await.unwrap();
    for (listen, auth) in needing {
        check(listen, auth).await.unwrap_err();
    }
}
