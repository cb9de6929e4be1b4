//! What can go wrong, sorted by who has to act: the client (not found, conflict), the worker (lost lease), the operator.

mod machine;

use crate::disk::{Trouble, trouble};
use crate::store::JobState;

use super::DatasetState;

/// Why the database didn't do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such thing.
    #[error(transparent)]
    NotFound(#[from] Missing),
    /// It is there, but not in a state that allows this.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// More than the key may have.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// The worker's claim on the job no longer holds: somebody else has it, or it is over.
    #[error("the claim on this job no longer holds")]
    LostLease,
    /// A row that this version can't read.
    #[error("the database holds a {what} that can't be read: {detail}")]
    Damaged {
        /// Which column.
        what: String,
        /// What is wrong.
        detail: String,
    },
    /// Its disk, or a quota on it, is used up. Nothing of the transaction was written.
    #[error("the database has no room on its disk")]
    Full,
    /// Others kept it locked for too long.
    #[error("the database was kept locked by others")]
    Busy,
    /// Its file can't be opened, read or written; its server doesn't answer.
    #[error("the database can't be used: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database itself.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A data set.
    #[error("there is no such dataset")]
    Dataset,
    /// A class of a data set.
    #[error("the dataset has no such class")]
    Class,
    /// A picture of a data set.
    #[error("the dataset has no such image")]
    Image,
    /// An audit of a data set.
    #[error("the dataset hasn't been audited: POST to this address to have it done")]
    Audit,
    /// A job.
    #[error("there is no such job")]
    Job,
    /// A sweep.
    #[error("there is no such sweep")]
    Sweep,
    /// A trial of a sweep.
    #[error("the sweep has no such trial")]
    Trial,
    /// A model.
    #[error("there is no such model")]
    Model,
    /// A version of a model.
    #[error("the model has no such version")]
    Version,
    /// An alias of a model.
    #[error("the model has no such alias")]
    Alias,
    /// A key for the API.
    #[error("there is no such key: `topgraft keys list` lists them")]
    Key,
}

impl Missing {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Dataset => "dataset_not_found",
            Self::Class => "class_not_found",
            Self::Image => "image_not_found",
            Self::Audit => "audit_not_found",
            Self::Job => "job_not_found",
            Self::Sweep => "sweep_not_found",
            Self::Trial => "trial_not_found",
            Self::Model => "model_not_found",
            Self::Version => "version_not_found",
            Self::Alias => "alias_not_found",
            Self::Key => "key_not_found",
        }
    }
}

/// What a key may not have more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverQuota {
    /// Bytes of data sets.
    #[error(
        "the datasets of this key may take {most} bytes, and there is no room for this one beside {stored}: delete some of them"
    )]
    StoredBytes {
        /// How many they take.
        stored: u64,
        /// How many they may.
        most: u64,
    },
    /// Unfinished jobs.
    #[error(
        "{unfinished} jobs of this key are unfinished, and with {asked} more there would be more than the {most} that there \
         may: wait for some, or cancel them"
    )]
    UnfinishedJobs {
        /// How many there are.
        unfinished: u64,
        /// How many were to come.
        asked: u64,
        /// How many there may be.
        most: u64,
    },
}

/// A state that doesn't allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another data set has the name.
    #[error("another dataset has this name: choose another, or delete that one")]
    DatasetNameTaken,
    /// The data set is still being read.
    #[error("the dataset is still being read: wait until its state is ready or failed")]
    DatasetIngesting,
    /// The data set failed, so nothing can be learnt from it.
    #[error("the dataset failed and can't be trained on: its error says what to change; upload it again")]
    DatasetFailed,
    /// Unfinished jobs need the data set.
    #[error("{jobs} unfinished jobs need this dataset: cancel them or wait for them")]
    DatasetInUse {
        /// How many.
        jobs: u64,
    },
    /// Another request with the key is being answered, or was answered just now.
    #[error("a request with this idempotency key is being answered: send it again in a moment")]
    KeyInUse,
    /// The job is over.
    #[error("the job is over: its state is {0}")]
    JobFinished(JobState),
    /// All trials of the sweep are over.
    #[error("the sweep is over: there is nothing to cancel")]
    SweepFinished,
    /// Trials of the sweep aren't over.
    #[error("{trials} trials of the sweep aren't over: cancel it or wait for them")]
    SweepUnfinished {
        /// How many.
        trials: u64,
    },
    /// There is nothing to publish yet.
    #[error("no trial of the sweep has succeeded yet: wait for one")]
    NoTrialSucceeded,
    /// The trial can't be published.
    #[error("only a trial that succeeded can be published, and the state of this one is {0}")]
    TrialNotSucceeded(JobState),
}

impl Conflict {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DatasetNameTaken => "dataset_name_taken",
            Self::DatasetIngesting => "dataset_ingesting",
            Self::DatasetFailed => "dataset_failed",
            Self::DatasetInUse { .. } => "dataset_in_use",
            Self::KeyInUse => "idempotency_key_in_use",
            Self::JobFinished(_) => "job_finished",
            Self::SweepFinished => "sweep_finished",
            Self::SweepUnfinished { .. } => "sweep_unfinished",
            Self::NoTrialSucceeded => "no_trial_succeeded",
            Self::TrialNotSucceeded(_) => "trial_not_succeeded",
        }
    }

    /// Why a data set in this state can't be used; `None` if it can.
    #[must_use]
    pub const fn of_dataset(state: DatasetState) -> Option<Self> {
        match state {
            DatasetState::Ready => None,
            DatasetState::Ingesting => Some(Self::DatasetIngesting),
            DatasetState::Failed => Some(Self::DatasetFailed),
        }
    }
}

impl StoreError {
    /// Whether it is the machine's trouble, which passes: the same may be asked for again.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Full | Self::Busy | Self::Unavailable(_))
    }

    /// A refusal of the file system around the database's file.
    pub(super) fn io(error: std::io::Error) -> Self {
        match trouble(&error) {
            Some(Trouble::Full) => Self::Full,
            Some(Trouble::Unavailable) => Self::Unavailable(error.into()),
            None => Self::database(error),
        }
    }

    pub(super) fn database(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Database(error.into())
    }

    pub(super) fn damaged(what: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Damaged { what: what.into(), detail: detail.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(constraint) {
            Some(Broken::DatasetName) => Conflict::DatasetNameTaken.into(),
            None => machine::sorted(error),
        }
    }
}

/// The constraints whose breach is a client's doing; breaches of any other are a mistake in this code.
enum Broken {
    DatasetName,
}

fn constraint(error: &dyn sqlx::error::DatabaseError) -> Option<Broken> {
    // PostgreSQL names the constraint; SQLite gives table and column in the message.
    let breaks = |name: &str, column: &str| error.constraint() == Some(name) || error.message().ends_with(column);
    (error.is_unique_violation() && breaks("datasets_name_key", ": datasets.name")).then_some(Broken::DatasetName)
}
