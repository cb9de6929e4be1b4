//! One phase: the epoch loop.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tch::{Device, Kind, Reduction, TchError, Tensor};

use super::average::{self, Average};
use super::checkpoint::Checkpoint;
use super::evaluate::{Evaluation, Exam, evaluate, targets};
use super::features::{FeatureStore, Target};
use super::learner::Learner;
use super::mixup::Mixup;
use super::optimizer::clip;
use super::patience::Score;
use super::record::Record;
use super::sample::{self, Draw, Sample};
use super::shift::Shift;
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

impl PhaseRun<'_> {
    /// Trains `tail` in place, from the state of `resumed` on if there is one, and answers what its weights then make of the
    /// validation pictures. Epochs are told of, with their state on the disk, before this returns, whatever it returns.
    pub fn train(
        &self,
        tail: &Tail,
        store: &mut FeatureStore<'_>,
        record: &mut Record<'_, '_>,
        resumed: Option<&Checkpoint>,
    ) -> Result<Outcome, TrainingError> {
        let mut learner = Learner::new(tail, &self.phase)?;
        let class_weights = match self.recipe.class_balance {
            ClassBalance::Weights => Some(self.class_weights(learner.parameters[0].device())?),
            ClassBalance::None | ClassBalance::Sampling => None,
        };
        let (mut last, mut ended, mut evaluation) = (0, false, None);
        if let Some(checkpoint) = resumed {
            learner.resume(checkpoint)?;
            (last, ended) = (checkpoint.state.place.epoch, checkpoint.state.learner.ended);
        }
        while last < self.phase.epochs && !ended {
            let (began, epoch, reductions) = (Instant::now(), last + 1, learner.plateau.reductions());
            let moved = self.epoch(tail, &mut learner, class_weights.as_ref(), store, epoch, record);
            // The epoch before is complete, whatever came of this one.
            let told = record.settle();
            let moved = moved?;
            told?;
            let found = evaluate(tail, store, &self.exam())?;
            learner.plateau.note(found.loss, self.phase.schedule.patience);
            ended = learner.best.note(Score::of(epoch, &found), || average::copy(&learner.parameters))?;
            let row = Epoch {
                phase: self.name,
                epoch,
                train_loss: moved.loss,
                train_accuracy: moved.accuracy,
                val_loss: found.loss,
                val_accuracy: found.accuracy,
                learning_rate: self.rate(epoch, 0, reductions),
                seconds: began.elapsed().as_secs_f64(),
            };
            record.note(row, &learner, ended)?;
            (last, evaluation) = (epoch, Some(found));
        }
        record.settle()?;
        let epoch = learner.best.settle(last, &learner.parameters)?;
        let evaluation = match evaluation.filter(|_| epoch == last) {
            Some(evaluation) => evaluation,
            // Of the best epoch's weights, or those that a checkpoint had.
            None => evaluate(tail, store, &self.exam())?,
        };
        Ok(Outcome { epoch, evaluation })
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

    /// One pass over the training pictures, after which the parameters are what is validated. Its randomness is its own: drawn from the
    /// seed, the phase and its number.
    fn epoch(
        &self,
        tail: &Tail,
        learner: &mut Learner,
        class_weights: Option<&Tensor>,
        store: &mut FeatureStore<'_>,
        epoch: u32,
        record: &mut Record<'_, '_>,
    ) -> Result<Moved, TrainingError> {
        if epoch > 1 {
            learner.exchange()?;
        }
        let reductions = learner.plateau.reductions();
        let Self { name, phase, recipe, labels, stop, .. } = *self;
        seeds::seed_torch(recipe.seed, name.as_str(), u64::from(epoch));
        let samples =
            sample::epoch(&self.split.train, labels, recipe.class_balance, self.draw, recipe.seed, name.as_str(), epoch);
        let draws = |what| seeds::generator(recipe.seed, &format!("{name} {what}"), u64::from(epoch));
        let (mut shift, mut mixup) = (Shift::new(recipe.shift, draws("shift")), Mixup::new(recipe.mixup, draws("mixup")));
        let batches: Vec<Vec<Sample>> = samples.chunks(recipe.batch_size as usize).map(<[Sample]>::to_vec).collect();
        // Sums stay where the weights are: nothing waits for a number before the epoch's end.
        let zero = || Tensor::f_zeros([], (Kind::Double, learner.parameters[0].device()));
        let (mut loss_sum, mut correct) = (zero()?, zero()?);
        store.each(self.target, &batches, stop, |step, x| {
            let mix = mixup.draw();
            let logits = tail.forward(&mix.features(shift.features(x)?)?, Some(recipe.head.dropout))?;
            let truth = targets(&batches[step], labels, &logits)?;
            let loss = mix.loss(&truth, |truth| self.loss(&logits, truth, class_weights))?;
            let gradients = Tensor::f_run_backward(&[&loss], &learner.parameters, false, false)?;
            if phase.gradient_clip > 0.0 {
                clip(&gradients, phase.gradient_clip)?;
            }
            learner.optimizer.step(&gradients, self.rate(epoch, step, reductions))?;
            learner.average.as_mut().map_or(Ok(()), Average::update)?;
            let _ = loss_sum.f_add_(&loss.f_detach()?.f_mul_scalar(batches[step].len() as f64)?)?;
            let _ = correct.f_add_(&logits.f_argmax(-1, false)?.f_eq_tensor(&truth)?.f_sum(Kind::Double)?)?;
            let done = (epoch as usize - 1) * batches.len() + step + 1;
            record.progress(name.into(), epoch - 1, phase.epochs, done, phase.epochs as usize * batches.len())
        })?;
        let n = samples.len().max(1) as f64;
        let (loss, accuracy) = (f64::try_from(loss_sum)? / n, f64::try_from(correct)? / n);
        if !loss.is_finite() {
            return Err(TrainingError::Diverged { phase: name, epoch, learning_rate: phase.optimizer.learning_rate });
        }
        learner.exchange()?;
        Ok(Moved { loss, accuracy })
    }

    /// Mean cross-entropy against the targets, smoothed and weighted as the recipe has it.
    fn loss(&self, logits: &Tensor, truth: &Tensor, weights: Option<&Tensor>) -> Result<Tensor, TchError> {
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

/// Mean loss and accuracy of an epoch's training pictures, as the weights moved.
struct Moved {
    loss: f64,
    accuracy: f64,
}

/// The target that torch leaves out of a loss; no class has this number.
pub const NO_CLASS: i64 = -100;
