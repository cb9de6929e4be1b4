//! Why a run ended early.

use std::io;

use super::{CheckpointError, InvalidNumbers, ObserverError, SharingError, ShelfError};
use crate::dataset::split::SplitError;
use crate::report::PhaseName;
use crate::vision::picture::PictureError;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// It was told to.
    #[error("stopped")]
    Stopped,
    /// Neither phase has epochs.
    #[error("nothing to train: give warm_up.epochs or fine_tune.epochs at least 1")]
    NothingToTrain,
    /// A class can't be divided.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// An accepted picture no longer decodes.
    #[error("{path} can no longer be decoded: {source}; upload the data set again")]
    Picture {
        /// The picture.
        path: String,
        /// Why.
        source: PictureError,
    },
    /// The data set's pictures can't be read.
    #[error("the data set's pictures can't be read: {0}")]
    Pack(io::Error),
    /// The feature store can't be read or written.
    #[error("bottleneck features: {0}")]
    Features(#[from] ShelfError),
    /// Those that features are shared with can't be reached, or don't fit.
    #[error("features can't be shared: {0}")]
    Sharing(#[from] SharingError),
    /// The state after an epoch can't be written or used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The loss is no longer a number.
    #[error(
        "the loss of {phase} is no longer a number in epoch {epoch}: lower {phase}.optimizer.learning_rate (it is {learning_rate})"
    )]
    Diverged {
        /// In which phase.
        phase: PhaseName,
        /// In which epoch.
        epoch: u32,
        /// With which step size.
        learning_rate: f64,
    },
    /// What happened couldn't be recorded.
    #[error("an event couldn't be recorded: {0}")]
    Observer(#[from] ObserverError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl From<InvalidNumbers> for TrainingError {
    fn from(invalid: InvalidNumbers) -> Self {
        Self::Sharing(SharingError(invalid.to_string()))
    }
}

impl TrainingError {
    /// What the file system said, if it was that which refused.
    #[must_use]
    pub const fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Pack(source)
            | Self::Features(ShelfError::Io { source, .. })
            | Self::Checkpoint(CheckpointError::Io { source, .. }) => Some(source),
            _ => None,
        }
    }

    /// Stable name for API answers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::NothingToTrain => "nothing_to_train",
            Self::Split(_) => "class_too_small",
            Self::Picture { .. } | Self::Pack(_) => "dataset_unreadable",
            Self::Features(_) => "feature_store",
            Self::Sharing(_) => "not_shared",
            Self::Checkpoint(_) => "checkpoint",
            Self::Diverged { .. } => "diverged",
            Self::Observer(_) => "not_recorded",
            Self::Torch(_) => "torch",
        }
    }
}
