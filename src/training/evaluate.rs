//! What the present weights make of a set of pictures.

use std::sync::atomic::{AtomicBool, Ordering};

use tch::Tensor;

use super::TrainingError;
use super::features::Features;
use crate::vision::tail::Tail;

/// Pictures a forward pass.
const BATCH: usize = 64;

/// Probabilities and what they come to.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Each picture's class probabilities.
    pub probabilities: Vec<Vec<f32>>,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share whose most probable class is theirs.
    pub accuracy: f64,
}

impl Evaluation {
    /// Each picture's most probable class.
    pub fn predicted(&self) -> impl Iterator<Item = usize> + '_ {
        self.probabilities.iter().map(|row| most_probable(row))
    }
}

/// Evaluates `tail` on the features of `images`.
pub fn evaluate(
    tail: &Tail,
    features: &Features,
    images: &[usize],
    labels: &[u32],
    stop: &AtomicBool,
) -> Result<Evaluation, TrainingError> {
    let mut probabilities = Vec::with_capacity(images.len());
    for batch in images.chunks(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return Err(TrainingError::Stopped);
        }
        probabilities.extend(Vec::<Vec<f32>>::try_from(&tail.probabilities(&features.batch(batch)?)?)?);
    }
    let (mut loss, mut correct) = (0.0, 0usize);
    for (row, &image) in probabilities.iter().zip(images) {
        let truth = labels[image] as usize;
        // A probability that rounds to zero would make the mean infinite; f32's smallest is the most that can be told.
        loss -= f64::from(row[truth].max(f32::MIN_POSITIVE)).ln();
        correct += usize::from(most_probable(row) == truth);
    }
    let n = images.len().max(1) as f64;
    Ok(Evaluation { probabilities, loss: loss / n, accuracy: correct as f64 / n })
}

/// Index of the largest; the first of equals.
fn most_probable(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (k, p)| if *p > row[best] { k } else { best })
}

/// The labels of `images` as a tensor on the device of `like`.
pub fn targets(images: &[usize], labels: &[u32], like: &Tensor) -> Result<Tensor, TrainingError> {
    let targets: Vec<i64> = images.iter().map(|&image| i64::from(labels[image])).collect();
    Ok(Tensor::f_from_slice(&targets)?.f_to_device(like.device())?)
}
