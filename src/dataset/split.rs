//! Which pictures a model learns from and which it is validated on. Pure: the same pictures, fraction and seed give the
//! same split on every machine, whatever order the pictures come in.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::MIN_PER_CLASS;

/// Two sets of indices, ascending, that share nothing and together are all pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Pictures to learn from; at least one of each class.
    pub train: Vec<usize>,
    /// Pictures to validate on; at least one of each class.
    pub validation: Vec<usize>,
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
    /// The fraction isn't between 0 and 1.
    #[error("the validation fraction is {0}: choose one above 0 and below 1")]
    Fraction(f64),
    /// There isn't one key for each label.
    #[error("there are {labels} labels and {keys} keys: there must be one key for each label")]
    Lengths {
        /// The number of labels.
        labels: usize,
        /// The number of keys.
        keys: usize,
    },
}

/// Takes `validation_fraction` of each class's pictures, rounded to the nearest whole number but at least one and not
/// all, for validation.
///
/// `labels[i]` is picture i's class and `keys[i]` what it is known by; a picture's SHA-256 makes the best key, as it
/// outlives renaming. Within a class those with the lowest SHA-256(seed as 8 little-endian bytes ‖ key) are taken, so no
/// random-number library's version can change a split, and a data set that grows keeps most of its old split.
///
/// # Errors
/// When a class has fewer than [`MIN_PER_CLASS`] pictures, the fraction isn't inside 0 to 1, or the lengths differ.
pub fn stratified<K: AsRef<str>>(
    labels: &[u32],
    keys: &[K],
    validation_fraction: f64,
    seed: u64,
) -> Result<Split, SplitError> {
    if labels.len() != keys.len() {
        return Err(SplitError::Lengths { labels: labels.len(), keys: keys.len() });
    }
    // Not-a-number fails this comparison too.
    if !(validation_fraction > 0.0 && validation_fraction < 1.0) {
        return Err(SplitError::Fraction(validation_fraction));
    }
    let mut classes: BTreeMap<u32, Vec<(Rank, &str, usize)>> = BTreeMap::new();
    for (index, (&label, key)) in labels.iter().zip(keys).enumerate() {
        let key = key.as_ref();
        classes.entry(label).or_default().push((rank(seed, key), key, index));
    }
    let mut split = Split { train: Vec::new(), validation: Vec::new() };
    for (class, mut pictures) in classes {
        let images = pictures.len();
        if images < MIN_PER_CLASS {
            return Err(SplitError::ClassTooSmall { class, images });
        }
        pictures.sort_unstable();
        let indices = pictures.into_iter().map(|(_, _, index)| index);
        let taken = validation_count(images, validation_fraction);
        for (position, index) in indices.enumerate() {
            let side = if position < taken { &mut split.validation } else { &mut split.train };
            side.push(index);
        }
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    Ok(split)
}

type Rank = [u8; 32];

fn rank(seed: u64, key: &str) -> Rank {
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update(key).finalize().into()
}

/// How many of a class's `images` (2 or more) are for validation.
fn validation_count(images: usize, fraction: f64) -> usize {
    // A count of pictures is far below 2^53, so the product is exact enough and the cast back cannot overflow.
    ((images as f64 * fraction).round() as usize).clamp(1, images - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A data set of 1 to 6 classes with 2 to 40 pictures each, its keys distinct.
    fn data() -> impl Strategy<Value = (Vec<u32>, Vec<String>)> {
        proptest::collection::vec(2usize..40, 1..6).prop_map(|sizes| {
            let mut labels = Vec::new();
            for (class, size) in sizes.into_iter().enumerate() {
                labels.extend(std::iter::repeat_n(class as u32, size));
            }
            let keys = (0..labels.len()).map(|i| format!("picture-{i}")).collect();
            (labels, keys)
        })
    }

    fn validation_keys(labels: &[u32], keys: &[String], fraction: f64, seed: u64) -> Vec<String> {
        let split = stratified(labels, keys, fraction, seed).unwrap();
        let mut keys: Vec<String> = split.validation.iter().map(|&i| keys[i].clone()).collect();
        keys.sort();
        keys
    }

    proptest! {
        #[test]
        fn every_picture_is_on_exactly_one_side((labels, keys) in data(), fraction in 0.01..0.99, seed: u64) {
            let split = stratified(&labels, &keys, fraction, seed).unwrap();
            prop_assert!(split.train.is_sorted() && split.validation.is_sorted());
            let mut all = [split.train, split.validation].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
        }

        #[test]
        fn every_class_is_split_alike((labels, keys) in data(), fraction in 0.01..0.99, seed: u64) {
            let split = stratified(&labels, &keys, fraction, seed).unwrap();
            for class in 0..=labels[labels.len() - 1] {
                let size = labels.iter().filter(|l| **l == class).count();
                let taken = split.validation.iter().filter(|i| labels[**i] == class).count();
                prop_assert!(taken >= 1 && taken < size);
                prop_assert!((taken as f64 - size as f64 * fraction).abs() <= 1.0);
            }
        }

        #[test]
        fn the_order_of_the_pictures_does_not_matter((labels, keys) in data(), seed: u64, turn in 0usize..100) {
            let before = validation_keys(&labels, &keys, 0.25, seed);
            let (mut labels, mut keys) = (labels, keys);
            let turn = turn % labels.len();
            labels.rotate_left(turn);
            keys.rotate_left(turn);
            labels.reverse();
            keys.reverse();
            prop_assert_eq!(validation_keys(&labels, &keys, 0.25, seed), before);
        }

        #[test]
        fn one_more_picture_moves_at_most_one_other((labels, keys) in data(), seed: u64) {
            let before = validation_keys(&labels, &keys, 0.25, seed);
            let (mut labels, mut keys) = (labels, keys);
            labels.push(0);
            keys.push("one more".into());
            let after = validation_keys(&labels, &keys, 0.25, seed);
            prop_assert!(before.iter().filter(|key| !after.contains(key)).count() <= 1);
            prop_assert!(after.iter().filter(|key| *key != "one more" && !before.contains(key)).count() <= 1);
        }
    }

    #[test]
    fn the_split_of_a_seed_never_changes() {
        let labels = [0, 0, 0, 0, 1, 1, 1, 1];
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
        // Worked out apart from this code, with `printf '\7\0\0\0\0\0\0\0a' | sha256sum` and so on.
        let split = stratified(&labels, &keys, 0.25, 7).unwrap();
        assert_eq!(split.validation, [2, 6]);
        assert_ne!(stratified(&labels, &keys, 0.25, 9).unwrap(), split);
    }

    #[test]
    fn what_cannot_be_split_says_why() {
        let error = stratified(&[0, 0, 1], &["a", "b", "c"], 0.2, 0).unwrap_err();
        assert_eq!(error, SplitError::ClassTooSmall { class: 1, images: 1 });
        for fraction in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
            assert!(matches!(stratified(&[0, 0], &["a", "b"], fraction, 0), Err(SplitError::Fraction(_))));
        }
        let error = stratified(&[0, 0], &["a"], 0.2, 0).unwrap_err();
        assert_eq!(error, SplitError::Lengths { labels: 2, keys: 1 });
    }
}
