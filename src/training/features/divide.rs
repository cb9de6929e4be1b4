//! A run's missing rows, computed by several processes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::share::{Helpers, Shard, SharingError, Standing, cut};
use super::shelf::{evict, held, is_of};
use super::{FeatureStore, Turn};
use crate::report::Stage;
use crate::training::TrainingError;
use crate::training::progress::Reporter;
use crate::training::sample::Sample;

/// The turn to compute some features, given back when this is dropped.
pub(super) struct TurnTaken<'a>(&'a dyn Helpers);

impl Drop for TurnTaken<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<'a> FeatureStore<'a> {
    /// Waits for the turn.
    pub(super) fn turn(&self, helpers: &'a dyn Helpers, stop: &AtomicBool) -> Result<TurnTaken<'a>, TrainingError> {
        let (features, arithmetic) = (self.features(), self.extractor.arithmetic());
        while !helpers.turn(&features, arithmetic)? {
            if stop.load(Ordering::Relaxed) {
                return Err(TrainingError::Stopped);
            }
            helpers.await_turn();
        }
        Ok(TurnTaken(helpers))
    }

    /// Names the rows that a run like this one may compute.
    fn features(&self) -> String {
        format!("{} of {}", self.extractor.kept_name(), self.extractor.renderer.data.content_sha256)
    }

    /// Computes with others what is missing, if that is enough to be divided.
    ///
    /// (1) Cut what is missing into shards, and offer them; (2) fetch what others have finished, and compute the next shard that nobody
    /// has, until there is none; (3) wait for those that others are at.
    pub(super) fn divide(
        &mut self,
        helpers: &dyn Helpers,
        samples: &[Sample],
        reporter: &mut Reporter<'_>,
        stop: &AtomicBool,
    ) -> Result<(), TrainingError> {
        let shards = self.shards(samples);
        if shards.len() < 2 {
            return Ok(());
        }
        helpers.offer(&shards)?;
        self.make_room(&self.missing(samples))?;
        let mut done = self.report(samples, reporter)?;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(TrainingError::Stopped);
            }
            let Standing { finished, open } = helpers.standing()?;
            for shard in &finished {
                self.fetch(&shard.segments)?;
                // A number that isn't among them was never offered.
                done += shards.get(shard.number as usize).map_or(0, |shard| shard.samples.count() as usize);
            }
            reporter.progress(Stage::Features, 0, 0, done, samples.len())?;
            let next = helpers.next()?.and_then(|number| shards.get(number as usize));
            match next {
                Some(shard) => {
                    let samples_of = shard.samples.of(samples).unwrap_or_default();
                    self.compute_shard(&samples_of, stop, || {
                        done += 1;
                        Ok(reporter.progress(Stage::Features, 0, 0, done, samples.len())?)
                    })?;
                    helpers.finish(shard.number)?;
                }
                None if open == 0 => break,
                None => helpers.wait(),
            }
        }
        self.refresh()?;
        Ok(())
    }

    /// What is missing at the kept layer, in shards. Rows that only lack their top are this run's own business: little work, for which
    /// others would need the rows below.
    fn shards(&self, samples: &[Sample]) -> Vec<Shard> {
        let Some(shelves) = &self.shelves else { return Vec::new() };
        let missing = |(_, sample): &(u64, &Sample)| !shelves.kept.contains(&self.extractor.renderer.key(**sample));
        let numbers: Vec<u64> = (0..).zip(samples).filter(missing).map(|(number, _)| number).collect();
        cut(samples, &numbers)
    }

    /// Computes what is missing of some samples beside others who do the same with theirs, and answers the segments that hold it.
    pub(super) fn compute_shard(
        &mut self,
        samples: &[Sample],
        stop: &AtomicBool,
        told: impl FnMut() -> Result<(), TrainingError>,
    ) -> Result<Vec<PathBuf>, TrainingError> {
        let wanted = self.missing(samples);
        match self.writers(Turn::Together, stop)? {
            Some(writers) if !wanted.is_empty() => self.compute(&wanted, writers, stop, told),
            _ => Ok(Vec::new()),
        }
    }

    /// Fetches the segments that others computed for this data set, as far as there is room for them.
    pub(super) fn gather(&mut self, samples: &[Sample]) -> Result<(), TrainingError> {
        self.refresh()?;
        let (Some(exchange), Some(shelves)) = (self.exchange, &self.shelves) else { return Ok(()) };
        if self.missing(samples).is_empty() {
            return Ok(());
        }
        let content = &self.extractor.renderer.data.content_sha256;
        let mut wanted = Vec::new();
        for shelf in shelves.each() {
            for (file, bytes) in exchange.list(shelf.name())? {
                let path = shelf.dir().join(&file);
                if is_of(&file, content) && !path.exists() {
                    wanted.push((path, bytes));
                }
            }
        }
        let bytes: u64 = wanted.iter().map(|(_, bytes)| bytes).sum();
        evict(&self.root, self.budget.saturating_sub(bytes))?;
        let mut room = self.budget.saturating_sub(held(&self.root)?);
        let fits = |(path, bytes)| {
            room = room.checked_sub(bytes)?;
            Some(path)
        };
        exchange.fetch(&wanted.into_iter().map_while(fits).collect::<Vec<PathBuf>>())?;
        self.refresh()?;
        Ok(())
    }

    /// Fetches segments that others have just finished.
    fn fetch(&self, segments: &[String]) -> Result<(), TrainingError> {
        let (Some(exchange), Some(shelves)) = (self.exchange, &self.shelves) else { return Ok(()) };
        let content = &self.extractor.renderer.data.content_sha256;
        let mut paths = BTreeSet::new();
        for segment in segments {
            // Nothing else is fetched, whatever the database says.
            let known = segment.split_once('/').and_then(|(shelf, file)| {
                let of = shelves.each().find(|known| known.name() == shelf)?;
                is_of(file, content).then(|| of.dir().join(file))
            });
            paths.insert(known.ok_or_else(|| SharingError(format!("{segment:?} is no segment of this run's features")))?);
        }
        paths.retain(|path| !path.exists());
        exchange.fetch(&paths.into_iter().collect::<Vec<_>>())?;
        Ok(())
    }
}
