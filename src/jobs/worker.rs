//! The worker: claims jobs and runs them, one after the other; audits of data sets, which are short, come before. Without either it
//! helps the jobs of other workers.
//!
//! A turn: (1) claim the oldest queued job under a fresh lease, or help, or wait a moment; (2) load its data set; (3) train on a
//! thread of its own, each event written as a row before training goes on; (4) meanwhile renew the lease and ask whether
//! to stop; (5) publish the artifact, then enter its version and end the job in one transaction; a sweep's trial ends without
//! a version, its artifact in the trial's folder. Whatever happens to the process, the row says what to do: an expired lease
//! goes back to the queue. With little room on the disk no job is begun, and one that finds it full goes back to the queue,
//! uncounted, and is taken up after a pause.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::audit;
use super::context::Context;
use super::execute::{Done, ExecuteError, Input, execute};
use super::help::{Hands, Helped, help};
use super::patience::{has_room, insist};
use super::watch::{Claimed, Held, StopReason, watch};
use crate::config::Settings;
use crate::memory;
use crate::storage::Storage;
use crate::store::{self, Claim, Failure, Job, Store, StoreError};
use crate::training::TrainingError;
use crate::vision::weights::{BodyWeights, WeightsError};

/// How long an idle worker waits before it looks again.
const IDLE: Duration = Duration::from_millis(500);
/// How long a worker waits that can't begin a job, since the disk is full or the database can't be written.
pub(super) const TROUBLED: Duration = Duration::from_secs(3);

/// A worker that can't go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No backbone, no training.
    #[error("the backbone's weights can't be loaded: {0}")]
    Weights(#[from] WeightsError),
    /// The database refused.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
}

/// How long a worker doesn't help that wasn't able to: each shard that it comes to nothing with is one that no other helper gets.
const UNHELPFUL: Duration = Duration::from_secs(60);

/// What a worker has claimed.
enum Work {
    /// To look through this data set.
    Audit(Uuid),
    /// To train.
    Job(Box<Job>),
}

/// What waits longest; audits first.
async fn claimed(store: &Store, claim: &Claim<'_>) -> Result<Option<Work>, StoreError> {
    if let Some(dataset) = store.claim_audit(claim).await? {
        return Ok(Some(Work::Audit(dataset)));
    }
    Ok(store.claim(claim).await?.map(|job| Work::Job(Box::new(job))))
}

/// Works until `shutdown` turns true; the job at hand then goes back to the queue.
///
/// # Errors
/// The backbone can't be loaded, or the database doesn't answer.
pub async fn run(
    settings: Arc<Settings>,
    (store, storage): (Store, Storage),
    worker: &str,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let path = settings.backbone();
    let body = tokio::task::spawn_blocking(move || BodyWeights::load(&path));
    // The closure doesn't panic: reading weights answers errors.
    let body = Arc::new(body.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?);
    let context = Context { settings, store, storage, runtime: Handle::current(), body };
    let Context { settings, store, .. } = &context;
    tracing::info!(worker, "worker ready");
    let mut had_room = true;
    let mut news = store.news();
    let mut helps_from = Instant::now();
    while !*shutdown.borrow() {
        let room = has_room(settings).await;
        if had_room && !room {
            tracing::warn!(
                min_free_bytes = settings.min_free_bytes,
                "the disk is nearly full: no job is begun until there is room"
            );
        }
        had_room = room;
        if !room {
            rest(TROUBLED, &mut shutdown).await;
            continue;
        }
        let lease = Uuid::now_v7();
        let claim =
            Claim { worker, lease, now: store::now(), lease_ms: settings.lease_ms(), max_attempts: settings.max_attempts };
        match claimed(store, &claim).await {
            Ok(Some(Work::Audit(dataset))) => {
                audit::run(&context, dataset, lease, shutdown.clone()).await?;
            }
            Ok(Some(Work::Job(job))) => {
                run_job(&context, &job, lease, shutdown.clone()).await?;
            }
            Ok(None) => {
                let helped = match helps_from <= Instant::now() {
                    true => helped(&context, worker, &shutdown).await,
                    false => Helped::Nothing,
                };
                match helped {
                    // There may be a job by now.
                    Helped::Some => continue,
                    Helped::Nothing => {}
                    Helped::Failed => helps_from = Instant::now() + UNHELPFUL,
                }
                tokio::select! {
                    () = news.of_work(IDLE) => {}
                    _ = shutdown.changed() => {}
                }
            }
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "no job can be claimed for now");
                rest(TROUBLED, &mut shutdown).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Helps another worker's job, if one wants help.
async fn helped(context: &Context, worker: &str, shutdown: &watch::Receiver<bool>) -> Helped {
    let hands = Hands { context: context.clone(), worker: worker.to_owned(), shutdown: shutdown.clone(), yields: true };
    let helped = tokio::task::spawn_blocking(move || help(&hands)).await;
    helped.unwrap_or_else(|panic| {
        tracing::error!(%panic, "helping broke down");
        Helped::Failed
    })
}

/// Waits, but not beyond a wish to end.
pub(super) async fn rest(pause: Duration, shutdown: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        // The sender gone means the process is ending too.
        _ = shutdown.changed() => {}
    }
}

/// Runs a claimed job to its end, whatever that is, and writes that down.
async fn run_job(context: &Context, job: &Job, lease: Uuid, shutdown: watch::Receiver<bool>) -> Result<(), WorkerError> {
    let Context { settings, store, storage, .. } = context;
    tracing::info!(job = %job.id, attempt = job.attempts, model = %job.model, "job started");
    let stop = Arc::new(AtomicBool::new(false));
    let held = Held { what: Claimed::Job(job.id), lease, lease_ms: settings.lease_ms() };
    let mut watcher = tokio::spawn(watch(store.clone(), held, Arc::clone(&stop), shutdown.clone()));
    let input = Input { context: context.clone(), job: job.clone(), lease, stop };
    let outcome = tokio::task::spawn_blocking(move || execute(&input)).await;
    let outcome = outcome.unwrap_or_else(|panic| Err(ExecuteError::Panicked(panic.to_string())));
    // The next job may be long in coming.
    memory::give_back();
    // Training stops only because the watcher said so; then the watcher has ended and answers why.
    let reason = match &outcome {
        Err(ExecuteError::Training(TrainingError::Stopped)) => (&mut watcher).await.ok(),
        _ => None,
    };
    let settled = settle(store, job, lease, outcome, reason, shutdown).await;
    // Until here it went on renewing the lease: writing down how a job ended may have to wait.
    watcher.abort();
    if storage.is_remote() {
        forget(settings, store, storage, job.id).await;
        trim(settings, storage).await;
    }
    settled
}

/// Removes the states of a job that is over from where other machines would find them.
async fn forget(settings: &Settings, store: &Store, storage: &Storage, job: Uuid) {
    if store.job(job).await.is_ok_and(|job| job.state.is_terminal())
        && let Err(error) = storage.remove_folder(&settings.checkpoint_dir(job)).await
    {
        tracing::warn!(%job, %error, "the states of a job that is over are left over in the storage");
    }
}

/// Removes features from the storage that it has no room for.
async fn trim(settings: &Settings, storage: &Storage) {
    match storage.trim(&settings.features_dir(), settings.storage_feature_bytes).await {
        Ok(trimmed) if trimmed.files > 0 => {
            tracing::info!(files = trimmed.files, bytes = trimmed.bytes, "features made room in the storage");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "features take more room in the storage than they may"),
    }
}

/// Writes down how a job ended. A lost lease is not this worker's business any more.
async fn settle(
    store: &Store,
    job: &Job,
    lease: Uuid,
    outcome: Result<Done, ExecuteError>,
    reason: Option<StopReason>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let written = match outcome {
        // If the lease is lost, the folder may be another attempt's by now, and published. If it is nobody's, whoever gets the number next
        // writes over it, or the next start puts it aside; a trial's goes with its sweep.
        Ok(Done::Version(published)) => insist(shutdown, async || store.succeed(job.id, lease, &published).await).await,
        Ok(Done::Trial(result)) => insist(shutdown, async || store.succeed_trial(job.id, lease, &result).await).await,
        Err(_) if reason == Some(StopReason::Cancelled) => {
            insist(shutdown, async || store.cancelled(job.id, lease).await).await
        }
        Err(_) if reason == Some(StopReason::Shutdown) => store.release(job.id, lease).await.map(|_| ()),
        Err(_) if reason == Some(StopReason::LostLease) => Err(StoreError::LostLease),
        Err(ExecuteError::Store(StoreError::LostLease)) => Err(StoreError::LostLease),
        Err(error) => match error.waits_for() {
            Some(waits) => {
                tracing::error!(job = %job.id, %error, "the job waits");
                let postpone = async || store.postpone(job.id, lease, waits, store::now()).await;
                insist(shutdown, postpone).await.map(|_| ())
            }
            None => {
                tracing::error!(job = %job.id, %error, "job failed");
                let failure = Failure { code: error.code().to_owned(), message: error.to_string() };
                insist(shutdown, async || store.fail(job.id, lease, &failure).await).await
            }
        },
    };
    match written {
        Ok(()) => tracing::info!(job = %job.id, "job ended"),
        Err(StoreError::LostLease) => tracing::warn!(job = %job.id, "the lease was lost; the job is somebody else's"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
