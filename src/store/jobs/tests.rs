use uuid::Uuid;

use super::{Heartbeat, JobFilter, Published};
use crate::recipe::Recipe;
use crate::report::{Epoch, PhaseName, PhaseReport, Progress, Stage};
use crate::store::testing::{Temp, both, claimed, new_dataset, new_job, queued_job, ready_dataset};
use crate::store::{Conflict, Failure, Missing, StateEvent, Store, StoreError, Want};
use crate::store::{EventKind, JobState};
use crate::vision::precision::Precision;

fn epoch(phase: PhaseName, epoch: u32) -> Epoch {
    Epoch {
        phase,
        epoch,
        train_loss: 1.0,
        train_accuracy: 0.5,
        val_loss: 1.5,
        val_accuracy: 0.25,
        learning_rate: 1e-3,
        seconds: 2.0,
    }
}

fn progress(fraction: f64) -> Progress {
    Progress { phase: Stage::WarmUp, epoch: 1, epochs: 25, fraction, eta_seconds: None }
}

fn failure() -> Failure {
    Failure { code: "out_of_memory".to_owned(), message: "choose a smaller batch_size".to_owned() }
}

fn published(version: i64) -> Published {
    Published { version, accuracy: 0.9, precision: Precision::Bf16, classes: 2 }
}

async fn state(store: &Store, job: Uuid) -> JobState {
    store.job(job).await.unwrap().state
}

/// The kinds of a job's events, state events by their state.
async fn told(store: &Store, job: Uuid) -> Vec<String> {
    let events = store.events(job, 0, 1000).await.unwrap();
    assert!(events.is_sorted_by(|a, b| a.seq < b.seq));
    let name = |event: &crate::store::Event| match event.kind {
        EventKind::State => serde_json::from_str::<StateEvent>(&event.data).unwrap().state.to_string(),
        kind => kind.as_str().to_owned(),
    };
    events.iter().map(name).collect()
}

both!(a_job_goes_from_the_queue_to_a_published_version);

async fn a_job_goes_from_the_queue_to_a_published_version(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let id = queued_job(&t.store, dataset).await;
    let (job, lease) = claimed(&t.store, "w1", 5).await.unwrap();
    assert_eq!((job.id, job.state, job.attempts, job.worker.as_deref()), (id, JobState::Running, 1, Some("w1")));
    assert_eq!(job.recipe, Recipe::default());
    t.store.record_progress(id, lease, &progress(0.25)).await.unwrap();
    t.store.record_progress(id, lease, &progress(0.5)).await.unwrap();
    t.store.record_epoch(id, lease, &epoch(PhaseName::FineTune, 1)).await.unwrap();
    t.store.record_epoch(id, lease, &epoch(PhaseName::WarmUp, 2)).await.unwrap();
    t.store.record_epoch(id, lease, &epoch(PhaseName::WarmUp, 1)).await.unwrap();
    let report = PhaseReport::new(PhaseName::WarmUp, 1, &["ant".to_owned(), "bee".to_owned()], [(0, 0), (1, 0)]);
    t.store.record_phase(id, lease, &report).await.unwrap();
    assert_eq!(t.store.reserve_version(id, lease).await.unwrap(), 1);
    assert_eq!(t.store.reserve_version(id, lease).await.unwrap(), 1, "asking again gives the same");
    t.store.succeed(id, lease, &published(1)).await.unwrap();

    let job = t.store.job(id).await.unwrap();
    assert_eq!((job.state, job.version, job.progress), (JobState::Succeeded, Some(1), Some(progress(0.5))));
    assert!(job.finished_at.is_some() && job.worker.is_none());
    let order: Vec<_> = t.store.epochs(id).await.unwrap().iter().map(|e| (e.phase, e.epoch)).collect();
    assert_eq!(order, [(PhaseName::WarmUp, 1), (PhaseName::WarmUp, 2), (PhaseName::FineTune, 1)]);
    let told = told(&t.store, id).await;
    assert_eq!(told, ["queued", "running", "progress", "epoch", "epoch", "epoch", "report", "succeeded"]);
    let version = t.store.resolve(&"flowers".parse().unwrap(), &Want::Default).await.unwrap();
    assert_eq!((version.version, version.job, version.precision), (1, Some(id), Precision::Bf16));
}

both!(only_the_newest_progress_event_is_kept_and_numbers_grow);

async fn only_the_newest_progress_event_is_kept_and_numbers_grow(t: Temp) {
    let id = queued_job(&t.store, ready_dataset(&t.store, "d").await).await;
    let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
    for step in 0..5 {
        t.store.record_progress(id, lease, &progress(f64::from(step) / 5.0)).await.unwrap();
    }
    let events = t.store.events(id, 0, 100).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 7]);
    t.store.record_epoch(id, lease, &epoch(PhaseName::WarmUp, 1)).await.unwrap();
    assert_eq!(t.store.events(id, 7, 100).await.unwrap()[0].seq, 8);
}

both!(each_job_is_claimed_once);

/// Workers are processes: each claimer here has a handle, and so connections, of its own.
async fn each_job_is_claimed_once(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let mut jobs = Vec::new();
    for _ in 0..12 {
        jobs.push(queued_job(&t.store, dataset).await);
    }
    let database = t.database.clone();
    let mut claimers = tokio::task::JoinSet::new();
    for number in 0..6 {
        let database = database.clone();
        claimers.spawn(async move {
            let store = Store::open(&database).await.unwrap();
            let mut mine = Vec::new();
            while let Some((job, _)) = claimed(&store, &format!("w{number}"), 0).await {
                mine.push(job.id);
            }
            mine
        });
    }
    let mut all: Vec<Uuid> = claimers.join_all().await.into_iter().flatten().collect();
    all.sort();
    assert_eq!(all, jobs);
}

both!(a_lost_claim_writes_nothing);

async fn a_lost_claim_writes_nothing(t: Temp) {
    let id = queued_job(&t.store, ready_dataset(&t.store, "d").await).await;
    let (_, old) = claimed(&t.store, "w1", 0).await.unwrap();
    assert!(claimed(&t.store, "w2", 1000).await.is_none(), "the claim still holds");
    let (_, new) = claimed(&t.store, "w2", 1001).await.unwrap();
    let s = &t.store;
    let report = PhaseReport::new(PhaseName::WarmUp, 1, &["a".to_owned()], [(0, 0)]);
    let before = s.events(id, 0, 100).await.unwrap();
    for refused in [
        s.record_progress(id, old, &progress(0.5)).await,
        s.record_epoch(id, old, &epoch(PhaseName::WarmUp, 1)).await,
        s.record_phase(id, old, &report).await,
        s.reserve_version(id, old).await.map(|_| ()),
        s.succeed(id, old, &published(1)).await,
        s.fail(id, old, &failure()).await,
        s.cancelled(id, old).await,
        s.release(id, old).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(StoreError::LostLease)), "{refused:?}");
    }
    assert_eq!(s.heartbeat(id, old, 1002, 1000).await.unwrap(), Heartbeat { still_mine: false, cancel_requested: false });
    assert!(s.heartbeat(id, new, 1002, 1000).await.unwrap().still_mine);
    assert_eq!(s.events(id, 0, 100).await.unwrap(), before);
    assert!(s.epochs(id).await.unwrap().is_empty());
}

both!(a_heartbeat_keeps_the_claim);

async fn a_heartbeat_keeps_the_claim(t: Temp) {
    let id = queued_job(&t.store, ready_dataset(&t.store, "d").await).await;
    let (_, lease) = claimed(&t.store, "w1", 0).await.unwrap();
    t.store.heartbeat(id, lease, 900, 1000).await.unwrap();
    assert!(t.store.expire_leases(1800, 2).await.unwrap().is_empty());
    assert_eq!(t.store.expire_leases(1901, 2).await.unwrap(), [(id, JobState::Queued)]);
}

both!(a_takeover_goes_on_from_the_last_epoch);

async fn a_takeover_goes_on_from_the_last_epoch(t: Temp) {
    let id = queued_job(&t.store, ready_dataset(&t.store, "d").await).await;
    let (_, lease) = claimed(&t.store, "w1", 0).await.unwrap();
    t.store.record_epoch(id, lease, &epoch(PhaseName::WarmUp, 1)).await.unwrap();
    let report = PhaseReport::new(PhaseName::WarmUp, 1, &["a".to_owned()], [(0, 0)]);
    t.store.record_phase(id, lease, &report).await.unwrap();
    t.store.reserve_version(id, lease).await.unwrap();
    let (job, lease) = claimed(&t.store, "w2", 1001).await.unwrap();
    assert_eq!((job.attempts, job.version), (2, None));
    assert_eq!(t.store.epochs(id).await.unwrap().len(), 1);
    // The phase's report is there; an epoch that is there already is a defect.
    t.store.record_phase(id, lease, &report).await.unwrap();
    assert!(t.store.record_epoch(id, lease, &epoch(PhaseName::WarmUp, 1)).await.is_err());
    t.store.record_epoch(id, lease, &epoch(PhaseName::FineTune, 1)).await.unwrap();
    assert_eq!(told(&t.store, id).await, ["queued", "running", "epoch", "report", "queued", "running", "epoch"]);
    // Or it begins anew, and says so.
    t.store.restart(id, lease).await.unwrap();
    assert!(t.store.epochs(id).await.unwrap().is_empty());
    assert_eq!(t.store.job(id).await.unwrap().progress, None);
    t.store.record_epoch(id, lease, &epoch(PhaseName::WarmUp, 1)).await.unwrap();
    t.store.record_phase(id, lease, &report).await.unwrap();
    assert_eq!(told(&t.store, id).await[7..], ["restarted", "epoch", "report"]);
}

both!(a_job_fails_that_loses_its_worker_without_getting_any_further);

async fn a_job_fails_that_loses_its_worker_without_getting_any_further(t: Temp) {
    let id = queued_job(&t.store, ready_dataset(&t.store, "d").await).await;
    // It gets further each time, however often it loses its worker.
    for step in 0..6 {
        let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
        t.store.record_progress(id, lease, &progress(f64::from(step) / 6.0)).await.unwrap();
        assert_eq!(t.store.expire_leases(9999, 2).await.unwrap(), [(id, JobState::Queued)], "{step}");
    }
    // Features come before the warm-up, so that is no further; the second loss there is one too many.
    let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
    let features = Progress { phase: Stage::Features, ..progress(0.99) };
    t.store.record_progress(id, lease, &features).await.unwrap();
    assert_eq!(t.store.expire_leases(9999, 2).await.unwrap(), [(id, JobState::Failed)]);
    let job = t.store.job(id).await.unwrap();
    assert_eq!((job.attempts, job.error.unwrap().code.as_str()), (7, "worker_lost"));
    assert!(claimed(&t.store, "w3", 9999).await.is_none());
}

both!(a_dead_workers_job_is_settled_at_once);

async fn a_dead_workers_job_is_settled_at_once(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let id = queued_job(&t.store, dataset).await;
    claimed(&t.store, "w1", 0).await.unwrap();
    assert!(t.store.release_worker("w2", "signal 9", 2).await.unwrap().is_empty());
    assert_eq!(t.store.release_worker("w1", "signal 9", 2).await.unwrap(), [(id, JobState::Queued)]);
    let (job, _) = claimed(&t.store, "w1", 1).await.unwrap();
    assert_eq!(job.attempts, 2);
    assert_eq!(t.store.release_worker("w1", "signal 9", 2).await.unwrap(), [(id, JobState::Failed)]);
    let error = t.store.job(id).await.unwrap().error.unwrap();
    assert!(error.message.ends_with("signal 9"), "{}", error.message);
    // One that somebody wanted cancelled isn't begun again.
    let id = queued_job(&t.store, dataset).await;
    claimed(&t.store, "w1", 0).await.unwrap();
    t.store.request_cancel(id).await.unwrap();
    assert_eq!(t.store.release_worker("w1", "signal 9", 2).await.unwrap(), [(id, JobState::Cancelled)]);
}

both!(a_worker_that_stops_gives_its_job_back_uncounted);

async fn a_worker_that_stops_gives_its_job_back_uncounted(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let id = queued_job(&t.store, dataset).await;
    for _ in 0..4 {
        let (job, lease) = claimed(&t.store, "w", 0).await.unwrap();
        assert_eq!(job.attempts, 1);
        assert_eq!(t.store.release(id, lease).await.unwrap(), JobState::Queued);
    }
    let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
    t.store.request_cancel(id).await.unwrap();
    assert_eq!(t.store.release(id, lease).await.unwrap(), JobState::Cancelled);
}

both!(cancelling_depends_on_the_state);

async fn cancelling_depends_on_the_state(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    assert!(matches!(t.store.request_cancel(Uuid::now_v7()).await, Err(StoreError::NotFound(Missing::Job))));

    let queued = queued_job(&t.store, dataset).await;
    assert_eq!(t.store.request_cancel(queued).await.unwrap().state, JobState::Cancelled);
    assert_eq!(t.store.request_cancel(queued).await.unwrap().state, JobState::Cancelled, "twice is fine");
    assert_eq!(told(&t.store, queued).await, ["queued", "cancelled"]);
    assert!(claimed(&t.store, "w", 0).await.is_none());

    let running = queued_job(&t.store, dataset).await;
    let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
    let job = t.store.request_cancel(running).await.unwrap();
    assert_eq!((job.state, job.cancel_requested), (JobState::Running, true));
    let heard = t.store.heartbeat(running, lease, 1, 1000).await.unwrap();
    assert_eq!(heard, Heartbeat { still_mine: true, cancel_requested: true });
    t.store.cancelled(running, lease).await.unwrap();
    assert_eq!(state(&t.store, running).await, JobState::Cancelled);

    let failed = queued_job(&t.store, dataset).await;
    let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
    t.store.fail(failed, lease, &failure()).await.unwrap();
    let error = t.store.request_cancel(failed).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::JobFinished(JobState::Failed))));
    assert_eq!(t.store.job(failed).await.unwrap().error, Some(failure()));
}

both!(only_a_ready_data_set_is_trained_on);

async fn only_a_ready_data_set_is_trained_on(t: Temp) {
    let reading = t.store.insert_dataset(&new_dataset("r"), None).await.unwrap().id;
    let error = t.store.insert_job(&new_job(reading), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::DatasetIngesting)));
    t.store.fail_dataset(reading, &failure(), &[]).await.unwrap();
    let error = t.store.insert_job(&new_job(reading), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::DatasetFailed)));
    let error = t.store.insert_job(&new_job(Uuid::now_v7()), None).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound(Missing::Dataset)));
}

both!(jobs_are_listed_by_state_and_model);

async fn jobs_are_listed_by_state_and_model(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let first = queued_job(&t.store, dataset).await;
    let second = queued_job(&t.store, dataset).await;
    claimed(&t.store, "w", 0).await.unwrap();
    let ids = async |filter: JobFilter| -> Vec<Uuid> {
        t.store.jobs(&filter, None, 9).await.unwrap().items.iter().map(|job| job.id).collect()
    };
    assert_eq!(ids(JobFilter::default()).await, [second, first]);
    assert_eq!(ids(JobFilter { state: Some(JobState::Queued), model: None }).await, [second]);
    assert_eq!(ids(JobFilter { state: None, model: Some("flowers".parse().unwrap()) }).await, [second, first]);
    assert!(ids(JobFilter { state: None, model: Some("trees".parse().unwrap()) }).await.is_empty());
    let rest = t.store.jobs(&JobFilter::default(), Some(second), 1).await.unwrap();
    assert_eq!((rest.items[0].id, rest.more), (first, false));
}
