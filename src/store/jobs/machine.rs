//! Whatever workers do in whatever order: a job is at most one's, an epoch is recorded once, and an end is told once.
//!
//! Random histories of claims, deaths, lapses, cancellations and writes, by holders of claims that hold and of claims that no
//! longer do, run on the database and on a model of a few lines; after each step both must agree.

use proptest::prelude::*;
use uuid::Uuid;

use super::{Claim, Published};
use crate::report::{Epoch, PhaseName};
use crate::store::testing::{Temp, new_job, ready_dataset, temp, temp_postgres};
use crate::store::{Failure, JobState, NewJob, Store, StoreError};
use crate::vision::precision::Precision;

const JOBS: usize = 2;
const WORKERS: usize = 3;
const LEASE_MS: i64 = 100;
const MAX_ATTEMPTS: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Time goes on by so many milliseconds.
    Wait(i64),
    Claim(usize),
    /// Any claim that was ever given, by its place among all of them.
    Holder(prop::sample::Index, Deed),
    /// A worker's process is gone.
    Died(usize),
    Expire,
    Cancel(usize),
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Beat,
    Epoch,
    Restart,
    Release,
    Postpone,
    Fail,
    Succeed,
    Cancelled,
}

fn step() -> impl Strategy<Value = Step> {
    let deed = prop_oneof![
        4 => Just(Deed::Epoch),
        2 => Just(Deed::Beat),
        1 => prop_oneof![
            Just(Deed::Restart), Just(Deed::Release), Just(Deed::Postpone), Just(Deed::Fail), Just(Deed::Succeed),
            Just(Deed::Cancelled)
        ],
    ];
    prop_oneof![
        2 => (0..80i64).prop_map(Step::Wait),
        1 => (4_000..12_000i64).prop_map(Step::Wait),
        3 => (0..WORKERS).prop_map(Step::Claim),
        6 => (any::<prop::sample::Index>(), deed).prop_map(|(who, deed)| Step::Holder(who, deed)),
        1 => (0..WORKERS).prop_map(Step::Died),
        1 => Just(Step::Expire),
        1 => (0..JOBS).prop_map(Step::Cancel),
    ]
}

/// What a job should be.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    id: Uuid,
    state: JobState,
    /// Token, end, worker.
    lease: Option<(Uuid, i64, usize)>,
    epochs: u32,
    cancel: bool,
    losses: u32,
    /// Not begun before.
    postponed: Option<i64>,
    pauses: u32,
}

impl Model {
    fn end(&mut self, state: JobState) {
        (self.state, self.lease, self.postponed) = (state, None, None);
    }

    /// Its worker is lost, and it has told nothing of its progress.
    fn lost(&mut self) {
        self.losses += 1;
        self.end(match (self.cancel, self.losses >= MAX_ATTEMPTS) {
            (true, _) => JobState::Cancelled,
            (false, true) => JobState::Failed,
            (false, false) => JobState::Queued,
        });
    }

    fn holds(&self, token: Uuid) -> bool {
        self.state == JobState::Running && self.lease.is_some_and(|(lease, ..)| lease == token)
    }
}

struct World {
    store: Store,
    jobs: Vec<Model>,
    /// Every claim that was ever given: the job's place, its token.
    given: Vec<(usize, Uuid)>,
    now: i64,
}

impl World {
    fn expire(&mut self) {
        let now = self.now;
        let lapsed = |job: &&mut Model| job.lease.is_some_and(|(_, until, _)| until < now);
        self.jobs.iter_mut().filter(lapsed).for_each(Model::lost);
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => self.now += ms,
            Step::Claim(worker) => self.claim(worker).await,
            Step::Holder(who, deed) if !self.given.is_empty() => {
                let (place, token) = self.given[who.index(self.given.len())];
                self.deed(place, token, deed).await;
            }
            Step::Holder(..) => {}
            Step::Died(worker) => {
                self.store.release_worker(&format!("w{worker}"), "signal 9", MAX_ATTEMPTS).await.unwrap();
                let had = |job: &&mut Model| job.lease.is_some_and(|(_, _, holder)| holder == worker);
                self.jobs.iter_mut().filter(had).for_each(Model::lost);
            }
            Step::Expire => {
                self.store.expire_leases(self.now, MAX_ATTEMPTS).await.unwrap();
                self.expire();
            }
            Step::Cancel(place) => {
                let job = &mut self.jobs[place];
                let done = self.store.request_cancel(job.id).await;
                match job.state {
                    JobState::Queued => job.end(JobState::Cancelled),
                    JobState::Running => job.cancel = true,
                    _ => {}
                }
                assert_eq!(done.is_ok(), !matches!(job.state, JobState::Succeeded | JobState::Failed));
            }
        }
    }

    async fn claim(&mut self, worker: usize) {
        let (name, lease) = (format!("w{worker}"), Uuid::now_v7());
        let claim = Claim { worker: &name, lease, now: self.now, lease_ms: LEASE_MS, max_attempts: MAX_ATTEMPTS };
        let claimed = self.store.claim(&claim).await.unwrap();
        let now = self.now;
        let may_begin = |job: &Model| job.state == JobState::Queued && job.postponed.is_none_or(|moment| moment <= now);
        let waits = self.jobs.iter().any(may_begin);
        if waits || self.jobs.iter().any(|job| job.lease.is_some_and(|(_, until, _)| until < self.now)) {
            self.expire();
        }
        let oldest = self.jobs.iter().position(may_begin);
        assert_eq!(claimed.map(|job| job.id), oldest.map(|place| self.jobs[place].id));
        if let Some(place) = oldest {
            let job = &mut self.jobs[place];
            (job.state, job.lease, job.postponed) = (JobState::Running, Some((lease, now + LEASE_MS, worker)), None);
            self.given.push((place, lease));
        }
    }

    async fn deed(&mut self, place: usize, token: Uuid, deed: Deed) {
        let (store, job) = (&self.store, &mut self.jobs[place]);
        let (id, mine) = (job.id, job.holds(token));
        let done = match deed {
            Deed::Beat => {
                let beat = store.heartbeat(id, token, self.now, LEASE_MS).await.unwrap();
                assert_eq!((beat.still_mine, beat.cancel_requested), (mine, mine && job.cancel));
                if let (true, Some(lease)) = (mine, &mut job.lease) {
                    lease.1 = self.now + LEASE_MS;
                }
                return;
            }
            Deed::Epoch => store.record_epoch(id, token, &epoch(job.epochs + 1)).await,
            Deed::Restart => store.restart(id, token).await,
            Deed::Release => store.release(id, token).await.map(drop),
            Deed::Postpone => store.postpone(id, token, "the disk is full", self.now).await.map(drop),
            Deed::Fail => store.fail(id, token, &Failure { code: "c".to_owned(), message: "m".to_owned() }).await,
            Deed::Cancelled => store.cancelled(id, token).await,
            Deed::Succeed => match store.reserve_version(id, token).await {
                Ok(version) => {
                    let published = Published { version, accuracy: 0.5, precision: Precision::F32, classes: 2 };
                    store.succeed(id, token, &published).await
                }
                Err(error) => Err(error),
            },
        };
        match (mine, done) {
            (false, Err(StoreError::LostLease)) => {}
            (true, Ok(())) => match deed {
                Deed::Epoch => job.epochs += 1,
                Deed::Restart => job.epochs = 0,
                Deed::Release | Deed::Postpone if job.cancel => job.end(JobState::Cancelled),
                Deed::Release => job.end(JobState::Queued),
                Deed::Postpone => {
                    job.end(JobState::Queued);
                    job.postponed = Some(self.now + (5_000 << job.pauses.min(6)).min(300_000));
                    job.pauses += 1;
                }
                Deed::Fail => job.end(JobState::Failed),
                Deed::Succeed => job.end(JobState::Succeeded),
                Deed::Cancelled => job.end(JobState::Cancelled),
                Deed::Beat => {}
            },
            (_, done) => panic!("{deed:?} of a claim that {} hold came to {done:?}", if mine { "does" } else { "doesn't" }),
        }
    }

    async fn check(&self) {
        for job in &self.jobs {
            assert_eq!(self.store.job(job.id).await.unwrap().state, job.state);
            let epochs: Vec<u32> = self.store.epochs(job.id).await.unwrap().iter().map(|epoch| epoch.epoch).collect();
            assert_eq!(epochs, (1..=job.epochs).collect::<Vec<_>>());
            assert_eq!(self.store.deliveries(&[job.id]).await.unwrap().len(), usize::from(job.state.is_terminal()));
        }
    }
}

fn epoch(epoch: u32) -> Epoch {
    let phase = PhaseName::WarmUp;
    let (train_loss, val_loss) = (1.0, 1.0);
    let (train_accuracy, val_accuracy) = (0.5, 0.5);
    Epoch { phase, epoch, train_loss, train_accuracy, val_loss, val_accuracy, learning_rate: 1e-3, seconds: 1.0 }
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..60)
}

fn run(history: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(history);
}

async fn agrees(t: Temp, steps: Vec<Step>) {
    let dataset = ready_dataset(&t.store, "d").await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        let webhook = Some("https://example.com/".to_owned());
        let id = t.store.insert_job(&NewJob { webhook, ..new_job(dataset) }, None).await.unwrap().id;
        let (state, lease, epochs, cancel, losses) = (JobState::Queued, None, 0, false, 0);
        jobs.push(Model { id, state, lease, epochs, cancel, losses, postponed: None, pauses: 0 });
    }
    let mut world = World { store: t.store.clone(), jobs, given: Vec::new(), now: 1000 };
    for step in steps {
        world.take(step).await;
        world.check().await;
    }
    t.store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_job_is_at_most_ones_and_an_epoch_is_recorded_once(steps in histories()) {
        run(async { agrees(temp().await, steps).await });
    }

    #[test]
    fn so_it_is_on_postgres(steps in histories()) {
        run(async {
            if let Some(t) = temp_postgres().await {
                agrees(t, steps).await;
            }
        });
    }
}
