//! One phase: the epoch loop.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tch::{Device, Kind, Reduction, TchError, Tensor};

use super::average::{self, Average};
use super::evaluate::{Evaluation, Exam, evaluate, targets};
use super::features::{FeatureStore, Target};
use super::mixup::Mixup;
use super::optimizer::{Optimizer, clip};
use super::patience::{Best, Plateau};
use super::progress::Reporter;
use super::sample::{self, Draw, Sample};
use super::{TrainingError, seeds};
use crate::dataset::split::Split;
use crate::recipe::{ClassBalance, Phase, Recipe};
use crate::report::{Epoch, PhaseName};
use crate::vision::precision::Precision;
use crate::vision::tail::Tail;

/// What a phase trains on.
pub struct PhaseRun<'a> {
    pub name: PhaseName,
    pub phase: Phase,
    pub recipe: &'a Recipe,
    /// Whose input the features are.
    pub target: Target,
    /// Where an epoch's views come from.
    pub draw: Draw,
    pub split: &'a Split,
    pub labels: &'a [u32],
    pub classes: usize,
    pub precision: Precision,
    pub stop: &'a AtomicBool,
}

/// The weights that a phase leaves, by their epoch, and what they make of the validation pictures.
pub struct Outcome {
    pub epoch: u32,
    pub evaluation: Evaluation,
}

/// All that moves in a phase.
struct Learner {
    parameters: Vec<Tensor>,
    optimizer: Optimizer,
    average: Option<Average>,
    /// What each class's loss counts.
    class_weights: Option<Tensor>,
}

impl PhaseRun<'_> {
    /// Trains `tail` in place and answers what its weights then make of the validation pictures.
    pub fn train(
        &self,
        tail: &Tail,
        store: &mut FeatureStore<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Outcome, TrainingError> {
        let mut learner = self.learner(tail)?;
        let mut plateau = Plateau::default();
        let mut best = Best::new(self.phase.patience);
        let mut outcome = None;
        for epoch in 1..=self.phase.epochs {
            let began = Instant::now();
            let (train_loss, train_accuracy) = self.epoch(tail, &mut learner, store, epoch, plateau.reductions(), reporter)?;
            learner.exchange()?;
            let evaluation = evaluate(tail, store, &self.exam())?;
            reporter.epoch(&Epoch {
                phase: self.name,
                epoch,
                train_loss,
                train_accuracy,
                val_loss: evaluation.loss,
                val_accuracy: evaluation.accuracy,
                learning_rate: self.rate(epoch, 0, plateau.reductions()),
                seconds: began.elapsed().as_secs_f64(),
            })?;
            plateau.note(evaluation.loss, self.phase.schedule.patience);
            outcome = Some(Outcome { epoch, evaluation });
            if best.note(&mut outcome, || average::copy(&learner.parameters))? {
                break;
            }
            if epoch < self.phase.epochs {
                learner.exchange()?;
            }
        }
        let outcome = best.settle(outcome, &learner.parameters)?;
        outcome.ok_or(TrainingError::NothingToTrain)
    }

    fn learner(&self, tail: &Tail) -> Result<Learner, TrainingError> {
        let parameters: Vec<Tensor> = tail.parameters().iter().map(|tensor| tensor.set_requires_grad(true)).collect();
        let average = match self.phase.ema_decay {
            decay if decay > 0.0 => Some(Average::new(decay, &parameters)?),
            _ => None,
        };
        let class_weights = match self.recipe.class_balance {
            ClassBalance::Weights => Some(self.class_weights(parameters[0].device())?),
            ClassBalance::None | ClassBalance::Sampling => None,
        };
        Ok(Learner { optimizer: Optimizer::new(self.phase.optimizer, &parameters)?, parameters, average, class_weights })
    }

    /// One over each class's frequency among the training pictures, 1 for a class of average size.
    fn class_weights(&self, device: Device) -> Result<Tensor, TrainingError> {
        let mut counts = vec![0f32; self.classes];
        self.split.train.iter().for_each(|&image| counts[self.labels[image] as usize] += 1.0);
        let even = self.split.train.len() as f32 / self.classes as f32;
        // The split leaves every class a training picture.
        let weights: Vec<f32> = counts.iter().map(|count| even / count.max(1.0)).collect();
        Ok(Tensor::f_from_slice(&weights)?.f_to_device(device)?)
    }

    /// One pass over the training pictures; answers the mean loss and the accuracy as the weights moved. Its randomness is its
    /// own: drawn from the seed, the phase and its number.
    fn epoch(
        &self,
        tail: &Tail,
        learner: &mut Learner,
        store: &mut FeatureStore<'_>,
        epoch: u32,
        reductions: u32,
        reporter: &mut Reporter<'_>,
    ) -> Result<(f64, f64), TrainingError> {
        let Self { name, phase, recipe, labels, stop, .. } = *self;
        seeds::seed_torch(recipe.seed, name.as_str(), u64::from(epoch));
        let samples =
            sample::epoch(&self.split.train, labels, recipe.class_balance, self.draw, recipe.seed, name.as_str(), epoch);
        let mut mixup = Mixup::new(recipe.mixup, seeds::generator(recipe.seed, &format!("{name} mixup"), u64::from(epoch)));
        let batches: Vec<Vec<Sample>> = samples.chunks(recipe.batch_size as usize).map(<[Sample]>::to_vec).collect();
        // Sums stay where the weights are: nothing waits for a number before the epoch's end.
        let zero = || Tensor::f_zeros([], (Kind::Double, learner.parameters[0].device()));
        let (mut loss_sum, mut correct) = (zero()?, zero()?);
        store.each(self.target, &batches, stop, |step, x| {
            let mix = mixup.draw();
            let logits = tail.forward(&mix.features(x)?, Some(recipe.head.dropout))?;
            let truth = targets(&batches[step], labels, &logits)?;
            let loss = mix.loss(&truth, |truth| self.loss(&logits, truth, learner))?;
            let gradients = Tensor::f_run_backward(&[&loss], &learner.parameters, false, false)?;
            if phase.gradient_clip > 0.0 {
                clip(&gradients, phase.gradient_clip)?;
            }
            learner.optimizer.step(&gradients, self.rate(epoch, step, reductions))?;
            learner.average.as_mut().map_or(Ok(()), Average::update)?;
            let _ = loss_sum.f_add_(&loss.f_detach()?.f_mul_scalar(batches[step].len() as f64)?)?;
            let _ = correct.f_add_(&logits.f_argmax(-1, false)?.f_eq_tensor(&truth)?.f_sum(Kind::Double)?)?;
            let done = (epoch as usize - 1) * batches.len() + step + 1;
            Ok(reporter.progress(name.into(), epoch - 1, phase.epochs, done, phase.epochs as usize * batches.len())?)
        })?;
        let n = samples.len().max(1) as f64;
        let (loss, accuracy) = (f64::try_from(loss_sum)? / n, f64::try_from(correct)? / n);
        if !loss.is_finite() {
            return Err(TrainingError::Diverged { phase: name, epoch, learning_rate: phase.optimizer.learning_rate });
        }
        Ok((loss, accuracy))
    }

    /// Mean cross-entropy against the targets, smoothed and weighted as the recipe has it.
    fn loss(&self, logits: &Tensor, truth: &Tensor, learner: &Learner) -> Result<Tensor, TchError> {
        let weights = learner.class_weights.as_ref();
        logits.f_cross_entropy_loss(truth, weights, Reduction::Mean, NO_CLASS, self.recipe.label_smoothing)
    }

    /// The learning rate of an epoch's step, counted from 0.
    fn rate(&self, epoch: u32, step: usize, reductions: u32) -> f64 {
        let steps = self.split.train.len().div_ceil(self.recipe.batch_size as usize) as u64;
        let step = u64::from(epoch - 1) * steps + step as u64;
        let Phase { epochs, optimizer, schedule, .. } = self.phase;
        schedule.rate(optimizer.learning_rate, step, steps, epochs, reductions)
    }

    fn exam(&self) -> Exam<'_> {
        Exam {
            images: &self.split.validation,
            labels: self.labels,
            flip: self.recipe.test_time_flip,
            target: self.target,
            precision: self.precision,
            stop: self.stop,
        }
    }
}

impl Learner {
    /// Exchanges the weights with their average, if there is one: before validation, and back after it.
    fn exchange(&mut self) -> Result<(), TrainingError> {
        Ok(self.average.as_mut().map_or(Ok(()), Average::exchange)?)
    }
}

/// The target that torch leaves out of a loss; no class has this number.
const NO_CLASS: i64 = -100;
