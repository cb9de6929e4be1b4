//! One phase: the epoch loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tch::{Kind, Reduction, Tensor};

use super::evaluate::{Evaluation, evaluate, targets};
use super::features::Features;
use super::optimizer::Optimizer;
use super::progress::Reporter;
use super::{TrainingError, seeds};
use crate::dataset::split::Split;
use crate::recipe::{Optimizer as OptimizerSpec, Recipe};
use crate::report::{Epoch, PhaseName};
use crate::vision::tail::Tail;

/// What a phase trains on.
pub struct PhaseRun<'a> {
    pub name: PhaseName,
    pub epochs: u32,
    pub recipe: &'a Recipe,
    /// Features at the boundary that the tail continues from.
    pub features: &'a Features,
    pub split: &'a Split,
    pub labels: &'a [u32],
    pub stop: &'a AtomicBool,
}

/// Sums over an epoch's steps.
#[derive(Default)]
struct Tally {
    loss: f64,
    correct: f64,
    pictures: f64,
}

impl PhaseRun<'_> {
    /// Trains `tail` in place and answers what its last weights make of the validation pictures.
    pub fn train(&self, tail: &Tail, spec: OptimizerSpec, reporter: &mut Reporter<'_>) -> Result<Evaluation, TrainingError> {
        let parameters: Vec<Tensor> = tail.parameters().iter().map(|tensor| tensor.set_requires_grad(true)).collect();
        let mut optimizer = Optimizer::new(spec, &parameters)?;
        let mut last = None;
        for epoch in 1..=self.epochs {
            let began = Instant::now();
            let tally = self.epoch(tail, &parameters, &mut optimizer, epoch, reporter)?;
            if !tally.loss.is_finite() {
                return Err(TrainingError::Diverged { phase: self.name, epoch, learning_rate: spec.learning_rate });
            }
            let evaluation = evaluate(tail, self.features, &self.split.validation, self.labels, self.stop)?;
            reporter.epoch(&Epoch {
                phase: self.name,
                epoch,
                train_loss: tally.loss / tally.pictures,
                train_accuracy: tally.correct / tally.pictures,
                val_loss: evaluation.loss,
                val_accuracy: evaluation.accuracy,
                learning_rate: spec.learning_rate,
                seconds: began.elapsed().as_secs_f64(),
            })?;
            last = Some(evaluation);
        }
        last.ok_or(TrainingError::NothingToTrain)
    }

    /// One pass over the training pictures. Its randomness is its own: drawn from the seed, the phase and its number.
    fn epoch(
        &self,
        tail: &Tail,
        parameters: &[Tensor],
        optimizer: &mut Optimizer,
        epoch: u32,
        reporter: &mut Reporter<'_>,
    ) -> Result<Tally, TrainingError> {
        let seed = self.recipe.seed;
        seeds::seed_torch(seed, self.name.as_str(), u64::from(epoch));
        let order = seeds::shuffled(&self.split.train, seed, self.name.as_str(), u64::from(epoch));
        let steps = order.len().div_ceil(self.recipe.batch_size as usize);
        let mut tally = Tally::default();
        for (step, batch) in order.chunks(self.recipe.batch_size as usize).enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(TrainingError::Stopped);
            }
            let logits = tail.forward(&self.features.batch(batch)?, Some(self.recipe.head.dropout))?;
            let truth = targets(batch, self.labels, &logits)?;
            let loss = logits.f_log_softmax(-1, Kind::Float)?.f_nll_loss::<Tensor>(&truth, None, Reduction::Mean, -100)?;
            let gradients = Tensor::f_run_backward(&[&loss], parameters, false, false)?;
            optimizer.step(&gradients)?;
            tally.add(&loss, &logits, &truth)?;
            let done = (epoch as usize - 1) * steps + step + 1;
            reporter.progress(self.name.into(), epoch - 1, self.epochs, done, self.epochs as usize * steps)?;
        }
        Ok(tally)
    }
}

impl Tally {
    fn add(&mut self, loss: &Tensor, logits: &Tensor, truth: &Tensor) -> Result<(), TrainingError> {
        let pictures = truth.numel() as f64;
        let correct = logits.f_argmax(-1, false)?.f_eq_tensor(truth)?.f_sum(Kind::Float)?;
        self.loss += f64::try_from(loss.f_detach()?)? * pictures;
        self.correct += f64::try_from(correct)?;
        self.pictures += pictures;
        Ok(())
    }
}
