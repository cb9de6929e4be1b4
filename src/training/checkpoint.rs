//! A run's state after an epoch, on disk: enough to go on from there to the bit.
//!
//! A file an epoch, `warm_up-3.safetensors`: weights, optimiser state and their copies as tensors, the rest as JSON. There is no
//! generator's state in it, as each epoch draws from streams of its own ([`super::seeds`]).
//!
//! The file of an epoch goes when the next one's is there and has been recorded: so what was recorded last has its file.

mod file;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::learner::{Learner, LearnerState};
use super::{Plan, TrainingData, TrainingError};
use crate::recipe::Recipe;
use crate::report::{FeaturePlan, PhaseName, PhaseReport};
use crate::vision::device;
use crate::vision::int8::Profile;
use crate::vision::precision::Precision;

/// Raised with the shape of [`State`] and the names of the tensors.
const FORMAT: u32 = 1;

/// An epoch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its phase.
    pub phase: PhaseName,
    /// Its number, 1 and up.
    pub epoch: u32,
}

impl Place {
    /// The name of the file that holds the state after it.
    #[must_use]
    pub fn file(self) -> String {
        format!("{}-{}.safetensors", self.phase, self.epoch)
    }
}

/// Where a run keeps its state after each epoch, and what it goes on from.
#[derive(Debug)]
pub struct Checkpoints {
    /// The run's own folder; made when it is needed.
    pub dir: PathBuf,
    /// The state to go on from; none to begin.
    pub resume: Option<Checkpoint>,
}

/// What decides a run's numbers. Another run's checkpoint is of no use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Conditions {
    format: u32,
    recipe: Recipe,
    content_sha256: String,
    body_sha256: String,
    precision: Precision,
}

impl Conditions {
    /// Of the run of `plan` on `data`, on this machine.
    fn of(plan: &Plan<'_>, data: &TrainingData) -> Self {
        let precision = device::resolve(plan.recipe.precision, device::device(), Profile::of(plan.body).is_some());
        let (content_sha256, body_sha256) = (data.content_sha256.clone(), plan.body.sha256());
        Self { format: FORMAT, recipe: plan.recipe, content_sha256, body_sha256, precision }
    }
}

/// All of a run's state but its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    conditions: Conditions,
    /// What is kept of the pictures.
    pub features: FeaturePlan,
    pub feature_scale: f64,
    /// Of the phases before.
    pub phases: Vec<PhaseReport>,
    /// The last complete epoch.
    pub place: Place,
    pub learner: LearnerState,
}

/// A run's state after an epoch.
#[derive(Debug)]
pub struct Checkpoint {
    pub(super) state: State,
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

/// A checkpoint that can't be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("checkpoint {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It isn't what was written.
    #[error("checkpoint {path} is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It is of other conditions.
    #[error("checkpoint {path} was written with another backbone, in another precision or by another version of topgraft")]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
}

impl Checkpoint {
    /// Reads the state after `place` of the run of `plan` on `data`.
    ///
    /// # Errors
    /// [`CheckpointError`]: it isn't there, isn't whole, or isn't of this run.
    pub fn open(dir: &Path, place: Place, plan: &Plan<'_>, data: &TrainingData) -> Result<Self, CheckpointError> {
        let path = dir.join(place.file());
        let file::Content { state, tensors } = file::read(&path)?;
        let damaged = |reason: &dyn ToString| CheckpointError::Damaged { path: path.clone(), reason: reason.to_string() };
        // The conditions first: a state of another format may not even read as this one's.
        let any: serde_json::Value = serde_json::from_str(&state).map_err(|error| damaged(&error))?;
        let here = serde_json::to_value(Conditions::of(plan, data)).map_err(|error| damaged(&error))?;
        if any.get("conditions") != Some(&here) {
            return Err(CheckpointError::Foreign { path });
        }
        let state: State = serde_json::from_str(&state).map_err(|error| damaged(&error))?;
        if state.place != place {
            return Err(damaged(&format!("it is of {} epoch {}", state.place.phase, state.place.epoch)));
        }
        Ok(Self { state, path, tensors })
    }

    /// The tensors of a kind, one for each of `like` and of its size.
    pub(super) fn tensors(&self, kind: &str, like: &[&Tensor]) -> Result<Vec<Tensor>, CheckpointError> {
        let found = like.iter().enumerate().map(|(number, like)| {
            let name = name(kind, number);
            let tensor = self.tensors.get(&name).filter(|tensor| tensor.size() == like.size());
            tensor.map(Tensor::shallow_clone).ok_or_else(|| CheckpointError::Damaged {
                path: self.path.clone(),
                reason: format!("{name} isn't there, or not of size {:?}", like.size()),
            })
        });
        found.collect()
    }
}

/// Checks a checkpoint's file: that it holds what was written, of whatever run.
///
/// # Errors
/// [`CheckpointError`]: it isn't there, or isn't whole.
pub fn verify(path: &Path) -> Result<(), CheckpointError> {
    let file::Content { state, .. } = file::read(path)?;
    let damaged = |error: serde_json::Error| CheckpointError::Damaged { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_str::<serde_json::Value>(&state).map(drop).map_err(damaged)
}

/// Name of the tensor of a kind that belongs to the parameter of this number.
pub(super) fn name(kind: &str, number: usize) -> String {
    format!("{kind}.{number:03}")
}

/// Memory of a checkpoint that is written, for the next.
#[derive(Debug, Default)]
pub(super) struct Buffers(Vec<file::Row>);

/// A checkpoint on its way to the disk, if there is to be one.
#[derive(Debug)]
pub(super) struct Writing(Option<JoinHandle<Result<Buffers, CheckpointError>>>);

impl Writing {
    /// Whether nothing is left to wait for.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until it is there, and outlasts a power cut.
    pub fn wait(self) -> Result<Buffers, CheckpointError> {
        let Some(thread) = self.0 else { return Ok(Buffers::default()) };
        // A fault of the program is one here too.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Keeps a run's checkpoints, if it is to have any.
#[derive(Debug)]
pub(super) struct Keeper {
    dir: Option<PathBuf>,
    conditions: Conditions,
    features: FeaturePlan,
    feature_scale: f64,
    phases: Vec<PhaseReport>,
}

impl Keeper {
    /// A keeper for a run of these conditions, in `dir`.
    pub fn new(dir: Option<PathBuf>, plan: &Plan<'_>, data: &TrainingData, features: FeaturePlan, feature_scale: f64) -> Self {
        Self { dir, conditions: Conditions::of(plan, data), features, feature_scale, phases: Vec::new() }
    }

    /// Takes note of a complete phase.
    pub fn phase(&mut self, report: PhaseReport) {
        self.phases.push(report);
    }

    /// The complete phases.
    pub fn into_phases(self) -> Vec<PhaseReport> {
        self.phases
    }

    /// Begins to write the state after an epoch, as it is now, from `buffers`; the learner may go on.
    pub fn keep(&self, place: Place, learner: &Learner, ended: bool, buffers: Buffers) -> Result<Writing, TrainingError> {
        let Some(dir) = &self.dir else { return Ok(Writing(None)) };
        let state = State {
            conditions: self.conditions.clone(),
            features: self.features.clone(),
            feature_scale: self.feature_scale,
            phases: self.phases.clone(),
            place,
            learner: learner.state(ended),
        };
        // Plain data, whose only maps have text for keys: it serialises. An error would say so all the same.
        let refused = |source| CheckpointError::Io { path: dir.clone(), source };
        let text = serde_json::to_string(&state).map_err(|error| refused(io::Error::other(error)))?;
        let (dir, rows) = (dir.clone(), file::rows(&learner.tensors(), buffers.0)?);
        let write = move || file::write(&dir, &place.file(), text, &rows).map(|()| Buffers(rows));
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(write).map_err(refused)?;
        Ok(Writing(Some(thread)))
    }

    /// The epoch has been recorded: nothing else in the folder is of use any more.
    pub fn recorded(&self, place: Place) -> Result<(), TrainingError> {
        Ok(self.dir.as_ref().map_or(Ok(()), |dir| file::leave_only(dir, &place.file()))?)
    }
}
