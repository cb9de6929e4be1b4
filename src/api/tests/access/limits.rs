//! Rates and quotas.

use serde_json::json;

use super::*;
use crate::api::tests::pictures;
use crate::dataset::testing::zip;

impl Api {
    async fn upload(&self, name: &str, key: &str) -> Answer {
        let request = Request::post(format!("/v1/datasets?name={name}")).header("x-api-key", key);
        self.send(request.body(Body::from(pictures())).unwrap()).await
    }
}

fn over(answer: &Answer, free: &str) {
    assert_eq!(answer.problem(), (403, "quota_exceeded".to_owned()));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(free), "it says what to free: {detail}");
}

#[tokio::test]
async fn a_key_that_is_used_too_often_is_told_when_to_come_back() {
    let api = Api::asking().await;
    let key = api.key_with(&[Scope::Train], |new| new.requests_per_minute = Some(2)).await;
    let other = api.key_with(&[Scope::Train], |new| new.requests_per_minute = Some(2)).await;
    assert_eq!(api.ask("GET", "/v1/jobs", &key).await.status, 200);
    assert_eq!(api.ask("GET", "/v1/audit", &key).await.status, 403, "what is refused counts, too");
    let refused = api.ask("GET", "/v1/jobs", &key).await;
    assert_eq!(refused.problem(), (429, "rate_limited".to_owned()));
    let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    let v2 = api.ask("GET", "/v2", &key).await;
    assert_eq!(v2.status, 429);
    assert!(v2.json()["error"].as_str().unwrap().contains("2 requests a minute"));
    assert_eq!(api.ask("GET", "/v1/jobs", &other).await.status, 200, "each key has its own rate");
    assert_eq!(api.ask("GET", "/healthz", &key).await.status, 200);
}

#[tokio::test]
async fn datasets_of_a_key_take_no_more_than_they_may() {
    let api = Api::new().await;
    let most = pictures().len() as u64;
    let key = api.key_with(&[Scope::Train], |new| new.max_stored_bytes = Some(most)).await;
    assert_eq!(api.upload("a", &key).await.status, 202);
    assert_eq!(api.settled("a").await["state"], "ready");
    // Its length isn't told: it is counted as it comes.
    over(&api.upload("b", &key).await, "delete");
    let announced = Request::post("/v1/datasets?name=b").header("x-api-key", &key).header(header::CONTENT_LENGTH, 1 << 30);
    over(&api.send(announced.body(Body::empty()).unwrap()).await, "delete");
    let form = "--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"b.zip\"\r\n\r\n";
    let form = [form.as_bytes(), &pictures(), b"\r\n--x--\r\n"].concat();
    let request = Request::post("/v1/datasets").header("x-api-key", &key);
    let request = request.header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
    over(&api.send(request.body(Body::from(form)).unwrap()).await, "delete");
    assert!(api.uploads().is_empty());

    assert_eq!(api.ask("DELETE", "/v1/datasets/a", &key).await.status, 204);
    assert_eq!(api.upload("b", &key).await.status, 202);
    api.settled("b").await;
    let nothing = api.key_with(&[Scope::Train], |new| new.max_stored_bytes = Some(0)).await;
    over(&api.upload("c", &nothing).await, "delete");
    // Nobody's quota stands in the way of others, and what is taken from anybody holds for all.
    assert_eq!(api.post("/v1/datasets?name=c", "application/zip", pictures()).await.status, 202);
    api.settled("c").await;
}

#[tokio::test]
async fn what_an_archive_expands_to_counts() {
    let api = Api::new().await;
    let bitmap = |red: u8| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(64, 64, image::Rgb([red, 0, 0])).write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
        bytes.into_inner()
    };
    let archive = zip(&[("a/1.bmp", bitmap(1)), ("a/2.bmp", bitmap(2)), ("b/3.bmp", bitmap(3)), ("b/4.bmp", bitmap(4))]);
    let most = 3 * bitmap(0).len() as u64;
    assert!((archive.len() as u64) < most, "the archive alone has room");
    let key = api.key_with(&[Scope::Train], |new| new.max_stored_bytes = Some(most)).await;
    let request = Request::post("/v1/datasets?name=a").header("x-api-key", &key);
    assert_eq!(api.send(request.body(Body::from(archive)).unwrap()).await.status, 202);
    let dataset = api.settled("a").await;
    assert_eq!((&dataset["state"], &dataset["error"]["code"]), (&"failed".into(), &"quota_exceeded".into()));
    assert!(!api.dir.path().join("datasets").join(dataset["id"].as_str().unwrap()).exists());
    assert_eq!(api.upload("b", &key).await.status, 202, "of what failed nothing is left");
    assert_eq!(api.settled("b").await["state"], "ready");
}

#[tokio::test]
async fn what_is_too_large_for_anybody_is_not_blamed_on_the_quota() {
    let api = Api::with(|settings| settings.max_upload_bytes = 100).await;
    let key = api.key_with(&[Scope::Train], |new| new.max_stored_bytes = Some(1 << 30)).await;
    assert_eq!(api.upload("a", &key).await.problem(), (413, "too_large".to_owned()));
}

#[tokio::test]
async fn jobs_of_a_key_are_no_more_than_they_may() {
    let api = Api::new().await;
    api.dataset("d").await;
    let key = api.key_with(&[Scope::Train], |new| new.max_queued_jobs = Some(2)).await;
    let job = json!({"dataset": "d", "model": "m"});
    let sweep = |seeds: &[u32]| json!({"dataset": "d", "model": "m", "vary": {"seed": seeds}});
    over(&api.ask_json("/v1/sweeps", &key, sweep(&[1, 2, 3])).await, "cancel");
    assert!(api.get("/v1/jobs").await.json()["items"].as_array().unwrap().is_empty(), "no trial without the others");
    let first = api.ask_json("/v1/jobs", &key, job.clone()).await.json()["id"].as_str().unwrap().to_owned();
    over(&api.ask_json("/v1/sweeps", &key, sweep(&[1, 2])).await, "cancel");
    assert_eq!(api.ask_json("/v1/sweeps", &key, sweep(&[1])).await.status, 202);
    over(&api.ask_json("/v1/jobs", &key, job.clone()).await, "cancel");
    assert_eq!(api.post_json("/v1/jobs", job.clone()).await.status, 202, "who needs no key has no quota");
    assert_eq!(api.ask("POST", &format!("/v1/jobs/{first}/cancel"), &key).await.status, 200);
    assert_eq!(api.ask_json("/v1/jobs", &key, job).await.status, 202);
}
