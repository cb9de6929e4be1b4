use serde_json::{Value, json};

use super::*;
use crate::recipe::Recipe;
use crate::store::testing::{Temp, both, claimed, ready_dataset};
use crate::store::{Failure, Job, NewJob, NewSweep, Published, TrialResult};
use crate::vision::precision::Precision;

const URL: &str = "https://example.com/hook";

async fn job(t: &Temp, dataset: Uuid, webhook: Option<&str>) -> Job {
    let (model, webhook) = ("flowers".parse().unwrap(), webhook.map(str::to_owned));
    let new = NewJob { id: Uuid::now_v7(), dataset, model, recipe: Recipe::default(), webhook, allowance: None };
    t.store.insert_job(&new, None).await.unwrap()
}

/// All that is due at `now`.
async fn due(t: &Temp, now: i64) -> Vec<Delivery> {
    t.store.claim_deliveries(Uuid::now_v7(), now, 1000, 100).await.unwrap()
}

async fn told(t: &Temp, of: Uuid) -> DeliveryStatus {
    t.store.deliveries(&[of]).await.unwrap().remove(0)
}

fn message(delivery: &Delivery) -> Value {
    serde_json::from_str(&delivery.body).unwrap()
}

fn soon() -> i64 {
    now() + 60_000
}

both!(every_end_of_a_job_is_told);

async fn every_end_of_a_job_is_told(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let succeeded = job(&t, dataset, Some(URL)).await;
    let (_, lease) = claimed(&t.store, "w", now()).await.unwrap();
    assert!(t.store.deliveries(&[succeeded.id]).await.unwrap().is_empty(), "it has not ended");
    let version = t.store.reserve_version(succeeded.id, lease).await.unwrap();
    let published = Published { version, accuracy: 0.5, precision: Precision::F32, classes: 2 };
    t.store.succeed(succeeded.id, lease, &published).await.unwrap();

    let failed = job(&t, dataset, Some(URL)).await;
    let (_, lease) = claimed(&t.store, "w", now()).await.unwrap();
    let failure = Failure { code: "diverged".to_owned(), message: "a smaller learning_rate".to_owned() };
    t.store.fail(failed.id, lease, &failure).await.unwrap();
    let cancelled = job(&t, dataset, Some(URL)).await;
    for _ in 0..2 {
        t.store.request_cancel(cancelled.id).await.unwrap();
    }
    let lost = job(&t, dataset, Some(URL)).await;
    for _ in 0..2 {
        claimed(&t.store, "w", now()).await.unwrap();
        t.store.release_worker("w", "signal 9", 2).await.unwrap();
    }
    let silent = job(&t, dataset, None).await;
    t.store.request_cancel(silent.id).await.unwrap();

    let messages = due(&t, soon()).await;
    let of = |id: Uuid| message(messages.iter().find(|message| message.id == id).unwrap());
    assert_eq!(messages.len(), 4);
    assert!(messages.iter().all(|message| message.url == URL && message.attempts == 1));
    let shown = of(succeeded.id);
    assert_eq!(
        (&shown["type"], &shown["data"]),
        (
            &"job.succeeded".into(),
            &json!({"id": succeeded.id, "state": "succeeded", "dataset": {"id": dataset, "name": "d"},
                "model": {"name": "flowers", "version": 1}, "link": format!("/v1/jobs/{}", succeeded.id)})
        )
    );
    let ended = t.store.job(succeeded.id).await.unwrap().finished_at.unwrap();
    assert_eq!(shown["timestamp"], serde_json::to_value(ended).unwrap());
    let shown = of(failed.id);
    assert_eq!((&shown["type"], &shown["data"]["error"]["code"]), (&"job.failed".into(), &"diverged".into()));
    assert_eq!(of(cancelled.id)["type"], "job.cancelled");
    assert_eq!(of(lost.id)["data"]["error"]["code"], "worker_lost");
}

both!(a_sweep_is_told_with_its_last_trial);

async fn a_sweep_is_told_with_its_last_trial(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let submit = async || {
        let trials = (0..3).map(|seed| Recipe { seed, ..Recipe::default() }).collect();
        let (model, webhook) = ("flowers".parse().unwrap(), Some(URL.to_owned()));
        let new = NewSweep { id: Uuid::now_v7(), dataset, model, concurrency: 3, trials, webhook, allowance: None };
        t.store.insert_sweep(&new, None).await.unwrap().sweep.id
    };
    let done = submit().await;
    for last in [false, false, true] {
        assert!(due(&t, soon()).await.is_empty());
        let (trial, lease) = claimed(&t.store, "w", now()).await.unwrap();
        assert_eq!(trial.webhook, None);
        t.store.succeed_trial(trial.id, lease, &TrialResult { accuracy: 0.5, loss: 1.0 }).await.unwrap();
        assert_eq!(t.store.deliveries(&[done]).await.unwrap().len(), usize::from(last));
    }
    let [first] = &due(&t, soon()).await[..] else { panic!("not one message") };
    let shown = message(first);
    assert_eq!((first.id, &shown["type"], &shown["data"]["state"]), (done, &"sweep.finished".into(), &"done".into()));
    assert_eq!((&shown["data"]["trials"]["succeeded"], shown["data"]["best"].is_string()), (&3.into(), true));
    assert_eq!(shown["data"]["link"], format!("/v1/sweeps/{done}"));
    t.store.record_delivery(done, first.lease, &DeliveryOutcome::Delivered).await.unwrap();

    let cancelled = submit().await;
    t.store.cancel_sweep(cancelled).await.unwrap();
    let [second] = &due(&t, soon()).await[..] else { panic!("not one message") };
    assert_eq!((second.id, &message(second)["data"]["state"]), (cancelled, &"cancelled".into()));
    // Nobody is told of what was deleted.
    t.store.delete_sweep(cancelled).await.unwrap();
    let late = t.store.record_delivery(cancelled, second.lease, &DeliveryOutcome::Delivered).await;
    assert!(matches!(late, Err(StoreError::LostLease)));
    assert!(t.store.deliveries(&[cancelled]).await.unwrap().is_empty());
}

both!(a_message_is_one_claimers_until_it_is_done_or_the_claim_runs_out);

async fn a_message_is_one_claimers_until_it_is_done_or_the_claim_runs_out(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let id = job(&t, dataset, Some(URL)).await.id;
    t.store.request_cancel(id).await.unwrap();
    let start = soon();
    let first = due(&t, start).await.remove(0);
    assert!(due(&t, start + 999).await.is_empty());
    // Its server died.
    let second = due(&t, start + 1000).await.remove(0);
    assert_eq!((second.id, second.attempts, &second.body), (first.id, 2, &first.body));
    let late = t.store.record_delivery(id, first.lease, &DeliveryOutcome::Delivered).await;
    assert!(matches!(late, Err(StoreError::LostLease)));
    assert_eq!(told(&t, id).await.state, WebhookState::Pending);

    let again = DeliveryOutcome::Again { at: start + 9000, error: "the receiver answered 500".to_owned() };
    t.store.record_delivery(id, second.lease, &again).await.unwrap();
    let twice = t.store.record_delivery(id, second.lease, &DeliveryOutcome::Delivered).await;
    assert!(matches!(twice, Err(StoreError::LostLease)), "an outcome is written once");
    assert!(due(&t, start + 8999).await.is_empty());
    let third = due(&t, start + 9000).await.remove(0);
    t.store.record_delivery(id, third.lease, &DeliveryOutcome::Delivered).await.unwrap();
    let last_error = Some("the receiver answered 500".to_owned());
    assert_eq!(told(&t, id).await, DeliveryStatus { of: id, state: WebhookState::Delivered, attempts: 3, last_error });
    assert!(due(&t, i64::MAX).await.is_empty());

    let other = job(&t, dataset, Some(URL)).await.id;
    t.store.request_cancel(other).await.unwrap();
    let claimed = due(&t, start).await.remove(0);
    t.store.record_delivery(other, claimed.lease, &DeliveryOutcome::GivenUp { error: "gone".to_owned() }).await.unwrap();
    assert_eq!((told(&t, other).await.state, due(&t, i64::MAX).await.len()), (WebhookState::GivenUp, 0));
}

both!(servers_on_one_folder_never_have_the_same_message);

/// Servers are processes: each claimer here has a handle, and so connections, of its own.
async fn servers_on_one_folder_never_have_the_same_message(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    for _ in 0..12 {
        let id = job(&t, dataset, Some(URL)).await.id;
        t.store.request_cancel(id).await.unwrap();
    }
    let database = t.database.clone();
    let at = soon();
    let mut servers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let database = database.clone();
        servers.spawn(async move {
            let store = Store::open(&database).await.unwrap();
            let claimed = store.claim_deliveries(Uuid::now_v7(), at, 1000, 3).await.unwrap();
            claimed.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
        });
    }
    let mut all: Vec<_> = servers.join_all().await.into_iter().flatten().collect();
    let claimed = all.len();
    all.sort();
    all.dedup();
    assert_eq!((claimed, all.len()), (12, 12), "each is claimed, and once");
}
