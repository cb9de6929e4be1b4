//! What a sweep is, from how many of its trials are in which state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SweepState {
    /// No trial has begun.
    Queued,
    /// Trials have begun, and not all are over.
    Running,
    /// Every trial is over.
    Done,
    /// Somebody cancelled it before every trial had ended, and now all are over.
    Cancelled,
}

/// How many trials are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrialCounts {
    /// They wait.
    pub queued: u64,
    /// Workers have them.
    pub running: u64,
    /// They can be published.
    pub succeeded: u64,
    /// They came to nothing.
    pub failed: u64,
    /// Somebody cancelled them.
    pub cancelled: u64,
}

impl TrialCounts {
    /// Those that aren't over.
    #[must_use]
    pub const fn unfinished(&self) -> u64 {
        self.queued + self.running
    }

    const fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }

    /// What a sweep of these is, given whether somebody asked to cancel it.
    pub(super) const fn state(&self, cancel_requested: bool) -> SweepState {
        match (self.unfinished(), self.running + self.ended()) {
            (0, _) if cancel_requested && self.cancelled > 0 => SweepState::Cancelled,
            (0, _) => SweepState::Done,
            (_, 0) => SweepState::Queued,
            _ => SweepState::Running,
        }
    }
}
