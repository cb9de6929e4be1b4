//! One job on a thread that may block: train, then publish or, as a sweep's trial, keep what was trained in its folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use uuid::Uuid;

use super::context::Context;
use super::resume;
use super::team::Team;
use crate::artifact::{self, ArtifactError, MANIFEST};
use crate::disk;
use crate::report::Epoch;
use crate::storage::StorageError;
use crate::store::{self, Job, Published, StoreError, TrialResult};
use crate::training::{self, Event, Identity, Observer, ObserverError, Place, Trained, TrainingError};

/// A claimed job, and all that it needs.
pub struct Input {
    pub context: Context,
    pub job: Job,
    pub lease: Uuid,
    pub stop: Arc<AtomicBool>,
}

/// A job whose artifact is in place but not yet entered.
pub enum Done {
    /// In its model's folder.
    Version(Published),
    /// In the trial's folder.
    Trial(TrialResult),
}

/// Why a job came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// Training ended early.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// The artifact couldn't be written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The database refused.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// What is kept for several machines couldn't be had, or kept.
    #[error("the storage: {0}")]
    Storage(#[from] StorageError),
    /// A defect.
    #[error("training broke down: {0}")]
    Panicked(String),
}

impl ExecuteError {
    /// Stable name for API answers.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Training(error) => error.code(),
            Self::Artifact(_) => "artifact",
            Self::Store(_) => "database",
            Self::Storage(_) => "storage",
            Self::Panicked(_) => "internal",
        }
    }

    /// What the job waits for, in words for people, if it isn't its own trouble but the machine's, which passes.
    pub fn waits_for(&self) -> Option<&'static str> {
        let refused = match self {
            Self::Training(error) => error.io(),
            Self::Artifact(ArtifactError::Io { source, .. }) => Some(source),
            Self::Store(StoreError::Full) | Self::Storage(StorageError::Full { .. }) => return Some(NO_ROOM),
            Self::Storage(error) if error.is_passing() => {
                return Some("the server's storage can't be reached right now: the job goes on by itself when it can");
            }
            Self::Storage(StorageError::Denied { .. }) => {
                return Some(
                    "the server's storage refuses what the job needs: the job goes on by itself when that is put right",
                );
            }
            Self::Store(error) if error.is_passing() => {
                return Some("the server's database can't be written right now: the job goes on by itself when it can");
            }
            _ => None,
        };
        refused.filter(|refused| disk::is_full(refused)).map(|_| NO_ROOM)
    }
}

/// What a job is told that a full disk stopped.
const NO_ROOM: &str = "the server's disk is full: free some space in the data folder, and the job goes on by itself";

/// Trains, and publishes.
pub fn execute(input: &Input) -> Result<Done, ExecuteError> {
    let Input { context, job, lease, stop } = input;
    let Context { settings, store, storage, runtime, .. } = context;
    let (dataset, data) = context.training_data(job.dataset.id)?;
    let (bucket, team) = (context.bucket(), Team::new(input));
    let plan = context.plan(job.recipe, &bucket, Some(&team));
    let checkpoints = resume::checkpoints(input, &plan, &data)?;
    let mut recorder = Recorder { input, checkpoints: checkpoints.dir.clone(), lost: None };
    let trained = training::run(&plan, &data, Some(&checkpoints), &mut recorder, stop);
    if let Some(lost) = recorder.lost.or_else(|| bucket.trouble.take()).or_else(|| team.trouble.take()) {
        return Err(lost);
    }
    let trained = trained?;
    let version = match job.sweep {
        None => Some(runtime.block_on(store.reserve_version(job.id, *lease))?),
        Some(_) => {
            holds(input)?;
            None
        }
    };
    let dir = version.map_or_else(|| settings.trial_dir(job.id), |version| settings.model_dir(&job.model, version));
    if dir.exists() {
        // This job's alone: what lies there is an earlier attempt's that never was entered.
        std::fs::remove_dir_all(&dir).map_err(|source| ArtifactError::Io { path: dir.clone(), source })?;
    }
    let identity = Identity {
        model: job.model.to_string(),
        version: version.map_or(0, i64::unsigned_abs),
        dataset_id: dataset.id.to_string(),
        dataset_name: dataset.name.to_string(),
    };
    artifact::publish(&dir, trained.manifest(&plan, &data, identity), &trained.tensors, &trained.report)?;
    if storage.is_remote() {
        // A worker that was stopped for long may have lost the job, whose next worker keeps its artifact under the same name.
        holds(input)?;
        runtime.block_on(storage.keep_folder(&dir, MANIFEST))?;
    }
    Ok(done(&trained, version, data.classes.len() as u32))
}

fn done(trained: &Trained, version: Option<i64>, classes: u32) -> Done {
    let accuracy = trained.report.accuracy().unwrap_or_default();
    match version {
        Some(version) => Done::Version(Published { version, accuracy, precision: trained.precision, classes }),
        // Without a validation picture there is no loss, and nothing to be ahead of others for.
        None => Done::Trial(TrialResult { accuracy, loss: trained.report.loss().unwrap_or(f64::INFINITY) }),
    }
}

/// Whether the trial's folder is still this worker's to write.
fn holds(input: &Input) -> Result<(), StoreError> {
    let Input { context: Context { settings, store, runtime, .. }, job, lease, .. } = input;
    let beat = runtime.block_on(store.heartbeat(job.id, *lease, store::now(), settings.lease_ms()))?;
    if beat.still_mine { Ok(()) } else { Err(StoreError::LostLease) }
}

/// Turns events into rows, each committed before training goes on.
struct Recorder<'a> {
    input: &'a Input,
    /// Where the states after epochs lie.
    checkpoints: PathBuf,
    /// The error itself, which the observer's text would lose.
    lost: Option<ExecuteError>,
}

impl Recorder<'_> {
    /// An epoch's row, before which its state is where another worker finds it; afterwards the states before it aren't any more.
    async fn epoch(&self, epoch: &Epoch) -> Result<(), ExecuteError> {
        let Input { context: Context { store, storage, .. }, job, lease, .. } = self.input;
        let file = Place { phase: epoch.phase, epoch: epoch.epoch }.file();
        if storage.is_remote() {
            storage.keep(&self.checkpoints.join(&file)).await?;
        }
        store.record_epoch(job.id, *lease, epoch).await?;
        if storage.is_remote() {
            for kept in storage.list(&self.checkpoints).await? {
                if kept.name != file {
                    storage.remove(&self.checkpoints.join(&kept.name)).await?;
                }
            }
        }
        Ok(())
    }
}

impl Observer for Recorder<'_> {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        let Input { context: Context { store, runtime, .. }, job, lease, .. } = self.input;
        let written: Result<(), ExecuteError> = runtime.block_on(async {
            match event {
                Event::Features(plan) => Ok(store.record_features(job.id, *lease, plan).await?),
                Event::Progress(progress) => Ok(store.record_progress(job.id, *lease, progress).await?),
                Event::Epoch(epoch) => self.epoch(epoch).await,
                Event::Phase(report) => Ok(store.record_phase(job.id, *lease, report).await?),
            }
        });
        written.map_err(|error| {
            let text = error.to_string();
            self.lost = Some(error);
            ObserverError(text)
        })
    }
}
