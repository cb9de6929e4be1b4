use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, Api};
use crate::artifact::testing::manifest;
use crate::artifact::{NamedTensor, publish};
use crate::store::TrialResult;
use crate::store::testing::claimed;

impl Api {
    /// Submits a sweep on the data set `d`.
    async fn sweep(&self, fields: Value) -> Answer {
        let mut body = json!({"dataset": "d", "model": "flowers"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.post_json("/v1/sweeps", body).await
    }

    /// Runs the next trial; its id.
    async fn trial(&self, accuracy: f64) -> String {
        let store = &self.state.store;
        let (job, lease) = claimed(store, "w", 0).await.unwrap();
        let manifest = manifest("flowers", 0);
        let tensor = NamedTensor { name: "head.output.bias".to_owned(), shape: vec![2], data: vec![0.0, 1.0] };
        let report = super::models::report(&manifest.classes);
        publish(&self.state.settings.trial_dir(job.id), manifest, &[tensor], &report).unwrap();
        store.succeed_trial(job.id, lease, &TrialResult { accuracy, loss: 0.5 }).await.unwrap();
        job.id.to_string()
    }

    /// A POST without a body.
    async fn call(&self, uri: &str) -> Answer {
        self.send(Request::post(uri).body(Body::empty()).unwrap()).await
    }
}

fn fields(answer: &Answer) -> Vec<String> {
    let problem = answer.json();
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_sweep_tries_every_combination() {
    let api = Api::new().await;
    let dataset = api.dataset("d").await;
    // Not in alphabetical order: the order is the text's.
    let body = r#"{"dataset": "d", "model": "flowers", "recipe": {"preset": "classic", "batch_size": 8},
        "vary": {"warm_up.optimizer.learning_rate": [0.001, 0.0001], "head.units": [128, 256]}, "concurrency": 2}"#;
    let answer = api.post("/v1/sweeps", "application/json", body).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let sweep = answer.json();
    let uri = answer.headers[header::LOCATION].to_str().unwrap();
    assert_eq!(uri, format!("/v1/sweeps/{}", sweep["id"].as_str().unwrap()));
    assert_eq!((&sweep["state"], &sweep["concurrency"], &sweep["model"]), (&"queued".into(), &2.into(), &"flowers".into()));
    assert_eq!(sweep["dataset"], json!({"id": dataset["id"], "name": "d"}));
    assert_eq!(sweep["trials"], json!({"queued": 4, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}));
    let board = sweep["leaderboard"].as_array().unwrap();
    let differs: Vec<_> = board.iter().map(|trial| trial["differs"].clone()).collect();
    let expected = [(0.001, 128), (0.001, 256), (0.0001, 128), (0.0001, 256)]
        .map(|(rate, units)| json!({"warm_up.optimizer.learning_rate": rate, "head.units": units}));
    assert_eq!(differs, expected);
    assert_eq!(api.get(uri).await.json(), sweep);

    let jobs = api.get("/v1/jobs").await.json();
    assert!(
        jobs["items"].as_array().unwrap().iter().all(|job| job["sweep"] == sweep["id"] && job["recipe"]["batch_size"] == 8)
    );
    let listed = &api.get("/v1/sweeps").await.json()["items"][0];
    assert_eq!((&listed["id"], listed.get("leaderboard")), (&sweep["id"], None));
    assert_eq!(api.delete("/v1/datasets/d").await.problem(), (409, "dataset_in_use".to_owned()));
    assert_eq!(api.delete(uri).await.problem(), (409, "sweep_unfinished".to_owned()));
    assert_eq!(api.call(&format!("{uri}/publish")).await.problem(), (409, "no_trial_succeeded".to_owned()));
    let cancelled = api.call(&format!("{uri}/cancel")).await.json();
    assert_eq!((&cancelled["state"], &cancelled["trials"]["cancelled"]), (&"cancelled".into(), &4.into()));
    assert_eq!(api.delete("/v1/datasets/d").await.status, 204);
    assert_eq!(api.delete(uri).await.status, 204);
    assert_eq!(api.get(uri).await.problem(), (404, "sweep_not_found".to_owned()));
}

#[tokio::test]
async fn a_sweep_that_can_not_run_is_refused_with_every_reason() {
    let api = Api::new().await;
    api.dataset("d").await;
    let cases = [
        (
            json!({"recipes": [{}, {"head": {"units": 0, "dropout": 2}}, {"batch_size": 0}]}),
            &["recipes[1].head.units", "recipes[1].head.dropout", "recipes[2].batch_size"][..],
        ),
        (json!({"recipe": {"batch_size": 0}, "vary": {"head.units": [1, 0]}}), &["recipe.batch_size", "vary.head.units[1]"]),
        (json!({"vary": {"head.unit": [1]}}), &["vary.head.unit"]),
        (json!({"vary": {"seed": [1, 1]}}), &["vary"]),
        (json!({"recipes": [{}, {}]}), &["recipes[1]"]),
        (json!({"recipes": []}), &["recipes"]),
        (json!({}), &["vary"]),
        (json!({"vary": {}, "recipes": [{}]}), &["recipes"]),
        (json!({"recipe": {}, "recipes": [{}]}), &["recipe"]),
        (json!({"vary": {}, "concurrency": 0}), &["concurrency"]),
        (json!({"vary": {}, "concurrency": 65}), &["concurrency"]),
        (json!({"vary": {}, "model": "a/b"}), &["model"]),
    ];
    for (body, expected) in cases {
        let answer = api.sweep(body.clone()).await;
        assert_eq!((answer.problem().0, fields(&answer)), (422, expected.iter().map(|&f| f.to_owned()).collect()), "{body}");
    }
    let cases = [
        (json!({"vary": {}, "dataset": "trees"}), 404, "dataset_not_found"),
        (json!({"vary": {"seed": 1}}), 422, "invalid_body"),
        (json!({"recipes": [{"rate": 1}]}), 422, "invalid_body"),
        (json!({"vary": {}, "priority": 1}), 422, "invalid_body"),
    ];
    for (body, status, code) in cases {
        assert_eq!(api.sweep(body.clone()).await.problem(), (status, code.to_owned()), "{body}");
    }
    assert!(api.get("/v1/jobs").await.json()["items"].as_array().unwrap().is_empty());
    let unknown = format!("/v1/sweeps/{}", Uuid::now_v7());
    let missing = (404, "sweep_not_found".to_owned());
    assert_eq!(api.get(&unknown).await.problem(), missing);
    assert_eq!(api.delete(&unknown).await.problem(), missing);
    assert_eq!(api.call(&format!("{unknown}/cancel")).await.problem(), missing);
    assert_eq!(api.call(&format!("{unknown}/publish")).await.problem(), missing);
}

#[tokio::test]
async fn trials_are_ranked_and_published() {
    let api = Api::new().await;
    api.dataset("d").await;
    let sweep = api.sweep(json!({"vary": {"seed": [1, 2, 3]}})).await.json();
    let uri = format!("/v1/sweeps/{}", sweep["id"].as_str().unwrap());
    let (first, second) = (api.trial(0.5).await, api.trial(0.75).await);
    let waiting = &sweep["leaderboard"][2]["job"];
    let shown = api.get(&uri).await.json();
    assert_eq!((&shown["state"], &shown["best"], shown.get("published")), (&"running".into(), &second.as_str().into(), None));
    let board = shown["leaderboard"].as_array().unwrap();
    let told: Vec<_> =
        board.iter().map(|trial| (&trial["rank"], &trial["job"], &trial["accuracy"], &trial["differs"])).collect();
    let (one, two) = (Value::from(first.as_str()), Value::from(second.as_str()));
    let seeds = [1, 2, 3].map(|seed| json!({"seed": seed}));
    assert_eq!(
        told,
        [
            (&1.into(), &two, &0.75.into(), &seeds[1]),
            (&2.into(), &one, &0.5.into(), &seeds[0]),
            (&Value::Null, waiting, &Value::Null, &seeds[2])
        ]
    );
    assert_eq!(api.get(&format!("/v1/jobs/{second}")).await.json()["model"], json!({"name": "flowers"}));
    assert_eq!(api.get(&format!("/v1/jobs/{second}/report")).await.json()["phases"][0]["accuracy"], 1.0);
    assert_eq!(api.get("/v1/models/flowers").await.status, 404, "nothing is published by itself");

    let publish = async |body: Value| api.post_json(&format!("{uri}/publish"), body).await;
    let published = api.call(&format!("{uri}/publish")).await;
    assert_eq!(published.status, 201, "{:?}", published.body);
    let location = published.headers[header::LOCATION].to_str().unwrap();
    assert_eq!(location, "/v1/models/flowers/versions/1");
    let version = api.get(location).await.json();
    assert_eq!((&version["job"], &version["accuracy"]), (&two, &0.75.into()));
    assert_eq!((&version["manifest"]["version"], &version["manifest"]["model"]), (&1.into(), &"flowers".into()));
    let again = publish(json!({"trial": second})).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, published.json()), "the same version");
    assert_eq!(publish(json!({"trial": first})).await.json()["version"], 2);
    assert_eq!(publish(json!({"trial": waiting})).await.problem(), (409, "trial_not_succeeded".to_owned()));
    assert_eq!(publish(json!({"trial": Uuid::now_v7()})).await.problem(), (404, "trial_not_found".to_owned()));
    assert_eq!(publish(json!({"job": first})).await.problem(), (422, "invalid_body".to_owned()));

    let third = api.trial(0.25).await;
    assert_eq!(api.call(&format!("{uri}/cancel")).await.problem(), (409, "sweep_finished".to_owned()));
    assert_eq!(api.get(&uri).await.json()["published"], 2);
    assert_eq!(api.delete(&uri).await.status, 204);
    let left = std::fs::read_dir(api.state.settings.trials_dir()).unwrap().count();
    assert_eq!(left, 0, "what is published lies in the model's folder");
    let job = api.get(&format!("/v1/jobs/{second}")).await.json();
    assert_eq!((&job["model"]["version"], job.get("sweep")), (&1.into(), None));
    assert_eq!(api.get("/v1/models/flowers/versions/1/report").await.status, 200);
    assert_eq!(api.get(&format!("/v1/jobs/{third}/report")).await.problem(), (409, "no_report".to_owned()));
}

#[tokio::test]
async fn publishing_twice_at_once_makes_one_version() {
    let api = Api::new().await;
    api.dataset("d").await;
    let sweep = api.sweep(json!({"vary": {}})).await.json();
    api.trial(0.5).await;
    let uri = format!("/v1/sweeps/{}/publish", sweep["id"].as_str().unwrap());
    let (one, other) = tokio::join!(api.call(&uri), api.call(&uri));
    assert!(one.status.is_success() && other.status.is_success(), "{:?} {:?}", one.body, other.body);
    assert_eq!(one.json(), other.json());
    assert_eq!(api.get("/v1/models/flowers").await.json()["versions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn folders_of_deleted_trials_go_at_the_start() {
    let api = Api::new().await;
    api.dataset("d").await;
    api.sweep(json!({"vary": {}})).await;
    let kept: Uuid = api.trial(0.5).await.parse().unwrap();
    let stray = api.state.settings.trial_dir(Uuid::now_v7());
    std::fs::create_dir_all(&stray).unwrap();
    crate::upkeep::tidy(&api.state.settings, &api.state.store, &api.state.storage).await.unwrap();
    assert!(api.state.settings.trial_dir(kept).exists() && !stray.exists());
}

#[tokio::test]
async fn a_sweep_and_its_publication_may_be_asked_for_again() {
    let api = Api::new().await;
    api.dataset("d").await;
    let body = json!({"dataset": "d", "model": "flowers", "vary": {"seed": [1, 2]}});
    let first = api.keyed("s", "/v1/sweeps", &body).await;
    let again = api.keyed("s", "/v1/sweeps", &body).await;
    assert_eq!((first.status, again.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED), "{:?}", first.body);
    assert_eq!((&again.body, &again.headers["idempotency-replayed"]), (&first.body, &"true".parse().unwrap()));
    assert_eq!(api.get("/v1/sweeps").await.json()["items"].as_array().unwrap().len(), 1);

    let uri = format!("/v1/sweeps/{}/publish", first.json()["id"].as_str().unwrap());
    assert_eq!(api.keyed("p", &uri, &json!({})).await.problem(), (409, "no_trial_succeeded".to_owned()));
    api.trial(0.5).await;
    let first = api.keyed("p", &uri, &json!({})).await;
    assert_eq!((first.status, &first.json()["version"]), (StatusCode::CREATED, &1.into()), "a refusal isn't remembered");
    // The best is another one by now; who asks again still means the first.
    api.trial(0.75).await;
    let again = api.keyed("p", &uri, &json!({})).await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
    assert_eq!(api.keyed("q", &uri, &json!({})).await.json()["version"], 2);
    let before = api.keyed("r", &uri, &json!({})).await;
    assert_eq!((before.status, &before.json()["version"]), (StatusCode::OK, &2.into()));
    assert_eq!(api.keyed("r", &uri, &json!({})).await.body, before.body);
}
