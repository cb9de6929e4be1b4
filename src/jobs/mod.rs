//! Jobs: what states they go through, and how the worker processes that run them fare.

pub mod health;
pub mod state;

pub use health::WorkerHealth;
pub use state::{EventKind, JobState};
