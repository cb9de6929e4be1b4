//! Jobs: the worker that runs them, and the supervisor that keeps workers alive. Their states are the store's.

mod execute;
pub mod health;
mod supervisor;
pub mod worker;

pub use health::WorkerHealth;
pub use supervisor::Supervisor;
