use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Api;
use crate::report::{Epoch, PhaseName};
use crate::store::{Claim, Failure, now};

fn epoch() -> Epoch {
    Epoch {
        phase: PhaseName::WarmUp,
        epoch: 1,
        train_loss: 1.5,
        train_accuracy: 0.5,
        val_loss: 1.25,
        val_accuracy: 0.75,
        learning_rate: 1e-3,
        seconds: 2.0,
    }
}

impl Api {
    async fn job(&self, dataset: &str) -> (String, Uuid) {
        let answer = self.post_json("/v1/jobs", json!({"dataset": dataset, "model": "flowers"})).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let parsed = id.parse().unwrap();
        (id, parsed)
    }

    async fn claim(&self) -> Uuid {
        let lease = Uuid::now_v7();
        let claim = Claim { worker: "w", lease, now: now(), lease_ms: 60_000, max_attempts: 3 };
        self.state.store.claim(&claim).await.unwrap().unwrap();
        lease
    }
}

#[tokio::test]
async fn a_job_is_submitted_listed_and_cancelled() {
    let api = Api::new().await;
    let dataset = api.dataset("flowers17").await;
    let recipe = json!({"batch_size": 8, "warm_up": {"epochs": 3}});
    let answer = api.post_json("/v1/jobs", json!({"dataset": "flowers17", "model": "flowers", "recipe": recipe})).await;
    assert_eq!(answer.status, 202);
    let job = answer.json();
    let uri = answer.headers[header::LOCATION].to_str().unwrap();
    assert_eq!(uri, format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
    assert_eq!(job["dataset"], json!({"id": dataset["id"], "name": "flowers17"}));
    assert_eq!((&job["state"], &job["model"], &job["attempts"]), (&"queued".into(), &json!({"name": "flowers"}), &0.into()));
    assert_eq!((&job["recipe"]["batch_size"], &job["recipe"]["warm_up"]["epochs"]), (&8.into(), &3.into()));
    assert_eq!(job["recipe"]["fine_tune"]["unfreeze_from"], "block5_conv1", "the recipe is whole");
    assert_eq!(api.get(uri).await.json(), job);
    assert_eq!(api.get("/v1/jobs?state=queued&model=flowers").await.json()["items"][0], job);
    assert!(api.get("/v1/jobs?state=running").await.json()["items"].as_array().unwrap().is_empty());

    assert_eq!(api.delete("/v1/datasets/flowers17").await.problem(), (409, "dataset_in_use".to_owned()));
    assert_eq!(api.get(&format!("{uri}/report")).await.problem(), (409, "no_report".to_owned()));
    assert_eq!(api.post(&format!("{uri}/cancel"), "", Body::empty()).await.json()["state"], "cancelled");
    assert_eq!(api.delete("/v1/datasets/flowers17").await.status, 204);
    assert_eq!(api.get(uri).await.json()["dataset"]["name"], "flowers17");
}

#[tokio::test]
async fn a_job_that_can_not_run_is_refused_with_every_reason() {
    let api = Api::new().await;
    api.dataset("flowers17").await;
    let answer = api
        .post_json(
            "/v1/jobs",
            json!({"dataset": "flowers17", "model": "m", "recipe": {"batch_size": 0, "head": {"dropout": 2}}}),
        )
        .await;
    assert_eq!(answer.problem(), (422, "invalid_recipe".to_owned()));
    let problem = answer.json();
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["recipe.batch_size", "recipe.head.dropout"]);
    let cases = [
        (json!({"dataset": "trees", "model": "m"}), 404, "dataset_not_found"),
        (json!({"dataset": "flowers17", "model": "a/b"}), 422, "invalid_field"),
        (json!({"dataset": "flowers17"}), 422, "invalid_body"),
        (json!({"dataset": "flowers17", "model": "m", "recipe": {"rate": 1}}), 422, "invalid_body"),
        (json!({"dataset": "flowers17", "model": "m", "priority": 1}), 422, "invalid_body"),
    ];
    for (body, status, code) in cases {
        assert_eq!(api.post_json("/v1/jobs", body.clone()).await.problem(), (status, code.to_owned()), "{body}");
    }
    let unknown = Uuid::now_v7();
    for uri in [format!("/v1/jobs/{unknown}"), format!("/v1/jobs/{unknown}/epochs"), format!("/v1/jobs/{unknown}/events")] {
        assert_eq!(api.get(&uri).await.problem(), (404, "job_not_found".to_owned()), "{uri}");
    }
    assert_eq!(api.get("/v1/jobs/x").await.problem(), (404, "not_found".to_owned()));
    assert_eq!(api.get("/v1/jobs?state=lost").await.problem(), (422, "invalid_query".to_owned()));
}

#[tokio::test]
async fn epochs_are_json_or_csv() {
    let api = Api::new().await;
    api.dataset("d").await;
    let (id, job) = api.job("d").await;
    let lease = api.claim().await;
    api.state.store.record_epoch(job, lease, &epoch()).await.unwrap();
    let uri = format!("/v1/jobs/{id}/epochs");
    let json = api.get(&uri).await.json();
    assert_eq!((&json["items"][0]["phase"], &json["items"][0]["val_accuracy"]), (&"warm_up".into(), &0.75.into()));
    let expected = "phase,epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds\r\n\
                    warm_up,1,1.5,0.5,1.25,0.75,0.001,2\r\n";
    for answer in [api.get_as(&uri, "text/csv").await, api.get(&format!("{uri}?format=csv")).await] {
        assert_eq!(
            (&answer.headers[header::CONTENT_TYPE], &answer.body[..]),
            (&"text/csv; charset=utf-8".parse().unwrap(), expected.as_bytes())
        );
    }
    assert_eq!(api.get_as(&format!("{uri}?format=json"), "text/csv").await.json(), json);
    for answer in [api.get_as(&uri, "image/svg+xml").await, api.get(&format!("{uri}?format=svg")).await] {
        assert_eq!(answer.headers[header::CONTENT_TYPE], "image/svg+xml");
        assert!(std::str::from_utf8(&answer.body).unwrap().starts_with("<svg"));
    }
}

/// Ids, kinds and data of a stream.
fn stream(body: &[u8]) -> Vec<(u64, String, Value)> {
    let text = std::str::from_utf8(body).unwrap();
    let event = |event: &str| {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
        (field("id").parse().unwrap(), field("event").to_owned(), serde_json::from_str(field("data")).unwrap())
    };
    text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':')).map(event).collect()
}

#[tokio::test]
async fn events_are_followed_to_the_end_and_resumed() {
    let api = Api::new().await;
    api.dataset("d").await;
    let (id, job) = api.job("d").await;
    let uri = format!("/v1/jobs/{id}/events");
    // The stream is open before anything happens.
    let works = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let lease = api.claim().await;
        api.state.store.record_epoch(job, lease, &epoch()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let failure = Failure { code: "out_of_memory".to_owned(), message: "choose a smaller batch_size".to_owned() };
        api.state.store.fail(job, lease, &failure).await.unwrap();
    };
    let (answer, ()) = tokio::join!(api.get(&uri), works);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/event-stream");
    let events = stream(&answer.body);
    let told: Vec<_> = events.iter().map(|(id, kind, _)| (*id, kind.as_str())).collect();
    assert_eq!(told, [(1, "state"), (2, "state"), (3, "epoch"), (4, "state")]);
    assert_eq!(events[2].2["val_loss"], 1.25);
    assert_eq!((&events[3].2["state"], &events[3].2["error"]["code"]), (&"failed".into(), &"out_of_memory".into()));

    assert_eq!(stream(&api.get(&format!("{uri}?after=2")).await.body), events[2..]);
    let resume = |last: &str| Request::get(&uri).header("last-event-id", last).body(Body::empty()).unwrap();
    assert_eq!(stream(&api.send(resume("3")).await.body), events[3..]);
    assert_eq!(stream(&api.send(resume("")).await.body), events);
    assert_eq!(api.send(resume("4")).await.status, 204);
    assert_eq!(api.send(resume("x")).await.problem(), (422, "invalid_field".to_owned()));
    let finished = api.post(&format!("/v1/jobs/{id}/cancel"), "", Body::empty()).await;
    assert_eq!(finished.problem(), (409, "job_finished".to_owned()));
}
