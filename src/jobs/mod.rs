//! Jobs: the worker that runs them, and the supervisor that keeps workers alive. Their states are the store's. What a job would
//! publish may also come from elsewhere: `import`.

mod audit;
mod execute;
pub mod health;
pub mod import;
mod patience;
mod resume;
mod supervisor;
mod watch;
pub mod worker;

pub use health::WorkerHealth;
pub use import::import;
pub use patience::has_room;
pub use supervisor::Supervisor;
