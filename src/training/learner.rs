//! All that moves in a phase: the weights, what the optimiser remembers of them, and what judges epochs.

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::TrainingError;
use super::average::{Average, restore};
use super::checkpoint::{Checkpoint, name};
use super::optimizer::Optimizer;
use super::patience::{Best, Plateau, Score};
use crate::recipe::Phase;
use crate::vision::tail::Tail;

/// Kinds of tensors in a checkpoint.
const PARAMETERS: &str = "parameter";
const FIRST: &str = "optimizer.first";
const SECOND: &str = "optimizer.second";
const AVERAGE: &str = "average";
const BEST: &str = "best";

/// A phase's moving parts. Between two epochs the parameters are what was validated: the average, if there is one.
#[derive(Debug)]
pub struct Learner {
    pub parameters: Vec<Tensor>,
    pub optimizer: Optimizer,
    pub average: Option<Average>,
    pub plateau: Plateau,
    pub best: Best,
}

/// What of it is no tensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LearnerState {
    /// Whether the phase's patience has run out.
    pub ended: bool,
    optimizer_steps: i32,
    /// 0 without an average.
    average_steps: u32,
    plateau: Plateau,
    /// The best epoch, if the phase has patience.
    best: Option<Score>,
}

impl Learner {
    /// For the layers of `tail`, as they are.
    pub fn new(tail: &Tail, phase: &Phase) -> Result<Self, TchError> {
        let parameters: Vec<Tensor> = tail.parameters().iter().map(|tensor| tensor.set_requires_grad(true)).collect();
        let average = match phase.ema_decay {
            decay if decay > 0.0 => Some(Average::new(decay, &parameters)?),
            _ => None,
        };
        let optimizer = Optimizer::new(phase.optimizer, &parameters)?;
        Ok(Self { parameters, optimizer, average, plateau: Plateau::default(), best: Best::new(phase.patience) })
    }

    /// Exchanges the weights with their average, if there is one: before validation, and back after it.
    pub fn exchange(&mut self) -> Result<(), TchError> {
        self.average.as_mut().map_or(Ok(()), Average::exchange)
    }

    /// What of it is no tensor; `ended`: the phase's patience has run out.
    pub fn state(&self, ended: bool) -> LearnerState {
        LearnerState {
            ended,
            optimizer_steps: self.optimizer.state().0,
            average_steps: self.average.as_ref().map_or(0, |average| average.state().0),
            plateau: self.plateau,
            best: self.best.kept().map(|(score, _)| *score),
        }
    }

    /// Its tensors, by kind and number. They share their numbers with the learner.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let (_, first, second) = self.optimizer.state();
        let average = self.average.iter().flat_map(|average| average.state().1);
        let best = self.best.kept().into_iter().flat_map(|(_, weights)| weights);
        let kinds: [(&str, Vec<&Tensor>); 5] = [
            (PARAMETERS, self.parameters.iter().collect()),
            (FIRST, first),
            (SECOND, second),
            (AVERAGE, average.collect()),
            (BEST, best.collect()),
        ];
        let named = |(kind, tensors): (&str, Vec<&Tensor>)| {
            let tensors = tensors.into_iter().enumerate();
            tensors.map(|(number, tensor)| (name(kind, number), tensor.shallow_clone())).collect::<Vec<_>>()
        };
        kinds.into_iter().flat_map(named).collect()
    }

    /// Takes the state of a checkpoint of the same phase.
    pub fn resume(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainingError> {
        let state = checkpoint.state.learner;
        let parameters: Vec<&Tensor> = self.parameters.iter().collect();
        let weights = checkpoint.tensors(PARAMETERS, &parameters)?;
        let (_, first, second) = self.optimizer.state();
        let (first, second) = (checkpoint.tensors(FIRST, &first)?, checkpoint.tensors(SECOND, &second)?);
        if let Some(average) = &mut self.average {
            average.resume(state.average_steps, &checkpoint.tensors(AVERAGE, &parameters)?)?;
        }
        let best = state.best.map(|score| Ok::<_, TrainingError>((score, checkpoint.tensors(BEST, &parameters)?)));
        self.best.resume(best.transpose()?);
        self.optimizer.restore(state.optimizer_steps, &first, &second)?;
        restore(&self.parameters, &weights)?;
        self.plateau = state.plateau;
        Ok(())
    }
}
