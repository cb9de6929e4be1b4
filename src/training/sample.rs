//! Which pictures an epoch sees, in which order, as which view.

use rand::RngExt;
use rand::seq::SliceRandom;

use super::seeds;
use crate::recipe::ClassBalance;
use crate::vision::augmentation::View;

/// A picture seen as one of its views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sample {
    /// The picture's place in the data set.
    pub image: usize,
    /// How it is seen.
    pub view: View,
}

/// Where an epoch's views come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// From the picture as it is and stored augmented views, each equally likely.
    Stored {
        /// How the picture as it is looks.
        unaugmented: View,
        /// How many augmented views there are.
        views: u32,
    },
    /// A new augmented view each time: nothing is stored, so nothing is gained by repeating one.
    Fresh,
}

/// An epoch's samples in order: one for each of `train`, its view drawn. Drawn from (seed, phase, epoch) alone.
///
/// With [`ClassBalance::Sampling`] there are as many samples, but each class is drawn equally often.
pub fn epoch(
    train: &[usize],
    labels: &[u32],
    balance: ClassBalance,
    draw: Draw,
    seed: u64,
    phase: &str,
    epoch: u32,
) -> Vec<Sample> {
    let mut rng = seeds::generator(seed, phase, u64::from(epoch));
    let images = match balance {
        ClassBalance::Sampling => balanced(train, labels, &mut rng),
        ClassBalance::None | ClassBalance::Weights => {
            let mut images = train.to_vec();
            images.shuffle(&mut rng);
            images
        }
    };
    let sample = |image| {
        let view = match draw {
            Draw::Stored { unaugmented, views } => stored(unaugmented, rng.random_range(0..=views)),
            // Any number is a view; 31 bits of them don't run out.
            Draw::Fresh => View::Augmented(rng.random::<u32>() >> 1),
        };
        Sample { image, view }
    };
    images.into_iter().map(sample).collect()
}

/// The stored view of this number: 0 is the picture as it is.
fn stored(unaugmented: View, number: u32) -> View {
    if number == 0 { unaugmented } else { View::Augmented(number) }
}

/// Every sample that [`Draw::Stored`] may draw of `train`.
pub fn all_stored(train: &[usize], unaugmented: View, views: u32) -> impl Iterator<Item = Sample> + '_ {
    train.iter().flat_map(move |&image| (0..=views).map(move |number| Sample { image, view: stored(unaugmented, number) }))
}

/// `images` one after another, each in all of `views`, side by side.
pub fn seen<'a>(images: &'a [usize], views: &'a [View]) -> impl Iterator<Item = Sample> + 'a {
    images.iter().flat_map(move |&image| views.iter().map(move |&view| Sample { image, view }))
}

/// Views that go through the network together where nothing is learnt: as many as most training steps have, so that they find room in
/// what those freed.
const VIEWS_A_PASS: usize = 32;

/// The batches of `images` that go through the network together, each picture in all of `views`, side by side.
pub fn passes(images: &[usize], views: &[View]) -> Vec<Vec<Sample>> {
    let pictures = (VIEWS_A_PASS / views.len().max(1)).max(1);
    images.chunks(pictures).map(|images| seen(images, views).collect()).collect()
}

/// The views that a picture is evaluated on: as it is, and mirrored too if `flip`.
pub const fn evaluated(flip: bool) -> &'static [View] {
    if flip { &[View::Evaluation, View::Mirrored] } else { &[View::Evaluation] }
}

/// As many pictures as `train` has, classes in turn, each class's pictures in shuffled rounds: no picture of a class comes
/// again before all of them have come. Then shuffled.
fn balanced(train: &[usize], labels: &[u32], rng: &mut rand::rngs::StdRng) -> Vec<usize> {
    let mut classes: std::collections::BTreeMap<u32, Vec<usize>> = std::collections::BTreeMap::new();
    train.iter().for_each(|&image| classes.entry(labels[image]).or_default().push(image));
    let mut order: Vec<u32> = classes.keys().copied().collect();
    // Whichever classes get one more than others, it isn't always the same ones.
    order.shuffle(rng);
    let mut rounds: std::collections::BTreeMap<u32, Vec<usize>> = std::collections::BTreeMap::new();
    let mut images = Vec::with_capacity(train.len());
    for class in order.iter().cycle().take(train.len()) {
        let round = rounds.entry(*class).or_default();
        if round.is_empty() {
            round.clone_from(&classes[class]);
            round.shuffle(rng);
        }
        images.extend(round.pop());
    }
    images.shuffle(rng);
    images
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::preprocessing::Resize;

    const STORED: Draw = Draw::Stored { unaugmented: View::Framed(Resize::Crop), views: 2 };

    fn images(samples: &[Sample]) -> Vec<usize> {
        let mut images: Vec<usize> = samples.iter().map(|sample| sample.image).collect();
        images.sort_unstable();
        images
    }

    proptest! {
        #[test]
        fn an_epoch_sees_every_picture_once(count in 1usize..200, views in 0u32..9, seed: u64, number in 1u32..50) {
            let train: Vec<usize> = (0..count).map(|i| i * 3).collect();
            let labels = vec![0; count * 3];
            let draw = |number| epoch(&train, &labels, ClassBalance::None, Draw::Stored { unaugmented: View::Evaluation, views }, seed, "p", number);
            let samples = draw(number);
            prop_assert_eq!(images(&samples), train.clone());
            prop_assert_eq!(draw(number), samples.clone());
            let stored: Vec<Sample> = all_stored(&train, View::Evaluation, views).collect();
            prop_assert!(samples.iter().all(|sample| stored.contains(sample)));
        }

        #[test]
        fn sampling_draws_classes_equally_often(sizes in proptest::collection::vec(1usize..30, 1..6), seed: u64) {
            let labels: Vec<u32> = sizes.iter().enumerate().flat_map(|(k, n)| std::iter::repeat_n(k as u32, *n)).collect();
            let train: Vec<usize> = (0..labels.len()).collect();
            let samples = epoch(&train, &labels, ClassBalance::Sampling, STORED, seed, "p", 1);
            prop_assert_eq!(samples.len(), train.len());
            let count = |class| samples.iter().filter(|sample| labels[sample.image] == class).count();
            let counts: Vec<usize> = (0..sizes.len() as u32).map(count).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn every_view_comes_up_and_fresh_ones_differ() {
        let train: Vec<usize> = (0..300).collect();
        let labels = vec![0; 300];
        let samples = epoch(&train, &labels, ClassBalance::None, STORED, 1, "p", 1);
        for view in [View::Framed(Resize::Crop), View::Augmented(1), View::Augmented(2)] {
            assert!((70..130).contains(&samples.iter().filter(|sample| sample.view == view).count()), "{view:?}");
        }
        let fresh = epoch(&train, &labels, ClassBalance::None, Draw::Fresh, 1, "p", 1);
        let views: std::collections::HashSet<View> = fresh.iter().map(|sample| sample.view).collect();
        assert!(views.len() > 295);
    }

    proptest! {
        #[test]
        fn a_pass_has_whole_pictures_and_all_of_them_come(count in 0usize..200, views in 1u32..40) {
            let (images, views) = ((0..count).collect::<Vec<_>>(), (1..=views).map(View::Augmented).collect::<Vec<_>>());
            let passes = passes(&images, &views);
            prop_assert_eq!(passes.concat(), seen(&images, &views).collect::<Vec<_>>());
            for pass in &passes {
                prop_assert!(pass.len() % views.len() == 0 && pass.len() <= VIEWS_A_PASS.max(views.len()));
            }
        }
    }

    #[test]
    fn evaluation_is_one_view_or_two() {
        assert_eq!(seen(&[4, 7], evaluated(false)).count(), 2);
        let both = [View::Evaluation, View::Mirrored].map(|view| Sample { image: 4, view });
        assert_eq!(seen(&[4], evaluated(true)).collect::<Vec<_>>(), both);
    }
}
