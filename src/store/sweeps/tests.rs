use super::*;
use crate::store::testing::{Temp, both, claimed, queued_job, ready_dataset};
use crate::store::{Failure, JobState, Published, Reserved, StateEvent, TrialResult, Want};
use crate::vision::precision::Precision;

/// Submits a sweep of so many trials; it and its trials in the order of submission.
async fn submitted(t: &Temp, trials: u64, concurrency: u32) -> (Uuid, Vec<Uuid>) {
    let dataset = match t.store.dataset("d").await {
        Ok(dataset) => dataset.id,
        Err(_) => ready_dataset(&t.store, "d").await,
    };
    let trials = (0..trials).map(|seed| Recipe { seed, ..Recipe::default() }).collect();
    let model = "flowers".parse().unwrap();
    let (id, webhook, allowance) = (Uuid::now_v7(), None, None);
    let new = NewSweep { id, dataset, model, concurrency, trials, webhook, allowance };
    let id = t.store.insert_sweep(&new, None).await.unwrap().sweep.id;
    (id, t.store.trials(id).await.unwrap().into_iter().map(|trial| trial.job.id).collect())
}

/// Claims the next trial and ends it.
async fn succeeded(t: &Temp, accuracy: f64, loss: f64) -> Uuid {
    let (job, lease) = claimed(&t.store, "w", 0).await.unwrap();
    t.store.succeed_trial(job.id, lease, &TrialResult { accuracy, loss }).await.unwrap();
    job.id
}

fn published(reserved: &Reserved) -> Published {
    Published { version: reserved.version, accuracy: reserved.accuracy, precision: Precision::F32, classes: 2 }
}

async fn state(t: &Temp, sweep: Uuid) -> SweepState {
    t.store.sweep(sweep).await.unwrap().state
}

both!(no_more_trials_run_than_may);

async fn no_more_trials_run_than_may(t: Temp) {
    let (sweep, trials) = submitted(&t, 4, 2).await;
    let other = queued_job(&t.store, t.store.dataset("d").await.unwrap().id).await;
    assert_eq!(state(&t, sweep).await, SweepState::Queued);
    let (first, first_lease) = claimed(&t.store, "w1", 0).await.unwrap();
    let (second, _) = claimed(&t.store, "w2", 0).await.unwrap();
    assert_eq!(([first.id, second.id], first.sweep), ([trials[0], trials[1]], Some(sweep)));
    assert_eq!(claimed(&t.store, "w3", 0).await.unwrap().0.id, other, "a job that is no trial passes those that wait");
    assert!(claimed(&t.store, "w4", 0).await.is_none());
    assert_eq!(state(&t, sweep).await, SweepState::Running);
    t.store.fail(first.id, first_lease, &Failure { code: "x".to_owned(), message: "y".to_owned() }).await.unwrap();
    assert_eq!(claimed(&t.store, "w1", 0).await.unwrap().0.id, trials[2]);
    assert!(claimed(&t.store, "w4", 0).await.is_none());
    // A trial whose worker was lost makes room, and is the first to take it.
    assert!(t.store.release_worker("w2", "signal 9", 2).await.unwrap().contains(&(trials[1], JobState::Queued)));
    assert_eq!(claimed(&t.store, "w4", 0).await.unwrap().0.id, trials[1]);
    assert!(claimed(&t.store, "w5", 0).await.is_none());
}

both!(workers_that_claim_at_once_do_not_slip_in_together);

/// Workers are processes: each claimer here has a handle, and so connections, of its own.
async fn workers_that_claim_at_once_do_not_slip_in_together(t: Temp) {
    submitted(&t, 12, 3).await;
    let database = t.database.clone();
    let mut claimers = tokio::task::JoinSet::new();
    for number in 0..6 {
        let database = database.clone();
        claimers.spawn(async move {
            let store = Store::open(&database).await.unwrap();
            claimed(&store, &format!("w{number}"), 0).await.map(|(job, _)| job.id)
        });
    }
    assert_eq!(claimers.join_all().await.into_iter().flatten().count(), 3);
}

both!(the_best_trial_comes_first);

async fn the_best_trial_comes_first(t: Temp) {
    let (sweep, trials) = submitted(&t, 6, 1).await;
    assert!(matches!(t.store.reserve_trial(sweep, None).await, Err(StoreError::Conflict(Conflict::NoTrialSucceeded))));
    for (accuracy, loss) in [(0.5, 0.1), (0.75, 0.4), (0.75, 0.2), (0.75, 0.2)] {
        succeeded(&t, accuracy, loss).await;
    }
    let (failing, lease) = claimed(&t.store, "w", 0).await.unwrap();
    let failure = Failure { code: "diverged".to_owned(), message: "a smaller learning_rate".to_owned() };
    t.store.fail(failing.id, lease, &failure).await.unwrap();
    let board = t.store.trials(sweep).await.unwrap();
    let order: Vec<_> = board.iter().map(|trial| trial.job.id).collect();
    assert_eq!(order, [2, 3, 1, 0, 4, 5].map(|n: usize| trials[n]));
    assert_eq!(board[0].result, Some(TrialResult { accuracy: 0.75, loss: 0.2 }));
    assert_eq!((board[4].result, board[4].job.error.as_ref()), (None, Some(&failure)));
    let shown = t.store.sweep(sweep).await.unwrap();
    assert_eq!((shown.best, shown.state, shown.finished_at), (Some(trials[2]), SweepState::Running, None));
    let expected = TrialCounts { queued: 1, running: 0, succeeded: 4, failed: 1, cancelled: 0 };
    assert_eq!(shown.trials, expected);
    let failed = t.store.reserve_trial(sweep, Some(trials[4])).await;
    assert!(matches!(failed, Err(StoreError::Conflict(Conflict::TrialNotSucceeded(JobState::Failed)))));
    succeeded(&t, 1.0, 0.0).await;
    let shown = t.store.sweep(sweep).await.unwrap();
    assert_eq!((shown.best, shown.state, shown.finished_at.is_some()), (Some(trials[5]), SweepState::Done, true));
}

both!(a_trial_is_published_once);

async fn a_trial_is_published_once(t: Temp) {
    let (sweep, trials) = submitted(&t, 2, 1).await;
    succeeded(&t, 0.5, 1.0).await;
    succeeded(&t, 0.75, 1.0).await;
    let flowers = "flowers".parse().unwrap();
    let reserved = t.store.reserve_trial(sweep, None).await.unwrap();
    assert_eq!((reserved.job.id, reserved.version, reserved.accuracy), (trials[1], 1, 0.75));
    let job = t.store.job(trials[1]).await.unwrap();
    assert_eq!((job.version, job.published()), (Some(1), None), "a reserved version is not there yet");
    assert!(matches!(t.store.resolve(&flowers, &Want::Version(1)).await, Err(StoreError::NotFound(Missing::Model))));
    // What else is to be published meanwhile gets a number of its own.
    queued_job(&t.store, t.store.dataset("d").await.unwrap().id).await;
    let (other, lease) = claimed(&t.store, "w", 0).await.unwrap();
    assert_eq!(t.store.reserve_version(other.id, lease).await.unwrap(), 2);
    assert_eq!(t.store.reserve_trial(sweep, Some(trials[0])).await.unwrap().version, 3);
    for _ in 0..2 {
        t.store.publish_trial(trials[1], &published(&reserved), None).await.unwrap();
        let again = t.store.reserve_trial(sweep, None).await.unwrap();
        assert_eq!((again.version, again.job.published()), (1, Some(1)));
    }
    let version = t.store.resolve(&flowers, &Want::Version(1)).await.unwrap();
    assert_eq!((version.job, version.accuracy), (Some(trials[1]), 0.75));
    assert_eq!(t.store.model(&flowers).await.unwrap().versions.len(), 1);
    assert_eq!(t.store.sweep(sweep).await.unwrap().published, Some(1));
    // Publishing tells a trial's listeners nothing: it was over.
    let events = t.store.events(trials[1], 0, 100).await.unwrap();
    let last: StateEvent = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!((last.state, last.version), (JobState::Succeeded, None));
}

both!(cancelling_ends_what_is_not_over);

async fn cancelling_ends_what_is_not_over(t: Temp) {
    let (sweep, trials) = submitted(&t, 3, 1).await;
    succeeded(&t, 0.5, 1.0).await;
    let (running, lease) = claimed(&t.store, "w", 0).await.unwrap();
    let shown = t.store.cancel_sweep(sweep).await.unwrap();
    assert_eq!((shown.state, shown.cancel_requested), (SweepState::Running, true));
    assert_eq!(t.store.job(trials[2]).await.unwrap().state, JobState::Cancelled);
    t.store.cancelled(running.id, lease).await.unwrap();
    assert_eq!(state(&t, sweep).await, SweepState::Cancelled);
    assert_eq!(t.store.cancel_sweep(sweep).await.unwrap().state, SweepState::Cancelled, "twice is fine");
    assert_eq!(t.store.reserve_trial(sweep, None).await.unwrap().job.id, trials[0], "what succeeded can be published");

    let (done, _) = submitted(&t, 1, 1).await;
    succeeded(&t, 0.5, 1.0).await;
    assert!(matches!(t.store.cancel_sweep(done).await, Err(StoreError::Conflict(Conflict::SweepFinished))));
    assert!(matches!(t.store.cancel_sweep(Uuid::now_v7()).await, Err(StoreError::NotFound(Missing::Sweep))));
    let listed: Vec<_> = t.store.sweeps(None, 9).await.unwrap().items.iter().map(|sweep| (sweep.id, sweep.state)).collect();
    assert_eq!(listed, [(done, SweepState::Done), (sweep, SweepState::Cancelled)]);
    let rest = t.store.sweeps(Some(done), 1).await.unwrap();
    assert_eq!((rest.items[0].id, rest.more), (sweep, false));
}

both!(a_deleted_sweep_leaves_its_trials_as_jobs);

async fn a_deleted_sweep_leaves_its_trials_as_jobs(t: Temp) {
    let (sweep, trials) = submitted(&t, 2, 2).await;
    succeeded(&t, 0.5, 1.0).await;
    let refused = t.store.delete_sweep(sweep).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::SweepUnfinished { trials: 1 }))));
    let dataset = t.store.dataset("d").await.unwrap().id;
    let needed = t.store.delete_dataset(dataset).await;
    assert!(matches!(needed, Err(StoreError::Conflict(Conflict::DatasetInUse { jobs: 1 }))));
    succeeded(&t, 0.75, 1.0).await;
    let first = t.store.reserve_trial(sweep, Some(trials[0])).await.unwrap();
    t.store.publish_trial(trials[0], &published(&first), None).await.unwrap();
    let second = t.store.reserve_trial(sweep, Some(trials[1])).await.unwrap();
    let mut deleted = t.store.delete_sweep(sweep).await.unwrap();
    deleted.sort();
    assert_eq!(deleted, trials);
    // The second publication was under way.
    let late = t.store.publish_trial(trials[1], &published(&second), None).await;
    assert!(matches!(late, Err(StoreError::NotFound(Missing::Sweep))));
    let jobs = [t.store.job(trials[0]).await.unwrap(), t.store.job(trials[1]).await.unwrap()];
    assert_eq!(jobs.clone().map(|job| job.published()), [Some(1), None]);
    assert!(jobs.iter().all(|job| job.sweep.is_none() && job.state == JobState::Succeeded));
    assert!(matches!(t.store.sweep(sweep).await, Err(StoreError::NotFound(Missing::Sweep))));
    t.store.delete_dataset(dataset).await.unwrap();
}
