//! What training tells the outside. It knows no database: an [`Observer`] turns events into rows or progress bars.

use crate::report::{Epoch, FeaturePlan, PhaseReport, Progress};

/// Something that happened in a run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// What the run keeps of the pictures between epochs; sent once, before anything is computed.
    Features(&'a FeaturePlan),
    /// How far the run is; sent a few times a second at most.
    Progress(&'a Progress),
    /// An epoch is complete.
    Epoch(&'a Epoch),
    /// A phase is complete.
    Phase(&'a PhaseReport),
}

/// Whoever listens to a run. Called on the training thread, which waits for the answer.
pub trait Observer {
    /// Takes note of an event.
    ///
    /// # Errors
    /// An event that couldn't be recorded ends the run: an epoch that nobody saw must not be built on.
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError>;
}

/// An event that couldn't be recorded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ObserverError(pub String);
