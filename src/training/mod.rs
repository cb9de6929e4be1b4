//! Training: two phases on bottleneck features, told to an [`Observer`], stopped between two batches.
//!
//! Nothing here knows of jobs, databases or HTTP: [`run`] takes plain data and answers plain data.

mod data;
mod error;
mod evaluate;
mod events;
mod features;
mod manifest;
mod optimizer;
mod phase;
mod progress;
mod seeds;
mod weights;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

pub use data::TrainingData;
pub use error::TrainingError;
pub use events::{Event, Observer, ObserverError};
pub use manifest::Identity;
pub use weights::tail_from_tensors;

use crate::artifact::NamedTensor;
use crate::dataset::split::Split;
use crate::recipe::Recipe;
use crate::report::{PhaseName, PhaseReport, Prediction, Report, SplitSummary};
use crate::vision::backbone::Backbone;
use crate::vision::device;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::Precision;
use crate::vision::preprocessing::Preprocessing;
use crate::vision::tail::{Head, Tail};
use crate::vision::weights::BodyWeights;
use evaluate::Evaluation;
use features::{FeatureStore, Features};
use phase::PhaseRun;
use progress::Reporter;

/// What to train, and with what.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The recipe.
    pub recipe: Recipe,
    /// The ImageNet body.
    pub body: &'a BodyWeights,
    /// From picture to pixels.
    pub preprocessing: Preprocessing,
    /// Folder of bottleneck features, shared between runs.
    pub features_dir: PathBuf,
}

/// What training came to.
#[derive(Debug)]
pub struct Trained {
    /// The layers that learnt, and the head.
    pub tensors: Vec<NamedTensor>,
    /// What the run found out.
    pub report: Report,
    /// The precision that it ran in.
    pub precision: Precision,
    /// First convolution among `tensors`.
    pub unfreeze_from: UnfreezeFrom,
}

/// Trains: split, bottleneck features, warm-up, fine-tune, a report after each phase.
///
/// Runs on the calling thread until done; `stop` ends it within a batch.
///
/// # Errors
/// [`TrainingError::Stopped`] when told to stop; pictures, disk, memory or a diverging loss otherwise.
pub fn run(
    plan: &Plan<'_>,
    data: &TrainingData,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Trained, TrainingError> {
    let mut run = Run::prepare(plan, data, observer, stop)?;
    let mut phases = Vec::new();
    let mut last = None;
    for phase in [PhaseName::WarmUp, PhaseName::FineTune] {
        if let Some(evaluation) = run.phase(phase)? {
            let report = run.report(phase, &evaluation);
            run.reporter.phase(&report)?;
            phases.push(report);
            last = Some(evaluation);
        }
    }
    let Some(last) = last else { return Err(TrainingError::NothingToTrain) };
    Ok(Trained {
        report: Report {
            classes: data.classes.clone(),
            phases,
            split: SplitSummary {
                train: run.split.train.len() as u64,
                validation: run.split.validation.len() as u64,
                seed: plan.recipe.seed,
            },
            predictions: run.predictions(&last),
        },
        tensors: weights::to_tensors(&run.tail)?,
        precision: run.precision,
        unfreeze_from: run.from,
    })
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan<'a>,
    data: &'a TrainingData,
    stop: &'a AtomicBool,
    reporter: Reporter<'a>,
    precision: Precision,
    split: Split,
    labels: Vec<u32>,
    /// First convolution that learns in this run.
    from: UnfreezeFrom,
    /// Features at the top of the body: what the head sees while the body is frozen.
    top: Features,
    /// Features at the freeze boundary of the fine-tune phase, if convolutions learn.
    boundary: Option<Features>,
    tail: Tail,
}

impl<'a> Run<'a> {
    fn prepare(
        plan: &'a Plan<'a>,
        data: &'a TrainingData,
        observer: &'a mut dyn Observer,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrainingError> {
        let recipe = &plan.recipe;
        let device = device::device();
        let backbone = Backbone::new(plan.body, device::resolve(recipe.precision, device), device)?;
        let labels: Vec<u32> = data.images.iter().map(|image| image.class).collect();
        // By content, so that a renamed picture stays on its side.
        let keys: Vec<&str> = data.images.iter().map(|image| image.sha256.as_str()).collect();
        let split = crate::dataset::split::stratified(&labels, &keys, recipe.validation_fraction, recipe.seed)?;
        let from = if recipe.fine_tune.epochs == 0 { UnfreezeFrom::NONE } else { recipe.fine_tune.unfreeze_from };
        let mut reporter = Reporter::new(observer);
        let store = FeatureStore::new(plan, data, &backbone);
        let mut features = store.ensure(&[from, UnfreezeFrom::NONE], &mut reporter, stop)?;
        // `ensure` answers one entry a level, and the top is always asked for.
        let top = features.remove(&UnfreezeFrom::NONE).ok_or(TrainingError::NothingToTrain)?;
        seeds::seed_torch(recipe.seed, "head", 0);
        let classes = data.classes.len();
        let head = Head::new(top.row_len(), recipe.head.units, classes, top.scale(&split.train)?, device)?;
        let tail = Tail { convs: Vec::new(), head };
        Ok(Self {
            plan,
            data,
            stop,
            reporter,
            precision: backbone.precision(),
            split,
            labels,
            from,
            top,
            boundary: features.remove(&from),
            tail,
        })
    }

    /// Trains one phase, if it has epochs, and says what its weights make of the validation pictures.
    fn phase(&mut self, name: PhaseName) -> Result<Option<Evaluation>, TrainingError> {
        let recipe = &self.plan.recipe;
        let (epochs, optimizer) = match name {
            PhaseName::WarmUp => (recipe.warm_up.epochs, recipe.warm_up.optimizer),
            PhaseName::FineTune => (recipe.fine_tune.epochs, recipe.fine_tune.optimizer),
        };
        if epochs == 0 {
            return Ok(None);
        }
        if name == PhaseName::FineTune {
            weights::unfreeze(&mut self.tail, self.plan.body, self.from)?;
        }
        let features = self.boundary.as_ref().filter(|_| name == PhaseName::FineTune).unwrap_or(&self.top);
        let run = PhaseRun { name, epochs, recipe, features, split: &self.split, labels: &self.labels, stop: self.stop };
        run.train(&self.tail, optimizer, &mut self.reporter).map(Some)
    }

    fn report(&self, phase: PhaseName, evaluation: &Evaluation) -> PhaseReport {
        let truth = self.split.validation.iter().map(|&image| self.labels[image] as usize);
        PhaseReport::new(phase, &self.data.classes, truth.zip(evaluation.predicted()))
    }

    fn predictions(&self, evaluation: &Evaluation) -> Vec<Prediction> {
        let classes = &self.data.classes;
        self.split
            .validation
            .iter()
            .zip(evaluation.probabilities.iter().zip(evaluation.predicted()))
            .map(|(&image, (probabilities, predicted))| Prediction {
                image: image as u64,
                path: self.data.images[image].path.clone(),
                label: classes[self.labels[image] as usize].clone(),
                predicted: classes[predicted].clone(),
                probability: probabilities[predicted],
                probabilities: probabilities.clone(),
            })
            .collect()
    }
}
