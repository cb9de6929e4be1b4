//! What a phase leaves behind after each epoch: first its state on the disk, then its row.
//!
//! The state is written while the next epoch trains. Its row waits for it, so an epoch that was told of has its state, and the one
//! before is kept until then.

use std::mem;

use super::TrainingError;
use super::checkpoint::{Buffers, Keeper, Place, Writing};
use super::learner::Learner;
use super::progress::Reporter;
use crate::report::{Epoch, Stage};

/// An epoch that is told of when its state is on the disk.
struct Untold {
    epoch: Epoch,
    writing: Writing,
}

/// Keeps epochs' states and tells of them.
pub struct Record<'a, 'o> {
    reporter: &'a mut Reporter<'o>,
    keeper: &'a Keeper,
    untold: Option<Untold>,
    buffers: Buffers,
}

impl<'a, 'o> Record<'a, 'o> {
    /// A record with nothing in it.
    pub fn new(reporter: &'a mut Reporter<'o>, keeper: &'a Keeper) -> Self {
        Self { reporter, keeper, untold: None, buffers: Buffers::default() }
    }

    /// Notes that an epoch is complete, after which `learner` is as it is now; `ended` if it is the last. Begins to write that, and
    /// tells of the epoch before.
    pub fn note(&mut self, epoch: Epoch, learner: &Learner, ended: bool) -> Result<(), TrainingError> {
        self.settle()?;
        let writing = self.keeper.keep(place(&epoch), learner, ended, mem::take(&mut self.buffers))?;
        self.untold = Some(Untold { epoch, writing });
        Ok(())
    }

    /// Notes that `done` of `total` steps of a phase are complete, and tells of the epoch before if that can be told by now.
    pub fn progress(&mut self, phase: Stage, epoch: u32, epochs: u32, done: usize, total: usize) -> Result<(), TrainingError> {
        if self.untold.as_ref().is_some_and(|untold| untold.writing.is_over()) {
            self.settle()?;
        }
        Ok(self.reporter.progress(phase, epoch, epochs, done, total)?)
    }

    /// Waits until all that was noted is on the disk and told.
    pub fn settle(&mut self) -> Result<(), TrainingError> {
        let Some(Untold { epoch, writing }) = self.untold.take() else { return Ok(()) };
        self.buffers = writing.wait()?;
        self.reporter.epoch(&epoch)?;
        self.keeper.recorded(place(&epoch))
    }
}

const fn place(epoch: &Epoch) -> Place {
    Place { phase: epoch.phase, epoch: epoch.epoch }
}
