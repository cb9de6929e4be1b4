//! Bottleneck features: activations at a layer whose input never changes, computed once for each picture's view, kept on
//! disk, reused every epoch and by every later run that sees the same pictures the same way.
//!
//! ```text
//! plan      what to keep, given a budget: layer and views        pure
//! extract   pictures → views → activations, a thread a core      the expensive part, once
//! group     … a few views at a time on each of them
//! share     a run's missing rows in shards, for others to help   pure
//! shelf     rows on disk: checked, compressed, found by content  no tensors
//! each      rows → tensors, read ahead of the network            every epoch
//! ```
//! A row is found by what decides its bytes: the shelf's name says weights, arithmetic, preprocessing and layer, its key
//! the picture's hash and the view. When nothing can be kept, [`FeatureStore::each`] computes what it is asked for.

mod crew;
mod divide;
mod each;
mod extract;
mod group;
mod help;
mod plan;
mod render;
mod rows;
mod share;
mod shelf;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub use extract::arithmetics;
pub use help::Helper;
pub use plan::{Planned, demand, plan};
pub use share::{Exchange, Finished, Helpers, InvalidNumbers, Numbers, Shard, SharingError, Standing};
pub use shelf::{SegmentState, ShelfError, is_of, remove_owner, segments as feature_segments, verify as verify_segment};

use super::progress::Reporter;
use super::sample::Sample;
use super::{Plan, TrainingData, TrainingError};
use crate::report::Stage;
use crate::vision::backbone::Backbone;
use crate::vision::layers::UnfreezeFrom;
use extract::{Extractor, Wanted};
use shelf::{RowKey, Shelf, Turn, Writer, evict, held};

/// How often another process that writes the same features is asked whether it has done.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes of the disk that are left to others, the database and models among them.
const RESERVE: u64 = 1 << 30;

/// Whose input a tensor is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The first layer that learns in the fine-tune phase.
    Boundary,
    /// The head, above the whole frozen body.
    Head,
}

/// The features of one run.
pub struct FeatureStore<'a> {
    extractor: Extractor<'a>,
    shelves: Option<Shelves>,
    root: PathBuf,
    budget: u64,
    exchange: Option<&'a dyn Exchange>,
    helpers: Option<&'a dyn Helpers>,
}

/// Where rows are kept.
struct Shelves {
    /// At the layer that the plan keeps.
    kept: Shelf,
    /// At the top of the body, unless that is what is kept.
    top: Option<Shelf>,
}

impl<'a> FeatureStore<'a> {
    /// Opens the store of a run; computes nothing.
    pub fn open(
        plan: &'a Plan<'a>,
        data: &'a TrainingData,
        backbone: Backbone,
        from: UnfreezeFrom,
        planned: &Planned,
    ) -> Result<Self, TrainingError> {
        let extractor = Extractor::new(plan, data, backbone, from, planned.kept.unwrap_or(from));
        let root = plan.features_dir.clone();
        let levels = extractor.levels;
        let shelves = match planned.kept {
            None => None,
            Some(_) => {
                let kept = Shelf::open(&root, &extractor.kept_name(), levels.kept.bytes())?;
                let top = match from {
                    UnfreezeFrom::NONE => None,
                    _ => Some(Shelf::open(&root, &extractor.top_name(), levels.top.bytes())?),
                };
                Some(Shelves { kept, top })
            }
        };
        let (exchange, helpers) = (plan.exchange, plan.helpers);
        Ok(Self { extractor, shelves, root, budget: planned.plan.budget_bytes, exchange, helpers })
    }

    /// Numbers a row that the head takes.
    pub const fn head_inputs(&self) -> usize {
        self.extractor.levels.top.numbers()
    }

    /// Sees to it that all rows of `samples` are kept: fetches what others computed, computes the rest, with others where there are
    /// any. Does nothing if nothing is kept.
    ///
    /// What is finished stays if the run ends in the middle, and isn't computed again. If another run computes the same
    /// features just now, waits for it and uses what it computed.
    pub fn ensure(&mut self, samples: &[Sample], reporter: &mut Reporter<'_>, stop: &AtomicBool) -> Result<(), TrainingError> {
        if self.missing(samples).is_empty() {
            return Ok(());
        }
        self.report(samples, reporter)?;
        self.gather(samples)?;
        let helpers = self.helpers.filter(|_| !self.missing(samples).is_empty());
        let turn = helpers.map(|helpers| self.turn(helpers, stop)).transpose()?;
        if let Some(helpers) = helpers {
            // Another run may have computed them while this one waited.
            self.gather(samples)?;
            self.divide(helpers, samples, reporter, stop)?;
        }
        // Those who have no turn for these very rows keep others from writing at all.
        self.compute_missing(samples, if turn.is_some() { Turn::Together } else { Turn::Alone }, reporter, stop)?;
        drop(turn);
        evict(&self.root, self.budget)?;
        Ok(())
    }

    /// What isn't kept yet, as far as is known.
    fn missing(&self, samples: &[Sample]) -> Vec<Wanted> {
        let shelves = self.shelves.as_ref();
        shelves.map_or_else(Vec::new, |shelves| self.extractor.missing(samples, &shelves.kept, shelves.top.as_ref()))
    }

    /// Says how many rows are there, and answers it.
    fn report(&self, samples: &[Sample], reporter: &mut Reporter<'_>) -> Result<usize, TrainingError> {
        let there = samples.len() - views(&self.missing(samples));
        reporter.progress(Stage::Features, 0, 0, there, samples.len())?;
        Ok(there)
    }

    /// Computes what is missing: what is too little to be divided, what others left out, or everything.
    fn compute_missing(
        &mut self,
        samples: &[Sample],
        turn: Turn,
        reporter: &mut Reporter<'_>,
        stop: &AtomicBool,
    ) -> Result<(), TrainingError> {
        if self.missing(samples).is_empty() {
            return Ok(());
        }
        let Some(writers) = self.writers(turn, stop)? else { return Ok(()) };
        self.refresh()?;
        let wanted = self.missing(samples);
        self.make_room(&wanted)?;
        let mut done = self.report(samples, reporter)?;
        self.compute(&wanted, writers, stop, || {
            done += 1;
            Ok(reporter.progress(Stage::Features, 0, 0, done, samples.len())?)
        })?;
        Ok(self.refresh()?)
    }

    /// Computes what is wanted and answers the segments that hold it; `told` after each view. Whatever ends it, what was computed is
    /// kept.
    fn compute(
        &mut self,
        wanted: &[Wanted],
        (mut kept, mut top): (Writer, Option<Writer>),
        stop: &AtomicBool,
        mut told: impl FnMut() -> Result<(), TrainingError>,
    ) -> Result<Vec<PathBuf>, TrainingError> {
        let Self { extractor, shelves: Some(shelves), exchange, .. } = self else { return Ok(Vec::new()) };
        let renderer = extractor.renderer;
        let mut closed = Vec::new();
        let mut close = |segment: Option<PathBuf>| -> Result<(), TrainingError> {
            if let (Some(segment), Some(exchange)) = (&segment, *exchange) {
                exchange.keep(segment)?;
            }
            closed.extend(segment);
            Ok(())
        };
        let extracted = extractor.extract(wanted, &shelves.kept, stop, |computed| {
            let key = renderer.key(computed.sample);
            if let Some(row) = computed.kept {
                close(kept.append(key, &row)?)?;
            }
            if let (Some(top), Some(row)) = (&mut top, computed.top) {
                close(top.append(key, &row)?)?;
            }
            told()
        });
        let ends = [Some(kept), top].map(|writer| writer.map_or(Ok(None), Writer::finish));
        let ended = ends.into_iter().try_for_each(|end| close(end?));
        extracted?;
        ended?;
        Ok(closed)
    }

    /// Makes room for what is wanted first, so that the disk holds the old and the new at no time.
    fn make_room(&self, wanted: &[Wanted]) -> Result<(), TrainingError> {
        evict(&self.root, self.budget.saturating_sub(self.extractor.bytes(wanted)))?;
        Ok(())
    }

    /// A right to write, as soon as no other process has one that excludes it; `None` if nothing is kept.
    fn writers(&self, turn: Turn, stop: &AtomicBool) -> Result<Option<(Writer, Option<Writer>)>, TrainingError> {
        let Some(shelves) = &self.shelves else { return Ok(None) };
        let content = &self.extractor.renderer.data.content_sha256;
        loop {
            if let Some(writers) = shelves.try_writers(content, turn)? {
                return Ok(Some(writers));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(TrainingError::Stopped);
            }
            thread::sleep(PAUSE);
        }
    }

    /// The segments that hold rows of `samples`.
    fn segments_of(&self, samples: &[Sample]) -> BTreeSet<PathBuf> {
        let keys: Vec<RowKey> = samples.iter().map(|&sample| self.extractor.renderer.key(sample)).collect();
        self.shelves.iter().flat_map(Shelves::each).flat_map(|shelf| shelf.segments_of(&keys)).collect()
    }

    fn refresh(&mut self) -> Result<(), ShelfError> {
        self.shelves.as_mut().map_or(Ok(()), Shelves::refresh)
    }
}

/// Views that are wanted.
fn views(wanted: &[Wanted]) -> usize {
    wanted.iter().map(|Wanted { views, .. }| views.len()).sum()
}

/// Bytes that features in `root` may take: what is `allowed`, and what the disk has room for.
pub fn budget(root: &Path, allowed: u64) -> Result<u64, TrainingError> {
    std::fs::create_dir_all(root).map_err(ShelfError::at(root))?;
    let free = crate::disk::free_bytes(root).map_err(ShelfError::at(root))?.saturating_sub(RESERVE);
    // What lies there already makes room when it has to.
    Ok(allowed.min(free.saturating_add(held(root)?)))
}

impl Shelves {
    /// A right to write to both, unless another process has one that excludes it.
    fn try_writers(&self, content_sha256: &str, turn: Turn) -> Result<Option<(Writer, Option<Writer>)>, ShelfError> {
        let Some(kept) = self.kept.try_writer(content_sha256, turn)? else { return Ok(None) };
        // Whoever has one of the two and not the other gives it back, so that two never wait for each other.
        match &self.top {
            None => Ok(Some((kept, None))),
            Some(top) => Ok(top.try_writer(content_sha256, turn)?.map(|top| (kept, Some(top)))),
        }
    }

    fn refresh(&mut self) -> Result<(), ShelfError> {
        self.kept.refresh()?;
        self.top.as_mut().map_or(Ok(()), Shelf::refresh)
    }

    fn each(&self) -> impl Iterator<Item = &Shelf> {
        std::iter::once(&self.kept).chain(&self.top)
    }
}
