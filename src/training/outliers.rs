//! Where the classes lie, measured on the final weights.

use tch::Tensor;

use super::TrainingError;
use super::evaluate::Exam;
use super::features::FeatureStore;
use super::sample::{self, Sample};
use crate::vision::augmentation::View;
use crate::vision::outliers::{MeanDirections, Outliers};
use crate::vision::tail::Tail;

/// Training pictures of a class that its mean direction is taken from: a mean of 256 numbers barely moves after these.
const PICTURES_A_CLASS: usize = 32;

/// Validation pictures whose distances are measured: ten for each percentile.
const MEASURED: usize = 1000;

/// Pictures a forward pass.
const BATCH: usize = 64;

/// Means from some of the training pictures `train`, seen as `unaugmented`; distances from some of the validation pictures, which are `exam`'s;
/// `tail` is prepared to answer.
pub fn outliers(
    tail: &Tail,
    store: &mut FeatureStore<'_>,
    train: &[usize],
    unaugmented: View,
    exam: &Exam<'_>,
) -> Result<Option<Outliers>, TrainingError> {
    let mut means = MeanDirections::new(tail.head.classes(), tail.head.hidden_bias.numel());
    let class = |image: usize| exam.labels[image] as usize;
    let mut counts = vec![0usize; tail.head.classes()];
    let few: Vec<usize> = train
        .iter()
        .copied()
        .filter(|&image| {
            counts[class(image)] += 1;
            counts[class(image)] <= PICTURES_A_CLASS
        })
        .collect();
    each(tail, store, &few, exam, &[unaugmented], |image, embedding| means.add(class(image), embedding))?;
    let every = exam.images.len().div_ceil(MEASURED).max(1);
    let measured: Vec<usize> = exam.images.iter().copied().step_by(every).collect();
    let mut distances = Vec::with_capacity(measured.len());
    each(tail, store, &measured, exam, sample::evaluated(exam.flip), |_, embedding| distances.push(means.distance(embedding)))?;
    Ok(means.finish(distances))
}

/// Tells `tell` what the head's hidden layer makes of each of `images`, on the mean over `views`.
fn each(
    tail: &Tail,
    store: &mut FeatureStore<'_>,
    images: &[usize],
    exam: &Exam<'_>,
    views: &[View],
    mut tell: impl FnMut(usize, &[f32]),
) -> Result<(), TrainingError> {
    let batches: Vec<Vec<Sample>> = images.chunks(BATCH).map(|images| sample::seen(images, views).collect()).collect();
    store.each(exam.target, &batches, exam.stop, |batch, x: Tensor| {
        let answers = tail.answers(&x, views.len() as i64)?;
        let embeddings = Vec::<Vec<f32>>::try_from(&answers.embeddings)?;
        images[batch * BATCH..].iter().zip(&embeddings).for_each(|(&image, embedding)| tell(image, embedding));
        Ok(())
    })
}
