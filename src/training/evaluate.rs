//! What the present weights make of a set of pictures.

use std::sync::atomic::AtomicBool;

use tch::Tensor;

use super::TrainingError;
use super::features::{FeatureStore, Target};
use super::sample::{self, Sample};
use crate::vision::precision::Precision;
use crate::vision::tail::Tail;

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

/// Pictures to judge weights by.
#[derive(Debug, Clone, Copy)]
pub struct Exam<'a> {
    pub images: &'a [usize],
    /// Each picture's class.
    pub labels: &'a [u32],
    /// Whether the answer is the mean over the picture and its mirror image.
    pub flip: bool,
    pub target: Target,
    /// What the weights are served in.
    pub precision: Precision,
    pub stop: &'a AtomicBool,
}

impl Evaluation {
    /// Each picture's most probable class.
    pub fn predicted(&self) -> impl Iterator<Item = usize> + '_ {
        self.probabilities.iter().map(|row| most_probable(row))
    }
}

/// Evaluates `tail` on the features of the exam's pictures, as it would be served.
pub fn evaluate(tail: &Tail, store: &mut FeatureStore<'_>, exam: &Exam<'_>) -> Result<Evaluation, TrainingError> {
    let &Exam { images, labels, flip, target, precision, stop } = exam;
    let tail = tail.prepared(precision)?;
    let views = sample::evaluated(flip);
    let mut probabilities = Vec::with_capacity(images.len());
    store.each(target, &sample::passes(images, views), stop, |_, x| {
        let answers = tail.answers(&x, views.len() as i64)?;
        probabilities.extend(Vec::<Vec<f32>>::try_from(&answers.probabilities)?);
        Ok(())
    })?;
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

/// The labels of `samples` as a tensor on the device of `like`.
pub fn targets(samples: &[Sample], labels: &[u32], like: &Tensor) -> Result<Tensor, TrainingError> {
    let targets: Vec<i64> = samples.iter().map(|sample| i64::from(labels[sample.image])).collect();
    Ok(crate::vision::device::upload(&Tensor::f_from_slice(&targets)?, like.device())?)
}
