//! Progress at a pace that people can read and a database can bear.

use std::time::{Duration, Instant};

use super::events::{Event, Observer, ObserverError};
use crate::report::{Epoch, FeaturePlan, PhaseReport, Progress, Stage};

/// Least time between two progress events of a stage.
const INTERVAL: Duration = Duration::from_millis(500);

/// Tells an observer, with progress thinned out and dated.
pub struct Reporter<'a> {
    observer: &'a mut dyn Observer,
    /// The stage, when it began, and what share of it was done by then.
    stage: Option<(Stage, Instant, f64)>,
    told: Option<Instant>,
}

impl<'a> Reporter<'a> {
    /// A reporter that has told nothing yet.
    pub fn new(observer: &'a mut dyn Observer) -> Self {
        Self { observer, stage: None, told: None }
    }

    /// Notes that `done` of `total` steps of a stage are complete.
    pub fn progress(&mut self, phase: Stage, epoch: u32, epochs: u32, done: usize, total: usize) -> Result<(), ObserverError> {
        let now = Instant::now();
        let fraction = if total == 0 { 1.0 } else { done as f64 / total as f64 };
        let (began, before) = match self.stage {
            Some((stage, began, before)) if stage == phase => (began, before),
            _ => {
                self.stage = Some((phase, now, fraction));
                self.told = None;
                (now, fraction)
            }
        };
        if done < total && self.told.is_some_and(|told| now - told < INTERVAL) {
            return Ok(());
        }
        self.told = Some(now);
        let (elapsed, gained) = ((now - began).as_secs_f64(), fraction - before);
        let eta_seconds = (gained > 0.0 && elapsed > 0.0).then(|| elapsed / gained * (1.0 - fraction));
        self.observer.observe(Event::Progress(&Progress { phase, epoch, epochs, fraction, eta_seconds }))
    }

    /// Passes on what is kept between epochs.
    pub fn features(&mut self, plan: &FeaturePlan) -> Result<(), ObserverError> {
        self.observer.observe(Event::Features(plan))
    }

    /// Passes on an epoch.
    pub fn epoch(&mut self, epoch: &Epoch) -> Result<(), ObserverError> {
        self.observer.observe(Event::Epoch(epoch))
    }

    /// Passes on a phase's report.
    pub fn phase(&mut self, report: &PhaseReport) -> Result<(), ObserverError> {
        self.observer.observe(Event::Phase(report))
    }
}
