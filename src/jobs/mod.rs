//! Jobs: what states they go through, the worker that runs them, and the supervisor that keeps workers alive.

mod execute;
pub mod health;
pub mod state;
mod supervisor;
pub mod worker;

pub use health::WorkerHealth;
pub use state::{EventKind, JobState};
pub use supervisor::Supervisor;
