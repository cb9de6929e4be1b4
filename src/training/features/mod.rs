//! Bottleneck features: activations at a layer whose input never changes, computed once for each picture's view, kept on
//! disk, reused every epoch and by every later run that sees the same pictures the same way.
//!
//! ```text
//! plan      what to keep, given a budget: layer and views        pure
//! extract   pictures → views → activations, a thread a core      the expensive part, once
//! shelf     rows on disk: checked, compressed, found by content  no tensors
//! each      rows → tensors, read ahead of the network            every epoch
//! ```
//! A row is found by what decides its bytes: the shelf's name says weights, arithmetic, preprocessing and layer, its key
//! the picture's hash and the view. When nothing can be kept, [`FeatureStore::each`] computes what it is asked for.

mod crew;
mod each;
mod extract;
mod plan;
mod render;
mod rows;
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub use plan::{Planned, demand, plan};
pub use shelf::{SegmentState, ShelfError, remove_owner, segments as feature_segments, verify as verify_segment};

use super::progress::Reporter;
use super::sample::Sample;
use super::{Plan, TrainingData, TrainingError};
use crate::report::Stage;
use crate::vision::backbone::Backbone;
use crate::vision::layers::UnfreezeFrom;
use extract::{Extractor, Wanted};
use shelf::{RowKey, Shelf, Writer, evict, held};

/// How often another process that writes the same features is asked whether it has done.
const TURN: Duration = Duration::from_millis(200);

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
        plan: &Plan<'_>,
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
        Ok(Self { extractor, shelves, root, budget: planned.plan.budget_bytes })
    }

    /// Numbers a row that the head takes.
    pub const fn head_inputs(&self) -> usize {
        self.extractor.levels.top.numbers()
    }

    /// Computes and keeps what isn't kept yet of `samples`. Does nothing if nothing is kept.
    ///
    /// What is finished stays if the run ends in the middle, and isn't computed again. If another process writes the same
    /// features just now, waits for it and uses what it wrote.
    pub fn ensure(&mut self, samples: &[Sample], reporter: &mut Reporter<'_>, stop: &AtomicBool) -> Result<(), TrainingError> {
        let Self { extractor, shelves, root, budget } = self;
        let Some(shelves) = shelves else { return Ok(()) };
        let there = |wanted: &[Wanted]| samples.len() - wanted.iter().map(|Wanted { views, .. }| views.len()).sum::<usize>();
        let wanted = extractor.missing(samples, &shelves.kept, shelves.top.as_ref());
        if wanted.is_empty() {
            return Ok(());
        }
        reporter.progress(Stage::Features, 0, 0, there(&wanted), samples.len())?;
        let (mut kept, mut top) = shelves.writers(&extractor.renderer.data.content_sha256, stop)?;
        // Another process may have written them while this one waited.
        shelves.refresh()?;
        let wanted = extractor.missing(samples, &shelves.kept, shelves.top.as_ref());
        // Room first, so that the disk holds the old and the new at no time.
        evict(root, budget.saturating_sub(extractor.bytes(&wanted)))?;
        let mut done = there(&wanted);
        let renderer = extractor.renderer;
        let extracted = extractor.extract(&wanted, &shelves.kept, stop, |computed| {
            let key = renderer.key(computed.sample);
            if let Some(row) = computed.kept {
                kept.append(key, &row)?;
            }
            if let (Some(top), Some(row)) = (&mut top, computed.top) {
                top.append(key, &row)?;
            }
            done += 1;
            Ok(reporter.progress(Stage::Features, 0, 0, done, samples.len())?)
        });
        // Whatever ended it, what was computed is kept.
        kept.finish()?;
        top.map_or(Ok(()), Writer::finish)?;
        extracted?;
        shelves.refresh()?;
        evict(root, *budget)?;
        Ok(())
    }
}

/// Bytes that features in `root` may take: what is `allowed`, and what the disk has room for.
pub fn budget(root: &Path, allowed: u64) -> Result<u64, TrainingError> {
    std::fs::create_dir_all(root).map_err(ShelfError::at(root))?;
    let free = crate::disk::free_bytes(root).map_err(ShelfError::at(root))?.saturating_sub(RESERVE);
    // What lies there already makes room when it has to.
    Ok(allowed.min(free.saturating_add(held(root)?)))
}

impl Shelves {
    /// The right to write, as soon as no other process has it.
    fn writers(&self, content_sha256: &str, stop: &AtomicBool) -> Result<(Writer, Option<Writer>), TrainingError> {
        loop {
            if let Some(kept) = self.kept.try_writer(content_sha256)? {
                match &self.top {
                    None => return Ok((kept, None)),
                    // Whoever has one of the two and not the other gives it back, so that two never wait for each other.
                    Some(top) => {
                        if let Some(top) = top.try_writer(content_sha256)? {
                            return Ok((kept, Some(top)));
                        }
                    }
                }
            }
            if stop.load(Ordering::Relaxed) {
                return Err(TrainingError::Stopped);
            }
            thread::sleep(TURN);
        }
    }

    fn refresh(&mut self) -> Result<(), ShelfError> {
        self.kept.refresh()?;
        self.top.as_mut().map_or(Ok(()), Shelf::refresh)
    }
}
