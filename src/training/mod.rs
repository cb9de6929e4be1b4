//! Training: two phases on bottleneck features, told to an [`Observer`], stopped between two batches.
//!
//! Nothing here knows of jobs, databases or HTTP: [`run`] takes plain data and answers plain data.

mod audit;
mod average;
mod checkpoint;
mod data;
mod embeddings;
mod error;
mod evaluate;
mod events;
mod features;
mod learner;
mod manifest;
mod mixup;
mod optimizer;
mod patience;
mod phase;
mod progress;
mod record;
mod run;
mod sample;
mod scope;
mod seeds;
mod shift;
mod weights;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

pub use audit::evidence;
pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints, Place, verify as verify_checkpoint};
pub use data::TrainingData;
pub use error::TrainingError;
pub use events::{Event, Observer, ObserverError};
pub use features::{
    Exchange, Finished, Helper, Helpers, InvalidNumbers, Numbers, SegmentState, Shard, SharingError, ShelfError, Standing,
    arithmetics, feature_segments, is_of, remove_owner, verify_segment,
};
pub use manifest::Identity;
pub use weights::{neighbours_from_tensors, outliers_from_tensors, tail_from_tensors};

use crate::artifact::NamedTensor;
use crate::recipe::Recipe;
use crate::report::Report;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::Precision;
use crate::vision::weights::BodyWeights;

/// What to train, and with what.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The recipe.
    pub recipe: Recipe,
    /// The ImageNet body.
    pub body: &'a BodyWeights,
    /// Folder of bottleneck features, shared between runs.
    pub features_dir: PathBuf,
    /// Bytes that the folder may take.
    pub feature_cache_bytes: u64,
    /// Where features are kept for other machines, if they are.
    pub exchange: Option<&'a dyn Exchange>,
    /// Who computes features with this run, if anybody does.
    pub helpers: Option<&'a dyn Helpers>,
}

/// What training came to.
#[derive(Debug)]
pub struct Trained {
    /// The layers that learnt, the head, where the classes lie, and pictures to compare others with.
    pub tensors: Vec<NamedTensor>,
    /// What the run found out.
    pub report: Report,
    /// The precision that it ran in.
    pub precision: Precision,
    /// First convolution among `tensors`.
    pub unfreeze_from: UnfreezeFrom,
}

/// Trains: split, bottleneck features, warm-up, fine-tune, a report after each phase and, if pictures were kept back for it, a
/// test.
///
/// Runs on the calling thread until done; `stop` ends it within a batch. With `checkpoints`, its state is on disk before an epoch
/// is told to the observer, and it goes on from the state that it is given.
///
/// # Errors
/// [`TrainingError::Stopped`] when told to stop; pictures, disk, memory or a diverging loss otherwise.
pub fn run(
    plan: &Plan<'_>,
    data: &TrainingData,
    checkpoints: Option<&Checkpoints>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Trained, TrainingError> {
    run::Run::prepare(plan, data, checkpoints, observer, stop)?.train()
}
