//! What the head's hidden layer makes of pictures under the final weights: where the classes lie, and some pictures to compare
//! others with.

use std::collections::{BTreeMap, HashSet};

use tch::Tensor;

use super::TrainingError;
use super::evaluate::Exam;
use super::features::FeatureStore;
use super::sample;
use crate::vision::augmentation::View;
use crate::vision::neighbours::Neighbours;
use crate::vision::outliers::{MeanDirections, Outliers};
use crate::vision::tail::Tail;

/// Training pictures of a class that are looked at: a mean direction of 256 numbers barely moves after these.
const PICTURES_A_CLASS: usize = 32;

/// Validation pictures whose distances are measured: ten for each percentile.
const MEASURED: usize = 1000;

/// What answers about a picture are made of beside the weights.
#[derive(Debug)]
pub struct Embedded {
    /// Where the classes lie; none without validation pictures.
    pub outliers: Option<Outliers>,
    /// Training pictures to compare others with.
    pub neighbours: Neighbours,
}

/// Means and neighbours from some of the training pictures `train`, seen as `unaugmented`; distances from some of the validation
/// pictures, which are `exam`'s; `tail` is prepared to answer.
pub fn embedded(
    tail: &Tail,
    store: &mut FeatureStore<'_>,
    train: &[usize],
    unaugmented: View,
    exam: &Exam<'_>,
) -> Result<Embedded, TrainingError> {
    let (classes, units) = (tail.head.classes(), tail.head.hidden_bias.numel());
    let class = |image: usize| exam.labels[image] as usize;
    let mut counts = vec![0usize; classes];
    let few: Vec<usize> = train
        .iter()
        .copied()
        .filter(|&image| {
            counts[class(image)] += 1;
            counts[class(image)] <= PICTURES_A_CLASS
        })
        .collect();
    let kept = in_turn(&few, class, Neighbours::most(units));
    let (mut means, mut neighbours) = (MeanDirections::new(classes, units), Neighbours::none(units));
    each(tail, store, &few, exam, &[unaugmented], |image, embedding| {
        means.add(class(image), embedding);
        if kept.contains(&image) {
            neighbours.add(image, class(image), embedding);
        }
    })?;
    let every = exam.images.len().div_ceil(MEASURED).max(1);
    let measured: Vec<usize> = exam.images.iter().copied().step_by(every).collect();
    let mut distances = Vec::with_capacity(measured.len());
    each(tail, store, &measured, exam, sample::evaluated(exam.flip), |_, embedding| distances.push(means.distance(embedding)))?;
    Ok(Embedded { outliers: means.finish(distances), neighbours })
}

/// So many of `images`, classes in turn: the first of each class, then the second of each. When they don't suffice for all, no
/// class has two more than another that has any left.
fn in_turn(images: &[usize], class: impl Fn(usize) -> usize, most: usize) -> HashSet<usize> {
    let mut turns: BTreeMap<usize, usize> = BTreeMap::new();
    let mut turn = |image: usize| {
        let turn = turns.entry(class(image)).or_default();
        *turn += 1;
        *turn
    };
    let mut order: Vec<(usize, usize, usize)> = images.iter().map(|&image| (turn(image), class(image), image)).collect();
    order.sort_unstable();
    order.into_iter().take(most).map(|(_, _, image)| image).collect()
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
    let passes = sample::passes(images, views);
    store.each(exam.target, &passes, exam.stop, |pass, x: Tensor| {
        let answers = tail.answers(&x, views.len() as i64)?;
        let embeddings = Vec::<Vec<f32>>::try_from(&answers.embeddings)?;
        passes[pass].iter().step_by(views.len()).zip(&embeddings).for_each(|(sample, embedding)| tell(sample.image, embedding));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_take_turns() {
        // Pictures 0 to 9; of class 0 there are six, of class 1 one, of class 2 three.
        let classes = [0, 0, 0, 0, 1, 2, 2, 2, 0, 0];
        let kept = |most| {
            let mut kept: Vec<usize> =
                in_turn(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], |image| classes[image], most).into_iter().collect();
            kept.sort_unstable();
            kept
        };
        assert_eq!(kept(3), [0, 4, 5]);
        assert_eq!(kept(6), [0, 1, 2, 4, 5, 6]);
        assert_eq!(kept(8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((kept(0).len(), kept(99).len()), (0, 10));
    }
}
