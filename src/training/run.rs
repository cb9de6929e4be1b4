//! A run from split to report.

use std::sync::atomic::AtomicBool;

use tch::Kind;

use super::checkpoint::{Checkpoint, Checkpoints, Keeper};
use super::embeddings::{Embedded, embedded};
use super::evaluate::{Evaluation, Exam, evaluate};
use super::features::{FeatureStore, Planned, Target, budget, demand, plan};
use super::phase::{Outcome, PhaseRun};
use super::progress::Reporter;
use super::record::Record;
use super::sample::{self, Draw, Sample};
use super::scope::Scope;
use super::{Observer, Plan, Trained, TrainingData, TrainingError, seeds, weights};
use crate::dataset::split::Split;
use crate::memory;
use crate::report::{Calibration, PhaseName, PhaseReport, Prediction, Report, SplitSummary, tempered};
use crate::vision::augmentation::View;
use crate::vision::backbone::Backbone;
use crate::vision::device;
use crate::vision::int8::Profile;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::Precision;
use crate::vision::tail::{Head, Tail};

/// Training pictures that the scale of features is measured on.
const SCALE_SAMPLE: usize = 256;

/// A run under way.
pub struct Run<'a> {
    plan: &'a Plan<'a>,
    data: &'a TrainingData,
    stop: &'a AtomicBool,
    reporter: Reporter<'a>,
    precision: Precision,
    split: Split,
    labels: Vec<u32>,
    /// First convolution that learns in this run.
    from: UnfreezeFrom,
    draw: Draw,
    store: FeatureStore<'a>,
    tail: Tail,
    keeper: Keeper,
    resumed: Option<&'a Checkpoint>,
}

impl<'a> Run<'a> {
    /// Splits the pictures, makes sure of their features and begins a head, or takes up what a checkpoint has.
    pub fn prepare(
        plan: &'a Plan<'a>,
        data: &'a TrainingData,
        checkpoints: Option<&'a Checkpoints>,
        observer: &'a mut dyn Observer,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrainingError> {
        let recipe = &plan.recipe;
        let device = device::device();
        let precision = device::resolve(recipe.precision, device, Profile::of(plan.body).is_some());
        let scope = Scope::new(recipe, data)?;
        let backbone = Backbone::new(plan.body, precision, device, scope.from)?;
        let mut reporter = Reporter::new(observer);
        let resumed = checkpoints.and_then(|checkpoints| checkpoints.resume.as_ref());
        let planned = match resumed {
            // Whatever the disk has room for by now: other views would make it another run.
            Some(checkpoint) => Planned::again(checkpoint.state.features.clone()),
            None => planned(plan, &scope, &backbone)?,
        };
        reporter.features(&planned.plan)?;
        let mut store = FeatureStore::open(plan, data, backbone, scope.from, &planned)?;
        store.ensure(&scope.samples(recipe, planned.plan.views), &mut reporter, stop)?;
        // Extraction's blocks are of other sizes than training's, and nothing of them is wanted any more.
        memory::give_back();
        let draw = match planned.kept {
            None if recipe.augmentation.count > 0 => Draw::Fresh,
            _ => Draw::Stored { unaugmented: recipe.unaugmented(), views: planned.plan.views },
        };
        let scale = match resumed {
            Some(checkpoint) => checkpoint.state.feature_scale,
            None => feature_scale(&mut store, &scope.split.train, recipe.unaugmented(), stop)?,
        };
        seeds::seed_torch(recipe.seed, "head", 0);
        let head = Head::new(store.head_inputs(), recipe.head.units, data.classes.len(), scale, device)?;
        let tail = Tail { convs: Vec::new(), head };
        let dir = checkpoints.map(|checkpoints| checkpoints.dir.clone());
        let mut keeper = Keeper::new(dir, plan, data, planned.plan, scale);
        resumed.iter().flat_map(|checkpoint| &checkpoint.state.phases).for_each(|report| keeper.phase(report.clone()));
        let Scope { labels, split, from } = scope;
        Ok(Self { plan, data, stop, reporter, precision, split, labels, from, draw, store, tail, keeper, resumed })
    }

    /// Trains both phases, reports, tests.
    pub fn train(mut self) -> Result<Trained, TrainingError> {
        let mut last = None;
        for name in [PhaseName::WarmUp, PhaseName::FineTune] {
            if let Some(outcome) = self.phase(name)? {
                let report = self.report(name, outcome.epoch, &self.split.validation, &outcome.evaluation);
                self.reporter.phase(&report)?;
                self.keeper.phase(report);
                last = Some((name, outcome));
            }
        }
        let Some((name, last)) = last else { return Err(TrainingError::NothingToTrain) };
        let (test, embedded) = self.closing(name, last.epoch)?;
        let calibration = self.calibration(&last.evaluation);
        let predictions = self.predictions(&last.evaluation, calibration.as_ref());
        let tensors = weights::to_tensors(&self.tail, &embedded)?;
        let report = Report {
            classes: self.data.classes.clone(),
            phases: self.keeper.into_phases(),
            test,
            split: SplitSummary {
                train: self.split.train.len() as u64,
                validation: self.split.validation.len() as u64,
                test: self.split.test.len() as u64,
                seed: self.plan.recipe.seed,
            },
            predictions,
            calibration,
        };
        Ok(Trained { tensors, report, precision: self.precision, unfreeze_from: self.from })
    }

    /// Trains one phase, if it has epochs and wasn't complete before, and says what its weights make of the validation pictures.
    fn phase(&mut self, name: PhaseName) -> Result<Option<Outcome>, TrainingError> {
        let recipe = &self.plan.recipe;
        let phase = match name {
            PhaseName::WarmUp => recipe.warm_up,
            PhaseName::FineTune => recipe.fine_tune.phase,
        };
        let began = self.resumed.map(|checkpoint| checkpoint.state.place.phase);
        if phase.epochs == 0 || began.is_some_and(|began| began > name) {
            return Ok(None);
        }
        if name == PhaseName::FineTune {
            weights::unfreeze(&mut self.tail, self.plan.body, self.from)?;
        }
        let run = PhaseRun {
            name,
            phase,
            recipe,
            target: target(name),
            draw: self.draw,
            split: &self.split,
            labels: &self.labels,
            classes: self.data.classes.len(),
            precision: self.precision,
            stop: self.stop,
        };
        let resumed = self.resumed.filter(|_| began == Some(name));
        let mut record = Record::new(&mut self.reporter, &self.keeper);
        run.train(&self.tail, &mut self.store, &mut record, resumed).map(Some)
    }

    /// What the final weights make of the pictures kept back, if there are any, and of some of the others.
    fn closing(&mut self, name: PhaseName, epoch: u32) -> Result<(Option<PhaseReport>, Embedded), TrainingError> {
        let exam = Exam {
            images: &self.split.validation,
            labels: &self.labels,
            flip: self.plan.recipe.test_time_flip,
            target: target(name),
            precision: self.precision,
            stop: self.stop,
        };
        let tail = self.tail.prepared(self.precision)?;
        let embedded = embedded(&tail, &mut self.store, &self.split.train, self.plan.recipe.unaugmented(), &exam)?;
        if self.split.test.is_empty() {
            return Ok((None, embedded));
        }
        let evaluation = evaluate(&self.tail, &mut self.store, &Exam { images: &self.split.test, ..exam })?;
        Ok((Some(self.report(name, epoch, &self.split.test, &evaluation)), embedded))
    }

    fn report(&self, phase: PhaseName, epoch: u32, images: &[usize], evaluation: &Evaluation) -> PhaseReport {
        let truth = images.iter().map(|&image| self.labels[image] as usize);
        PhaseReport::new(phase, epoch, &self.data.classes, truth.zip(evaluation.predicted()))
    }

    fn calibration(&self, evaluation: &Evaluation) -> Option<Calibration> {
        let truth: Vec<usize> = self.split.validation.iter().map(|&image| self.labels[image] as usize).collect();
        Calibration::fit(&evaluation.probabilities, &truth)
    }

    /// With the probabilities that the service answers: calibrated.
    fn predictions(&self, evaluation: &Evaluation, calibration: Option<&Calibration>) -> Vec<Prediction> {
        let classes = &self.data.classes;
        let temperature = calibration.map_or(1.0, |calibration| calibration.temperature);
        self.split
            .validation
            .iter()
            .zip(evaluation.probabilities.iter().zip(evaluation.predicted()))
            .map(|(&image, (probabilities, predicted))| {
                let probabilities = tempered(probabilities, temperature);
                Prediction {
                    image: image as u64,
                    path: self.data.images[image].path.clone(),
                    label: classes[self.labels[image] as usize].clone(),
                    predicted: classes[predicted].clone(),
                    probability: probabilities[predicted],
                    probabilities,
                }
            })
            .collect()
    }
}

/// Whose input a phase's features are.
const fn target(name: PhaseName) -> Target {
    match name {
        PhaseName::WarmUp => Target::Head,
        PhaseName::FineTune => Target::Boundary,
    }
}

/// What is kept of the pictures, within the budget.
fn planned(plan: &Plan<'_>, scope: &Scope, backbone: &Backbone) -> Result<Planned, TrainingError> {
    let recipe = &plan.recipe;
    let rows = (scope.split.train.len() as u64, scope.evaluated(recipe).count() as u64);
    let demand = demand(recipe, scope.from, backbone.precision(), rows, recipe.augmentation.count);
    Ok(self::plan(&demand, budget(&plan.features_dir, plan.feature_cache_bytes)?))
}

/// One over the standard deviation of the features of the first few hundred of `images`, seen as `view`.
fn feature_scale(store: &mut FeatureStore<'_>, images: &[usize], view: View, stop: &AtomicBool) -> Result<f64, TrainingError> {
    let images = &images[..images.len().min(SCALE_SAMPLE)];
    let batches: Vec<Vec<Sample>> = images.chunks(64).map(|images| sample::seen(images, &[view]).collect()).collect();
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    store.each(Target::Head, &batches, stop, |_, x| {
        let x = x.f_to_kind(Kind::Float)?;
        sum += f64::try_from(x.f_sum(Kind::Double)?)?;
        squares += f64::try_from(x.f_square()?.f_sum(Kind::Double)?)?;
        count += x.numel() as f64;
        Ok(())
    })?;
    let mean = sum / count;
    let deviation = (squares / count - mean * mean).max(0.0).sqrt();
    Ok(if deviation > 0.0 { 1.0 / deviation } else { 1.0 })
}
