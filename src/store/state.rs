//! The state machine of a job: `queued → running → succeeded | failed | cancelled`.
//!
//! `queued → cancelled` is a job cancelled before it began. `running → queued` is a worker that stopped or died: the job
//! goes on with the next. `queued → failed` doesn't exist: only an attempt can fail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// It published a version or, as a trial of a sweep, can be published.
    Succeeded,
    /// It came to nothing; its error says why.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Its name in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether `next` may follow.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Cancelled),
            // Running again: another worker took the job over.
            Self::Running => true,
            Self::Succeeded | Self::Failed | Self::Cancelled => false,
        }
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no state or kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of those known")]
pub struct Unknown(String);

impl std::str::FromStr for JobState {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| Unknown(text.to_owned()))
    }
}

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The job's state changed.
    State,
    /// The job begins anew, since it can't go on from where it was: what earlier events said of epochs no longer holds.
    Restarted,
    /// What it keeps of the pictures between epochs.
    Features,
    /// How far it is. Only the latest one is kept.
    Progress,
    /// An epoch is complete.
    Epoch,
    /// A phase is complete.
    Report,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::State, Self::Restarted, Self::Features, Self::Progress, Self::Epoch, Self::Report];

    /// Its name in JSON, in the database and as an SSE event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Restarted => "restarted",
            Self::Features => "features",
            Self::Progress => "progress",
            Self::Epoch => "epoch",
            Self::Report => "report",
        }
    }
}

impl std::str::FromStr for EventKind {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| Unknown(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json_and_read_back() {
        for state in JobState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("Queued".parse::<JobState>().is_err());
    }

    #[test]
    fn nothing_follows_an_end() {
        for state in JobState::ALL {
            let followed = JobState::ALL.into_iter().any(|next| state.may_become(next));
            assert_eq!(followed, !state.is_terminal(), "{state}");
        }
        assert!(!JobState::Queued.may_become(JobState::Succeeded));
    }
}
