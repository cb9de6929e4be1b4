//! Which pictures a model learns from, which it is validated on and which it is tested on at the end. Pure: the same
//! pictures, fractions and seed give the same split on every machine, whatever order the pictures come in.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::MIN_PER_CLASS;

#[cfg(test)]
mod tests;

/// Three sets of indices, ascending, that share nothing and together are all pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Pictures to learn from; at least one of each class.
    pub train: Vec<usize>,
    /// Pictures to validate on; at least one of each class.
    pub validation: Vec<usize>,
    /// Pictures kept untouched until the end; at least one of each class, or none at all.
    pub test: Vec<usize>,
}

/// Why a split can't be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// A class can't be on both sides.
    #[error("class {class} has {images} picture(s) and needs at least 2: one to learn from, one to validate on")]
    ClassTooSmall {
        /// The class's index.
        class: u32,
        /// Its pictures.
        images: usize,
    },
    /// A class can't be on all three sides.
    #[error(
        "class {class} has {images} picture(s) and needs at least 3: one each to learn from, to validate on and to test on"
    )]
    ClassTooSmallToTest {
        /// The class's index.
        class: u32,
        /// Its pictures.
        images: usize,
    },
    /// The fraction isn't between 0 and 1.
    #[error("the validation fraction is {0}: choose one above 0 and below 1")]
    Fraction(f64),
    /// The test fraction isn't between 0 and what validation leaves.
    #[error(
        "the test fraction is {test}: choose 0 for none, or one that adds up to less than 1 with {validation} for validation"
    )]
    TestFraction {
        /// The test fraction.
        test: f64,
        /// The validation fraction.
        validation: f64,
    },
    /// There isn't one key and one group for each label.
    #[error("there are {labels} labels, {keys} keys and {groups} groups: there must be one of each for each picture")]
    Lengths {
        /// The number of labels.
        labels: usize,
        /// The number of keys.
        keys: usize,
        /// The number of groups.
        groups: usize,
    },
}

/// Takes `validation_fraction` of each class's pictures, rounded to the nearest whole number but at least one and not
/// all, for validation, and `test_fraction` of them, if it isn't 0, likewise for the test.
///
/// `labels[i]` is picture i's class and `keys[i]` what it is known by; a picture's SHA-256 makes the best key, as it
/// outlives renaming. A class's pictures are ranked by SHA-256(seed as 8 little-endian bytes ‖ key); the lowest are for
/// validation, the highest for the test. So no random-number library's version can change a split, a data set that grows
/// keeps most of its old split, and a test share leaves the validation pictures what they were without it, unless they
/// were all but one of a class: the test needs one, and at least one must be left to learn from.
///
/// Pictures that have a number in common in `groups` show the same, and stay on one side, whatever their classes: a group ranks as
/// its lowest picture does, and goes where all of it fits. Should a class have nothing but groups that don't fit, pictures of it
/// are taken singly: every class is on every side.
///
/// # Errors
/// When a class has fewer than [`MIN_PER_CLASS`] pictures, one more with a test share, the fractions aren't inside 0 to 1 or
/// add up to 1 or more, or the lengths differ.
pub fn stratified<K: AsRef<str>>(
    labels: &[u32],
    keys: &[K],
    groups: &[Option<u32>],
    validation_fraction: f64,
    test_fraction: f64,
    seed: u64,
) -> Result<Split, SplitError> {
    if labels.len() != keys.len() || labels.len() != groups.len() {
        return Err(SplitError::Lengths { labels: labels.len(), keys: keys.len(), groups: groups.len() });
    }
    // Not-a-number fails these comparisons too.
    if !(validation_fraction > 0.0 && validation_fraction < 1.0) {
        return Err(SplitError::Fraction(validation_fraction));
    }
    if !(test_fraction >= 0.0 && validation_fraction + test_fraction < 1.0) {
        return Err(SplitError::TestFraction { test: test_fraction, validation: validation_fraction });
    }
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    labels.iter().for_each(|&label| *sizes.entry(label).or_default() += 1);
    let (mut validation, mut test) = (Quota::new(), Quota::new());
    for (&class, &images) in &sizes {
        let (validated, tested) = shares(class, images, validation_fraction, test_fraction)?;
        validation.insert(class, validated);
        test.insert(class, tested);
    }
    let units = units(labels, keys, groups, seed);
    let (mut validation, units) = take(units, labels, validation, false);
    let (mut test, units) = take(units, labels, test, true);
    let mut train: Vec<usize> = units.into_iter().flat_map(|unit| unit.images).collect();
    train.sort_unstable();
    validation.sort_unstable();
    test.sort_unstable();
    Ok(Split { train, validation, test })
}

/// Divides pictures into `count` parts, numbered from 0, each with about as many of each class; groups stay together, and each class
/// of two pictures or more is in two parts or more unless it is one group. The order of pictures doesn't matter.
#[must_use]
pub fn folds<K: AsRef<str>>(labels: &[u32], keys: &[K], groups: &[Option<u32>], count: u32, seed: u64) -> Vec<u32> {
    let mut folds = vec![0; labels.len()];
    let mut dealt: BTreeMap<u32, usize> = BTreeMap::new();
    for unit in units(labels, keys, groups, seed) {
        let class = dealt.entry(labels[unit.images[0]]).or_default();
        let fold = (*class % count as usize) as u32;
        *class += 1;
        unit.images.into_iter().for_each(|image| folds[image] = fold);
    }
    folds
}

/// How many of a class's pictures are for validation, and how many for the test.
fn shares(class: u32, images: usize, validation: f64, test: f64) -> Result<(usize, usize), SplitError> {
    if test == 0.0 {
        if images < MIN_PER_CLASS {
            return Err(SplitError::ClassTooSmall { class, images });
        }
        return Ok((share(images, validation, images - 1), 0));
    }
    if images < MIN_PER_CLASS + 1 {
        return Err(SplitError::ClassTooSmallToTest { class, images });
    }
    let validated = share(images, validation, images - 2);
    Ok((validated, share(images, test, images - validated - 1)))
}

/// Pictures that go to one side together.
struct Unit<'a> {
    /// Its lowest picture's rank and key.
    rank: (Rank, &'a str),
    images: Vec<usize>,
}

/// How many pictures of each class are wanted.
type Quota = BTreeMap<u32, usize>;

/// The pictures in units, in order of their ranks.
fn units<'a, K: AsRef<str>>(labels: &[u32], keys: &'a [K], groups: &[Option<u32>], seed: u64) -> Vec<Unit<'a>> {
    // Equal contents of several classes have one rank: then the class decides.
    let ranked = |image: usize| (rank(seed, keys[image].as_ref()), keys[image].as_ref(), labels[image]);
    let mut units: BTreeMap<(Option<u32>, usize), Vec<usize>> = BTreeMap::new();
    for (image, group) in groups.iter().enumerate() {
        // A picture by itself is known by its own number.
        let unit = if group.is_some() { (*group, 0) } else { (None, image) };
        units.entry(unit).or_default().push(image);
    }
    let unit = |mut images: Vec<usize>| {
        images.sort_by_cached_key(|&image| ranked(image));
        let (rank, key, _) = ranked(images[0]);
        Unit { rank: (rank, key), images }
    };
    let mut units: Vec<Unit<'_>> = units.into_values().map(unit).collect();
    units.sort_by(|a, b| (a.rank, labels[a.images[0]]).cmp(&(b.rank, labels[b.images[0]])));
    units
}

/// Takes of `units`, from the lowest on or from the highest on, each whose pictures are all wanted; then, of classes of which that
/// were none, pictures out of their units. Answers the pictures taken and the units left.
fn take<'a>(
    mut units: Vec<Unit<'a>>,
    labels: &[u32],
    mut wanted: Quota,
    from_the_highest: bool,
) -> (Vec<usize>, Vec<Unit<'a>>) {
    if from_the_highest {
        units.reverse();
    }
    let whole = wanted.clone();
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for unit in units {
        let mut counts = Quota::new();
        unit.images.iter().for_each(|&image| *counts.entry(labels[image]).or_default() += 1);
        if counts.iter().all(|(class, count)| wanted[class] >= *count) {
            counts.into_iter().for_each(|(class, count)| *wanted.entry(class).or_default() -= count);
            taken.extend(unit.images);
        } else {
            left.push(unit);
        }
    }
    for (class, mut missing) in wanted.into_iter().filter(|(class, wanted)| *wanted > 0 && *wanted == whole[class]) {
        for unit in &mut left {
            let (singly, together) = unit.images.iter().partition(|&&image| {
                let take = labels[image] == class && missing > 0;
                missing -= usize::from(take);
                take
            });
            taken.extend::<Vec<usize>>(singly);
            unit.images = together;
        }
    }
    if from_the_highest {
        left.reverse();
    }
    (taken, left)
}

type Rank = [u8; 32];

fn rank(seed: u64, key: &str) -> Rank {
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update(key).finalize().into()
}

/// `fraction` of a class's `images`, 1 to `most` (1 or more).
fn share(images: usize, fraction: f64, most: usize) -> usize {
    // A count of pictures is far below 2^53, so the product is exact enough and the cast back cannot overflow.
    ((images as f64 * fraction).round() as usize).clamp(1, most)
}
