//! When to stop waiting for validation to get better: for the whole phase, and for the learning rate.

use tch::{TchError, Tensor};

use super::average::restore;
use super::phase::Outcome;

/// The best epoch so far and its weights, if the phase has patience; the last epoch's otherwise.
pub struct Best {
    patience: u32,
    outcome: Option<Outcome>,
    weights: Vec<Tensor>,
}

impl Best {
    /// Waits `patience` epochs for a better one; 0 keeps the last epoch whatever it is.
    pub const fn new(patience: u32) -> Self {
        Self { patience, outcome: None, weights: Vec::new() }
    }

    /// Takes note of an epoch, taking it and a copy of its weights if it is the best so far. True if the phase is to end.
    pub fn note(
        &mut self,
        outcome: &mut Option<Outcome>,
        weights: impl FnOnce() -> Result<Vec<Tensor>, TchError>,
    ) -> Result<bool, TchError> {
        let Some(new) = outcome.as_ref().filter(|_| self.patience > 0) else { return Ok(false) };
        match &self.outcome {
            Some(best) if !better(new, best) => Ok(new.epoch - best.epoch >= self.patience),
            _ => {
                self.weights = weights()?;
                self.outcome = outcome.take();
                Ok(false)
            }
        }
    }

    /// What the phase comes to: the best epoch with `parameters` set to its weights, or else `last`.
    pub fn settle(self, last: Option<Outcome>, parameters: &[Tensor]) -> Result<Option<Outcome>, TchError> {
        let Some(best) = self.outcome else { return Ok(last) };
        restore(parameters, &self.weights)?;
        Ok(Some(best))
    }
}

/// By validation accuracy, and where that is the same by validation loss.
fn better(new: &Outcome, old: &Outcome) -> bool {
    let (new, old) = (&new.evaluation, &old.evaluation);
    new.accuracy > old.accuracy || (new.accuracy >= old.accuracy && new.loss < old.loss)
}

/// Counts how often a plateau of the validation loss was reached.
pub struct Plateau {
    lowest: f64,
    waited: u32,
    reductions: u32,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { lowest: f64::INFINITY, waited: 0, reductions: 0 }
    }
}

impl Plateau {
    /// Takes note of an epoch's validation loss; after `patience` epochs without a lower one, the rate is reduced once more.
    pub fn note(&mut self, loss: f64, patience: u32) {
        if loss < self.lowest {
            (self.lowest, self.waited) = (loss, 0);
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
    use crate::training::evaluate::Evaluation;

    fn outcome(epoch: u32, accuracy: f64, loss: f64) -> Option<Outcome> {
        Some(Outcome { epoch, evaluation: Evaluation { probabilities: Vec::new(), loss, accuracy } })
    }

    /// Runs through epochs of (accuracy, loss); answers how many were trained, the one kept, and the weight left.
    fn run(patience: u32, epochs: &[(f64, f64)]) -> (usize, u32, f64) {
        let weight = Tensor::from_slice(&[0.0f32]);
        let mut best = Best::new(patience);
        let mut last = None;
        let mut trained = 0;
        for (epoch, &(accuracy, loss)) in (1u32..).zip(epochs) {
            trained += 1;
            let _ = weight.shallow_clone().fill_(f64::from(epoch));
            last = outcome(epoch, accuracy, loss);
            if best.note(&mut last, || super::super::average::copy(std::slice::from_ref(&weight))).unwrap() {
                break;
            }
        }
        let kept = best.settle(last, std::slice::from_ref(&weight)).unwrap().unwrap();
        (trained, kept.epoch, weight.double_value(&[0]))
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
