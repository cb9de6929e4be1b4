//! Computing for a run that another process has.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::extract::in_arithmetic;
use super::share::{Numbers, SharingError};
use super::{FeatureStore, Planned};
use crate::report::FeaturePlan;
use crate::training::sample::Sample;
use crate::training::scope::Scope;
use crate::training::{Plan, TrainingData, TrainingError};
use crate::vision::backbone::Backbone;
use crate::vision::device;

/// Computes shards of another's run.
pub struct Helper<'a> {
    store: FeatureStore<'a>,
    samples: Vec<Sample>,
}

impl<'a> Helper<'a> {
    /// Makes ready for the run that has this plan, keeps these `features` and computes in the arithmetic of this name: one of
    /// [`super::arithmetics`].
    ///
    /// # Errors
    /// An arithmetic that isn't; otherwise as [`crate::training::run`].
    pub fn new(
        plan: &'a Plan<'a>,
        data: &'a TrainingData,
        features: FeaturePlan,
        arithmetic: &str,
    ) -> Result<Self, TrainingError> {
        let device = device::device();
        let precision = in_arithmetic(plan.body, device, arithmetic);
        let precision = precision.ok_or_else(|| SharingError(format!("this machine doesn't compute in {arithmetic}")))?;
        let scope = Scope::new(&plan.recipe, data)?;
        let mut planned = Planned::again(features);
        // The other machine's disk is another's.
        planned.plan.budget_bytes = super::budget(&plan.features_dir, plan.feature_cache_bytes)?;
        let samples = scope.samples(&plan.recipe, planned.plan.views);
        let backbone = Backbone::new(plan.body, precision, device, scope.from)?;
        Ok(Self { store: FeatureStore::open(plan, data, backbone, scope.from, &planned)?, samples })
    }

    /// Computes the rows of these samples that aren't here, and answers how many that were and the segments that hold all of them, each a
    /// shelf's name, `/` and its own.
    ///
    /// # Errors
    /// Samples that the run doesn't have; otherwise as [`crate::training::run`].
    pub fn compute(&mut self, numbers: &Numbers, stop: &AtomicBool) -> Result<(u64, Vec<String>), TrainingError> {
        let samples = numbers.of(&self.samples);
        let samples = samples.ok_or_else(|| SharingError(format!("the run hasn't all of the samples {numbers}")))?;
        self.store.make_room(&self.store.missing(&samples))?;
        let mut computed = 0;
        let closed = self.store.compute_shard(&samples, stop, || {
            computed += 1;
            Ok(())
        })?;
        self.store.refresh()?;
        let segments = self.store.segments_of(&samples);
        // Those of earlier runs may not be kept any more.
        let mut earlier = segments.iter().filter(|segment| !closed.contains(segment));
        if let Some(exchange) = self.store.exchange {
            earlier.try_for_each(|segment| exchange.keep(segment))?;
        }
        Ok((computed, segments.iter().map(|segment| name(segment)).collect()))
    }
}

/// A segment's name with its shelf's; both are plain text.
fn name(segment: &Path) -> String {
    let mut parts: Vec<_> = segment.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.reverse();
    parts.join("/")
}
