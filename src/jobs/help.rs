//! Helping: what a worker does that has no work of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::context::Context;
use super::execute::ExecuteError;
use super::watch::{Claimed, Held, StopReason, watch};
use crate::store::{self, Claim, ClaimedShard, StoreError};
use crate::training::{Helper, Numbers, TrainingError, arithmetics};

/// What it takes to help.
pub struct Hands {
    pub context: Context,
    /// The worker's name.
    pub worker: String,
    /// Turns true when it is to end.
    pub shutdown: watch::Receiver<bool>,
    /// Whether jobs that wait come before further shards.
    pub yields: bool,
}

/// What came of trying to help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helped {
    /// A job got on.
    Some,
    /// There was nothing to help with.
    Nothing,
    /// This worker isn't able to, for now.
    Failed,
}

/// Computes shards of a job that another worker has, as long as there are any, on the calling thread.
///
/// Nothing that goes wrong here is the job's trouble: it computes itself what a helper came to nothing with.
pub fn help(hands: &Hands) -> Helped {
    let first = match Grip::take(hands, None) {
        Ok(Some(first)) => first,
        Ok(None) => return Helped::Nothing,
        Err(error) => {
            tracing::warn!(%error, "no shard of features can be claimed for now");
            return Helped::Nothing;
        }
    };
    let job = first.shard.job;
    tracing::info!(%job, "helping to compute features");
    match session(hands, first) {
        Ok((shards, rows)) => {
            tracing::info!(%job, shards, rows, "helped to compute features");
            Helped::Some
        }
        // It was cancelled, say.
        Err(ExecuteError::Store(StoreError::LostLease)) => {
            tracing::info!(%job, "the job wants no help any more");
            Helped::Some
        }
        Err(error) => {
            tracing::warn!(%job, %error, "no help with these features");
            Helped::Failed
        }
    }
}

/// Computes a shard and further ones of its job; answers how many, and of how many rows.
fn session(hands: &Hands, first: Grip<'_>) -> Result<(u32, u64), ExecuteError> {
    let shard = first.shard.clone();
    prepared(hands, &shard, |helper| {
        let (mut shards, mut rows) = (0, 0);
        let mut next = Some(first);
        while let Some(grip) = next {
            let Some(computed) = grip.compute(helper)? else { break };
            (shards, rows) = (shards + 1, rows + computed);
            next = hands.more(shard.job)?;
        }
        Ok((shards, rows))
    })
}

/// Loads what the job computes from, and does `work` with that.
fn prepared<T>(
    hands: &Hands,
    shard: &ClaimedShard,
    work: impl FnOnce(&mut Helper<'_>) -> Result<T, ExecuteError>,
) -> Result<T, ExecuteError> {
    let context = &hands.context;
    let job = context.runtime.block_on(context.store.job(shard.job))?;
    let (_, data) = context.training_data(job.dataset.id)?;
    let bucket = context.bucket();
    let plan = context.plan(job.recipe, &bucket, None);
    // Noted before anything was offered.
    let features = job.features.ok_or(StoreError::LostLease)?;
    let mut helper = Helper::new(&plan, &data, features, &shard.arithmetic)?;
    work(&mut helper)
}

impl Hands {
    /// The next shard of the same job, unless there is something else to do.
    fn more(&self, job: Uuid) -> Result<Option<Grip<'_>>, StoreError> {
        let waits = self.yields && self.context.runtime.block_on(self.context.store.job_waits(store::now()))?;
        if waits || *self.shutdown.borrow() { Ok(None) } else { Grip::take(self, Some(job)) }
    }
}

/// A shard in hand: the claim is renewed while this lives. If it isn't settled by then, it came to nothing.
struct Grip<'h> {
    hands: &'h Hands,
    shard: ClaimedShard,
    lease: Uuid,
    stop: Arc<AtomicBool>,
    watcher: JoinHandle<StopReason>,
    settled: bool,
}

impl<'h> Grip<'h> {
    /// Claims a shard, if there is one; of the job `of`, if that is given.
    fn take(hands: &'h Hands, of: Option<Uuid>) -> Result<Option<Self>, StoreError> {
        let Hands { context: Context { settings, store, runtime, body, .. }, worker, .. } = hands;
        let (lease, lease_ms) = (Uuid::now_v7(), settings.lease_ms());
        let claim = Claim { worker, lease, now: store::now(), lease_ms, max_attempts: settings.max_attempts };
        let claimed = runtime.block_on(store.claim_shard(&claim, &arithmetics(body), of))?;
        Ok(claimed.map(|shard| {
            let stop = Arc::new(AtomicBool::new(false));
            let held = Held { what: Claimed::Shard(shard.job, shard.shard), lease, lease_ms };
            let watcher = runtime.spawn(watch(store.clone(), held, Arc::clone(&stop), hands.shutdown.clone()));
            Self { hands, shard, lease, stop, watcher, settled: false }
        }))
    }

    /// Computes it, tells so, and answers how many rows it was; `None` if it isn't this worker's any more, or it is to end.
    fn compute(mut self, helper: &mut Helper<'_>) -> Result<Option<u64>, ExecuteError> {
        let Context { store, runtime, .. } = &self.hands.context;
        let place = (self.shard.job, self.shard.shard);
        let numbers: Numbers = self.shard.samples.parse().map_err(TrainingError::from)?;
        match helper.compute(&numbers, &self.stop) {
            Err(TrainingError::Stopped) => {
                self.settled = true;
                // Only the watcher stops it, and ends with that.
                if runtime.block_on(&mut self.watcher).ok() == Some(StopReason::Shutdown) {
                    runtime.block_on(store.release_shard(place, self.lease, false))?;
                }
                Ok(None)
            }
            computed => {
                let (rows, segments) = computed?;
                runtime.block_on(store.finish_shard(place, self.lease, &segments))?;
                self.settled = true;
                Ok(Some(rows))
            }
        }
    }
}

impl Drop for Grip<'_> {
    fn drop(&mut self) {
        self.watcher.abort();
        if !self.settled {
            let Context { store, runtime, .. } = &self.hands.context;
            let release = store.release_shard((self.shard.job, self.shard.shard), self.lease, true);
            match runtime.block_on(release) {
                Ok(()) | Err(StoreError::LostLease) => {}
                Err(error) => {
                    tracing::warn!(job = %self.shard.job, %error, "a shard of features is given back when its claim runs out")
                }
            }
        }
    }
}
