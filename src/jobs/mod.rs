//! Jobs: the worker that runs them, and the supervisor that keeps workers alive. Their states are the store's. A job's features may be
//! computed by several workers (`team` is how the job sees them, `help` what they do) and lie where those of other machines find them
//! (`exchange`). What a job would publish may also come from elsewhere: `import`.

mod audit;
mod context;
mod exchange;
mod execute;
pub mod health;
mod help;
pub mod import;
mod patience;
mod resume;
mod supervisor;
mod team;
mod watch;
pub mod worker;

pub use health::WorkerHealth;
pub use import::import;
pub use patience::has_room;
pub use supervisor::Supervisor;
