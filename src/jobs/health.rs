//! How the worker processes fare: the supervisor writes it down, `/readyz` reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A shared note; clones are the same note.
#[derive(Debug, Clone, Default)]
pub struct WorkerHealth {
    /// A plain lock, not an async one: it is held for a few instructions and never across an await.
    status: Arc<Mutex<WorkerStatus>>,
}

/// How the worker processes fare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkerStatus {
    /// Worker processes that the server keeps running; 0: workers are run elsewhere.
    pub wanted: u32,
    /// Those that run now.
    pub alive: u32,
    /// How often one that was wanted ended and another was started.
    pub restarts: u64,
    /// The last one that ended unasked.
    pub last_exit: Option<WorkerExit>,
}

/// A worker process that ended unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkerExit {
    /// When it was noticed.
    pub at: DateTime<Utc>,
    /// How it ended, such as `signal: 9 (SIGKILL)`.
    pub reason: String,
}

impl WorkerHealth {
    /// A note of `wanted` workers, none of them alive yet.
    #[must_use]
    pub fn new(wanted: u32) -> Self {
        let status = WorkerStatus { wanted, ..WorkerStatus::default() };
        Self { status: Arc::new(Mutex::new(status)) }
    }

    /// A worker process runs.
    pub fn started(&self) {
        let mut status = self.lock();
        status.alive += 1;
    }

    /// A worker process ended because it was asked to.
    pub fn stopped(&self) {
        let mut status = self.lock();
        status.alive = status.alive.saturating_sub(1);
    }

    /// A worker process ended unasked; another is about to be started.
    pub fn exited(&self, reason: impl Into<String>) {
        let mut status = self.lock();
        status.alive = status.alive.saturating_sub(1);
        status.restarts += 1;
        status.last_exit = Some(WorkerExit { at: Utc::now(), reason: reason.into() });
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, WorkerStatus> {
        // No code that could panic runs under the lock, and a count that is one off harms nothing.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_the_same_note() {
        let health = WorkerHealth::new(2);
        let supervisor = health.clone();
        supervisor.started();
        supervisor.started();
        supervisor.exited("signal: 9 (SIGKILL)");
        let status = health.status();
        assert_eq!((status.wanted, status.alive, status.restarts), (2, 1, 1));
        assert_eq!(status.last_exit.unwrap().reason, "signal: 9 (SIGKILL)");
        supervisor.stopped();
        assert_eq!(health.status().alive, 0);
    }
}
