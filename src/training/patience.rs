//! When to stop waiting for validation to get better: for the whole phase, and for the learning rate.

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::average::restore;
use super::evaluate::Evaluation;

/// What an epoch is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub epoch: u32,
    /// On the validation pictures.
    pub accuracy: f64,
    /// Likewise.
    pub loss: f64,
}

impl Score {
    pub const fn of(epoch: u32, evaluation: &Evaluation) -> Self {
        Self { epoch, accuracy: evaluation.accuracy, loss: evaluation.loss }
    }

    /// By validation accuracy, and where that is the same by validation loss.
    fn beats(&self, other: &Self) -> bool {
        self.accuracy > other.accuracy || (self.accuracy >= other.accuracy && self.loss < other.loss)
    }
}

/// The best epoch so far and its weights, if the phase has patience.
#[derive(Debug)]
pub struct Best {
    patience: u32,
    kept: Option<(Score, Vec<Tensor>)>,
}

impl Best {
    /// Waits `patience` epochs for a better one; 0 keeps the last epoch whatever it is.
    pub const fn new(patience: u32) -> Self {
        Self { patience, kept: None }
    }

    /// Takes what [`Best::kept`] gave.
    pub fn resume(&mut self, kept: Option<(Score, Vec<Tensor>)>) {
        self.kept = kept;
    }

    /// What is kept.
    pub const fn kept(&self) -> Option<&(Score, Vec<Tensor>)> {
        self.kept.as_ref()
    }

    /// Takes note of an epoch, and a copy of its weights if it is the best so far. True if the phase is to end.
    pub fn note(&mut self, new: Score, weights: impl FnOnce() -> Result<Vec<Tensor>, TchError>) -> Result<bool, TchError> {
        if self.patience == 0 {
            return Ok(false);
        }
        match &self.kept {
            Some((best, _)) if !new.beats(best) => Ok(new.epoch - best.epoch >= self.patience),
            _ => {
                self.kept = Some((new, weights()?));
                Ok(false)
            }
        }
    }

    /// The epoch that the phase comes to: the best, `parameters` set to its weights, or else `last`.
    pub fn settle(self, last: u32, parameters: &[Tensor]) -> Result<u32, TchError> {
        let Some((best, weights)) = self.kept else { return Ok(last) };
        if best.epoch != last {
            restore(parameters, &weights)?;
        }
        Ok(best.epoch)
    }
}

/// Counts how often a plateau of the validation loss was reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// None before the first epoch.
    lowest: Option<f64>,
    waited: u32,
    reductions: u32,
}

impl Plateau {
    /// Takes note of an epoch's validation loss; after `patience` epochs without a lower one, the rate is reduced once more.
    pub fn note(&mut self, loss: f64, patience: u32) {
        if self.lowest.is_none_or(|lowest| loss < lowest) {
            (self.lowest, self.waited) = (Some(loss), 0);
            return;
        }
        self.waited += 1;
        if self.waited >= patience {
            (self.waited, self.reductions) = (0, self.reductions + 1);
        }
    }

    /// How often the rate is to have been reduced.
    pub const fn reductions(&self) -> u32 {
        self.reductions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs through epochs of (accuracy, loss); answers how many were trained, the one kept, and the weight left.
    fn run(patience: u32, epochs: &[(f64, f64)]) -> (u32, u32, f64) {
        let weight = Tensor::from_slice(&[0.0f32]);
        let mut best = Best::new(patience);
        let mut trained = 0;
        for (epoch, &(accuracy, loss)) in (1u32..).zip(epochs) {
            trained = epoch;
            let _ = weight.shallow_clone().fill_(f64::from(epoch));
            let copy = || super::super::average::copy(std::slice::from_ref(&weight));
            if best.note(Score { epoch, accuracy, loss }, copy).unwrap() {
                break;
            }
        }
        let kept = best.settle(trained, std::slice::from_ref(&weight)).unwrap();
        (trained, kept, weight.double_value(&[0]))
    }

    #[test]
    fn the_best_epoch_is_kept_with_its_weights() {
        let epochs = [(0.5, 1.0), (0.8, 0.9), (0.7, 0.8), (0.8, 0.85), (0.6, 0.5), (0.6, 0.5), (0.9, 0.1)];
        assert_eq!(run(2, &epochs), (6, 4, 4.0));
        assert_eq!(run(3, &epochs), (7, 7, 7.0));
        assert_eq!(run(0, &epochs[..5]), (5, 5, 5.0));
    }

    #[test]
    fn a_plateau_is_reached_after_as_many_epochs_as_there_is_patience() {
        let mut plateau = Plateau::default();
        let reductions: Vec<u32> = [1.0, 0.9, 0.9, 0.95, 0.8, 0.8, 0.8, 0.8, 0.8]
            .into_iter()
            .map(|loss| {
                plateau.note(loss, 2);
                plateau.reductions()
            })
            .collect();
        assert_eq!(reductions, [0, 0, 0, 1, 1, 1, 2, 2, 3]);
    }
}
