//! The page: what it shows of what is there, to whom, and what it lets browsers do. `tests/it/browser.rs` has what only a browser shows.

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use serde_json::json;

use super::{Answer, Api};
use crate::access::Scope;
use crate::store::testing::queued_job;

impl Answer {
    /// The page; it must be one.
    fn page(&self) -> &str {
        assert_eq!(self.headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{:?}", self.body);
        std::str::from_utf8(&self.body).unwrap()
    }

    fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{:?}", self.body);
        self.headers[header::LOCATION].to_str().unwrap()
    }
}

/// The addresses of everything that a page loads or leads to, as a browser reads them.
fn addresses(page: &str) -> Vec<String> {
    let after = |mark: &'static str| page.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    let read = |text: &str| text.replace("&#x2f;", "/").replace("&amp;", "&");
    after("href=\"").chain(after("src=\"")).chain(after("action=\"")).map(read).collect()
}

/// `address` as a browser at `path` has it.
fn resolved(path: &str, address: &str) -> String {
    let url = url::Url::parse("http://localhost").unwrap().join(path).unwrap().join(address).unwrap();
    assert_eq!(url.host_str(), Some("localhost"), "{address} at {path} leads elsewhere");
    url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
}

#[tokio::test]
async fn with_nothing_there_each_page_says_what_to_do_next() {
    let api = Api::new().await;
    for (path, says) in [
        ("/", "Upload a data set"),
        ("/datasets", "Drop a folder"),
        ("/train", "Upload a data set"),
        ("/jobs", "Train a model"),
        ("/jobs?state=failed", "No job is failed"),
        ("/compare", "Nothing is chosen"),
        ("/models", "Train a model"),
        ("/try", "Train a model"),
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        assert!(answer.page().contains(says), "{path}: {}", answer.page());
    }
}

#[tokio::test]
async fn every_page_shows_what_is_there_and_leads_where_something_is() {
    let api = Api::published().await;
    api.publish().await;
    let store = &api.state.store;
    let dataset = store.dataset("d").await.unwrap().id;
    let waiting = queued_job(store, dataset).await;
    let done = api.get("/v1/models/flowers/versions/1").await.json()["job"].as_str().unwrap().to_owned();
    for (path, says) in [
        ("/".to_owned(), "4 pictures, 2 classes"),
        ("/datasets".to_owned(), ">d</a>"),
        (format!("/datasets/{dataset}"), "notes.txt"),
        (format!("/datasets/{dataset}?label=daisy"), "All classes"),
        (format!("/datasets/{dataset}/audit"), "Look for mistakes"),
        ("/train?dataset=d".to_owned(), "d: 4 pictures, 2 classes"),
        ("/jobs".to_owned(), "succeeded"),
        (format!("/jobs/{waiting}"), "Waiting for a worker"),
        (format!("/jobs/{done}"), "Report"),
        (format!("/compare?job={done}&job={waiting}"), "Their recipes are the same"),
        ("/models".to_owned(), "version 2"),
        ("/models/flowers".to_owned(), "Version 2 answers"),
        ("/models/flowers/versions/1".to_owned(), "What is taken for what"),
        ("/models/flowers/versions/1?label=daisy&predicted=daisy".to_owned(), "daisy taken for daisy"),
        ("/models/flowers/compare?version=1&version=2".to_owned(), "versions 1 and 2"),
        ("/try".to_owned(), "flowers 2"),
        ("/try?model=flowers&version=1".to_owned(), "flowers 1"),
    ] {
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        let page = answer.page();
        assert!(page.contains(says), "{path}: {page}");
        assert!(page.len() < 60_000, "{path}: {} bytes", page.len());
        for address in addresses(page) {
            let resolved = resolved(&path, &address);
            let found = api.get(&resolved).await.status;
            // A download's content isn't there in this test; a form's address takes another method.
            assert!(found != 404 && (found != 500 || address.contains("download")), "{address} of {path}: {found}");
        }
    }
}

#[tokio::test]
async fn every_address_is_relative_so_that_a_prefix_does_no_harm() {
    let api = Api::published().await;
    let dataset = api.state.store.dataset("d").await.unwrap().id;
    for path in ["/", "/datasets", &format!("/datasets/{dataset}"), "/models/flowers/versions/1"] {
        let page = api.get(path).await;
        let absolute: Vec<_> =
            addresses(page.page()).into_iter().filter(|at| at.starts_with('/') || at.contains("://")).collect();
        assert_eq!(absolute, Vec::<String>::new(), "{path}");
    }
}

#[tokio::test]
async fn a_page_can_run_nothing_but_this_servers_own_scripts() {
    let api = Api::published().await;
    for path in ["/", "/datasets", "/try", "/models/flowers/versions/1", "/sign-in", "/datasets/nothing"] {
        let answer = api.get(path).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("script-src 'self';") && policy.contains("style-src 'self';") && !policy.contains("unsafe"),
            "{policy}"
        );
        let page = answer.page();
        for attribute in [" style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(attribute), "{path} has {attribute}");
        }
        let inline =
            page.split("<script").skip(1).filter(|script| !script.contains("src=") && !script.contains("application/json"));
        assert_eq!(inline.count(), 0, "{path}");
    }
}

#[tokio::test]
async fn files_are_kept_for_good_under_the_address_of_what_is_in_them() {
    let api = Api::new().await;
    let page = api.get("/jobs").await;
    let style = addresses(page.page()).into_iter().find(|address| address.ends_with("style.css")).unwrap();
    let answer = api.get(&resolved("/jobs", &style)).await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
    for gone in ["/assets/0000000000000000/style.css", &resolved("/jobs", &style).replace("style.css", "..%2fmod.rs")] {
        assert_eq!(api.get(gone).await.problem(), (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_readers_form() {
    let api = Api::new().await;
    for path in [
        "/datasets/nothing",
        "/jobs/00000000-0000-0000-0000-000000000000",
        "/models/none/versions/1",
        "/datasets/%2e%2e",
        "/jobs/x",
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.page().contains("To the beginning"), "{path}");
    }
    assert!(api.get_as("/nowhere", "text/html,*/*;q=0.8").await.page().contains("no page"));
    assert_eq!(api.get("/nowhere").await.problem(), (404, "not_found".to_owned()));
    assert_eq!(api.get("/models/none/compare?version=1").await.status, 400);
}

/// Signs in with a form, as a browser does.
async fn sign_in(api: &Api, key: &str, next: &str) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("key", key).append_pair("next", next).finish();
    api.post("/sign-in", "application/x-www-form-urlencoded", body).await
}

fn cookie(headers: &HeaderMap) -> String {
    headers[header::SET_COOKIE].to_str().unwrap().to_owned()
}

impl Api {
    async fn get_signed_in(&self, uri: &str, cookie: &str) -> Answer {
        let pair = cookie.split(';').next().unwrap();
        self.send(Request::get(uri).header(header::COOKIE, pair).body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn where_keys_are_asked_for_one_signs_in_with_one_and_out_again() {
    let api = Api::asking().await;
    assert_eq!(api.get("/").await.location(), "./sign-in");
    assert_eq!(api.get("/jobs/1?a=b").await.location(), "../sign-in?next=jobs%2F1%3Fa%3Db");
    assert!(api.get("/sign-in?next=jobs").await.page().contains("value=\"jobs\""));

    let key = api.key(&[Scope::Train]).await;
    let wrong = sign_in(&api, "tg_nothing", "jobs").await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.page().contains("That is no key") && wrong.page().contains("value=\"jobs\""));
    let unknown = sign_in(&api, &crate::access::Key::generate().unwrap().reveal(), "").await;
    assert_eq!((unknown.status.as_u16(), unknown.headers.get(header::SET_COOKIE)), (401, None));

    let signed_in = sign_in(&api, &format!(" {key} "), "jobs?state=failed").await;
    assert_eq!(signed_in.location(), "./jobs?state=failed");
    let kept = cookie(&signed_in.headers);
    assert!(kept.contains("; HttpOnly; SameSite=Lax") && !kept.contains("Path="), "{kept}");
    let page = api.get_signed_in("/jobs", &kept).await;
    assert!(page.page().contains("Sign out"));
    // The same cookie asks the API, and its key's scopes are what counts.
    assert_eq!(api.get_signed_in("/v1/jobs", &kept).await.status, 200);
    assert_eq!(api.get_signed_in("/v1/audit", &kept).await.problem(), (403, "forbidden".to_owned()));

    let out = api.post("/sign-out", "application/x-www-form-urlencoded", "").await;
    assert_eq!(out.location(), "./sign-in");
    assert!(cookie(&out.headers).contains("topgraft_key=;") && cookie(&out.headers).contains("Max-Age=0"));
    // A key that holds no more leads back to where one is asked for, which forgets it.
    let stale = api.get_signed_in("/jobs", "topgraft_key=tg_x").await;
    assert_eq!(stale.location(), "./sign-in?next=jobs");
    assert!(cookie(&api.get("/sign-in").await.headers).contains("Max-Age=0"));
}

#[tokio::test]
async fn a_page_shows_no_more_than_its_readers_key_is_good_for() {
    let api = Api::asking().await;
    let kept = cookie(&sign_in(&api, &api.key(&[Scope::Predict]).await, "").await.headers);
    assert_eq!(api.get_signed_in("/", &kept).await.status, 200);
    assert_eq!(api.get_signed_in("/models", &kept).await.status, 200);
    for path in ["/datasets", "/jobs", "/train"] {
        let answer = api.get_signed_in(path, &kept).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.page().contains("scope `train`"), "{path}");
    }
}

#[tokio::test]
async fn signing_in_leaves_no_trace_in_the_audit_log() {
    let api = Api::asking().await;
    let admin = api.key(&[Scope::Admin]).await;
    let kept = cookie(&sign_in(&api, &admin, "").await.headers);
    sign_in(&api, "tg_x", "").await;
    assert_eq!(api.get_signed_in("/v1/audit", &kept).await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_recipe_can_be_checked_before_it_is_submitted() {
    let api = Api::new().await;
    let presets = api.get("/v1/recipes").await.json();
    let names: Vec<_> = presets["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["balanced", "thorough", "classic"]);
    let whole = api.post_json("/v1/recipes", json!({"preset": "classic", "seed": 7})).await.json();
    assert_eq!((&whole["seed"], &whole["warm_up"]["epochs"]), (&7.into(), &25.into()));
    assert_eq!(whole["batch_size"], presets["items"][2]["recipe"]["batch_size"]);
    let refused = api.post_json("/v1/recipes", json!({"input_size": 100, "shift": 2})).await;
    assert_eq!(refused.problem(), (422, "invalid_recipe".to_owned()));
    let fields: Vec<_> = refused.json()["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    assert_eq!(fields, ["recipe.input_size", "recipe.shift"]);
}
