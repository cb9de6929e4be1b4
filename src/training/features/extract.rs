//! From pictures to rows.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use tch::{Device, Tensor};

use super::crew::Crew;
use super::group::{Desk, groups};
use super::render::Renderer;
use super::rows::{Rows, bytes_of};
use super::shelf::{Packed, Shelf};
use super::{Plan, Target};
use crate::training::sample::Sample;
use crate::training::{TrainingData, TrainingError};
use crate::vision::augmentation::View;
use crate::vision::backbone::Backbone;
use crate::vision::device;
use crate::vision::int8::Profile;
use crate::vision::layers::{CONVS, UnfreezeFrom};
use crate::vision::precision::Precision;
use crate::vision::weights::BodyWeights;

/// Pictures a forward pass on a GPU.
const GPU_BATCH: usize = 64;

/// A picture's views that are to be computed.
pub struct Wanted {
    pub image: usize,
    pub views: Vec<WantedView>,
}

/// Which rows of a view are missing; one of them at least.
#[derive(Debug, Clone, Copy)]
pub struct WantedView {
    pub view: View,
    pub kept: bool,
    pub top: bool,
}

/// What was computed of a view.
pub struct Computed {
    pub sample: Sample,
    pub kept: Option<Packed>,
    pub top: Option<Packed>,
}

/// How far a row is from the pictures and from the layers that learn.
#[derive(Debug, Clone, Copy)]
pub struct Levels {
    /// The freeze boundary.
    pub from: UnfreezeFrom,
    /// Rows at the layer that is kept: the boundary or one below it.
    pub kept: Rows,
    /// Rows at the top of the body. If no convolution learns they are the frozen layers' own.
    pub top: Rows,
}

impl Levels {
    fn new(backbone: &Backbone, from: UnfreezeFrom, kept: UnfreezeFrom, input_size: u32) -> Self {
        let frozen = backbone.frozen_kind();
        let top = if from == UnfreezeFrom::NONE { frozen } else { device::kind(backbone.precision().learning()) };
        let rows = |level, kind| Rows::new(level, input_size, kind);
        Self { from, kept: rows(kept, frozen), top: rows(UnfreezeFrom::NONE, top) }
    }

    /// Activations at the kept layer as the first learning layer takes them, or the head.
    pub fn lift(&self, x: &Tensor, target: Target, backbone: &Backbone) -> Result<Tensor, TrainingError> {
        let from = self.from.frozen();
        let x = backbone.handed_over(&backbone.frozen(x, self.kept.passed(), from)?, from)?;
        match target {
            Target::Boundary => Ok(x),
            Target::Head => Ok(backbone.upper(&x, from, CONVS.len())?),
        }
    }
}

fn arithmetic(body: &BodyWeights, precision: Precision, device: Device) -> String {
    let weights: String = body.sha256().chars().take(16).collect();
    let scales = Profile::of(body).filter(|_| precision.is_int8());
    let scales = scales.map(|profile| format!("-{}", profile.id())).unwrap_or_default();
    let place = if device.is_cuda() { "-cuda" } else { "" };
    format!("{weights}-{}{scales}{place}", precision.as_str())
}

/// The arithmetics that are fast on this process's device, with the weights of `body`, by name.
#[must_use]
pub fn arithmetics(body: &BodyWeights) -> Vec<String> {
    let device = device::device();
    let fast = device::fast(device, Profile::of(body).is_some());
    fast.into_iter().map(|precision| arithmetic(body, precision, device)).collect()
}

/// The precision of an arithmetic by its name, if it is one of [`arithmetics`].
pub fn in_arithmetic(body: &BodyWeights, device: Device, name: &str) -> Option<Precision> {
    let fast = device::fast(device, Profile::of(body).is_some());
    fast.into_iter().find(|precision| arithmetic(body, *precision, device) == name)
}

/// Computes rows.
pub struct Extractor<'a> {
    pub renderer: Renderer<'a>,
    pub backbone: Backbone,
    pub levels: Levels,
    crew: Crew,
    /// Names weights, precision and kind of device.
    arithmetic: String,
}

impl<'a> Extractor<'a> {
    /// Rows at `kept` for learning from `from` up.
    pub fn new(plan: &Plan<'_>, data: &'a TrainingData, backbone: Backbone, from: UnfreezeFrom, kept: UnfreezeFrom) -> Self {
        let preprocessing = plan.recipe.preprocessing();
        let renderer = Renderer { data, preprocessing, strengths: plan.recipe.augmentation.strengths };
        let arithmetic = arithmetic(plan.body, backbone.precision(), backbone.device());
        let levels = Levels::new(&backbone, from, kept, preprocessing.input_size);
        Self { renderer, levels, crew: Crew::new(&backbone), backbone, arithmetic }
    }

    /// Names weights, precision and kind of device: who computes in the same arithmetic can compute this one's rows.
    pub fn arithmetic(&self) -> &str {
        &self.arithmetic
    }

    fn name(&self) -> String {
        format!("{}-{}", self.arithmetic, self.renderer.preprocessing.cache_key())
    }

    /// Name of the shelf of kept rows: all that decides their bytes but the picture and the view.
    pub fn kept_name(&self) -> String {
        format!("{}-{}", self.name(), self.levels.kept.level().boundary())
    }

    /// Name of the shelf of rows at the top of the body.
    pub fn top_name(&self) -> String {
        format!("{}-{}-learning-from-{}", self.name(), UnfreezeFrom::NONE.boundary(), self.levels.from.boundary())
    }

    /// What is missing of `samples`, a picture at a time.
    pub fn missing(&self, samples: &[Sample], kept: &Shelf, top: Option<&Shelf>) -> Vec<Wanted> {
        let mut wanted: BTreeMap<usize, Vec<WantedView>> = BTreeMap::new();
        for &sample in samples {
            let key = self.renderer.key(sample);
            let view =
                WantedView { view: sample.view, kept: !kept.contains(&key), top: top.is_some_and(|top| !top.contains(&key)) };
            if view.kept || view.top {
                wanted.entry(sample.image).or_default().push(view);
            }
        }
        wanted.into_iter().map(|(image, views)| Wanted { image, views }).collect()
    }

    /// Most bytes that the rows `wanted` take.
    pub fn bytes(&self, wanted: &[Wanted]) -> u64 {
        let row = |wanted: bool, rows: &Rows| if wanted { rows.bytes() as u64 } else { 0 };
        let views = wanted.iter().flat_map(|wanted| &wanted.views);
        views.map(|view| row(view.kept, &self.levels.kept) + row(view.top, &self.levels.top)).sum()
    }

    /// Computes what is wanted; `take` gets every view on the calling thread, in no particular order. What is on the shelf
    /// already is read instead of computed.
    pub fn extract(
        &mut self,
        wanted: &[Wanted],
        shelf: &Shelf,
        stop: &AtomicBool,
        take: impl FnMut(Computed) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        if self.in_batches() {
            return self.extract_in_batches(wanted, stop, take);
        }
        let together = self.backbone.together(self.levels.from.frozen());
        let desk = Desk { renderer: self.renderer, levels: self.levels, shelf, together };
        let groups = groups(wanted, together);
        let work = |backbone: &Backbone, item: usize, hand_over: &mut dyn FnMut(Computed) -> bool| {
            desk.compute(backbone, groups[item], hand_over)
        };
        self.crew.each(groups.len(), stop, work, take)
    }

    /// Rows at the kept layer of `samples`, in their order.
    pub fn compute(&mut self, samples: &[Sample], stop: &AtomicBool) -> Result<Vec<u8>, TrainingError> {
        let (renderer, levels, in_batches) = (self.renderer, self.levels, self.in_batches());
        let mut parts = vec![Vec::new(); samples.len()];
        let work = |backbone: &Backbone, item: usize, hand_over: &mut dyn FnMut((usize, Vec<u8>)) -> bool| {
            let pixels = renderer.render(samples[item], &mut None)?;
            let row = if in_batches || levels.kept.passed() == 0 {
                pixels
            } else {
                bytes_of(&backbone.frozen(&backbone.pixels(&pixels, renderer.side())?, 0, levels.kept.passed())?)?
            };
            hand_over((item, row));
            Ok(())
        };
        self.crew.each(samples.len(), stop, work, |(item, row)| {
            parts[item] = row;
            Ok(())
        })?;
        let rows = parts.concat();
        if !in_batches || levels.kept.passed() == 0 {
            return Ok(rows);
        }
        bytes_of(&self.backbone.frozen(&self.backbone.pixels(&rows, renderer.side())?, 0, levels.kept.passed())?)
    }

    /// One sample's row, at the kept layer or for the head.
    pub fn again(&mut self, sample: Sample, head: bool, stop: &AtomicBool) -> Result<Vec<u8>, TrainingError> {
        let row = self.compute(&[sample], stop)?;
        if !head {
            return Ok(row);
        }
        let x = self.levels.kept.tensor(&row, &self.backbone)?;
        bytes_of(&self.levels.lift(&x, Target::Head, &self.backbone)?)
    }

    /// Whether pictures go through the network in batches on one device, the crew only rendering them.
    fn in_batches(&self) -> bool {
        self.backbone.device().is_cuda() && !self.backbone.precision().is_int8()
    }

    fn extract_in_batches(
        &mut self,
        wanted: &[Wanted],
        stop: &AtomicBool,
        mut take: impl FnMut(Computed) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let (renderer, levels, backbone) = (self.renderer, self.levels, &self.backbone);
        let work = |_: &Backbone, item: usize, hand_over: &mut dyn FnMut((usize, WantedView, Vec<u8>)) -> bool| {
            let Wanted { image, views } = &wanted[item];
            let mut picture = None;
            for wanted in views {
                let pixels = renderer.render(Sample { image: *image, view: wanted.view }, &mut picture)?;
                if !hand_over((*image, *wanted, pixels)) {
                    break;
                }
            }
            Ok(())
        };
        let mut flush = |waiting: &mut Vec<(usize, WantedView, Vec<u8>)>| {
            let pixels = waiting.iter().flat_map(|(_, _, pixels)| pixels).copied().collect::<Vec<u8>>();
            let x = backbone.frozen(&backbone.pixels(&pixels, renderer.side())?, 0, levels.kept.passed())?;
            let (kept, top) = (bytes_of(&x)?, bytes_of(&levels.lift(&x, Target::Head, backbone)?)?);
            let rows = kept.chunks(levels.kept.bytes()).zip(top.chunks(levels.top.bytes()));
            waiting.drain(..).zip(rows).try_for_each(|((image, wanted, _), (kept, top))| {
                take(Computed {
                    sample: Sample { image, view: wanted.view },
                    kept: wanted.kept.then(|| levels.kept.packed(kept)),
                    top: wanted.top.then(|| levels.top.packed(top)),
                })
            })
        };
        let mut waiting = Vec::with_capacity(GPU_BATCH);
        self.crew.each(wanted.len(), stop, work, |rendered| {
            waiting.push(rendered);
            if waiting.len() == GPU_BATCH { flush(&mut waiting) } else { Ok(()) }
        })?;
        if waiting.is_empty() { Ok(()) } else { flush(&mut waiting) }
    }
}
