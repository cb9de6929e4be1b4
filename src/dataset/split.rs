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
/// all, for validation, and `test_fraction` of them, if it isn't 0, likewise for the test.
///
/// `labels[i]` is picture i's class and `keys[i]` what it is known by; a picture's SHA-256 makes the best key, as it
/// outlives renaming. A class's pictures are ranked by SHA-256(seed as 8 little-endian bytes ‖ key); the lowest are for
/// validation, the highest for the test. So no random-number library's version can change a split, a data set that grows
/// keeps most of its old split, and a test share leaves the validation pictures what they were without it, unless they
/// were all but one of a class: the test needs one, and at least one must be left to learn from.
///
/// # Errors
/// When a class has fewer than [`MIN_PER_CLASS`] pictures, one more with a test share, the fractions aren't inside 0 to 1 or
/// add up to 1 or more, or the lengths differ.
pub fn stratified<K: AsRef<str>>(
    labels: &[u32],
    keys: &[K],
    validation_fraction: f64,
    test_fraction: f64,
    seed: u64,
) -> Result<Split, SplitError> {
    if labels.len() != keys.len() {
        return Err(SplitError::Lengths { labels: labels.len(), keys: keys.len() });
    }
    // Not-a-number fails these comparisons too.
    if !(validation_fraction > 0.0 && validation_fraction < 1.0) {
        return Err(SplitError::Fraction(validation_fraction));
    }
    if !(test_fraction >= 0.0 && validation_fraction + test_fraction < 1.0) {
        return Err(SplitError::TestFraction { test: test_fraction, validation: validation_fraction });
    }
    let mut classes: BTreeMap<u32, Vec<(Rank, &str, usize)>> = BTreeMap::new();
    for (index, (&label, key)) in labels.iter().zip(keys).enumerate() {
        let key = key.as_ref();
        classes.entry(label).or_default().push((rank(seed, key), key, index));
    }
    let mut split = Split { train: Vec::new(), validation: Vec::new(), test: Vec::new() };
    for (class, mut pictures) in classes {
        let images = pictures.len();
        let (validation, test) = if test_fraction == 0.0 {
            if images < MIN_PER_CLASS {
                return Err(SplitError::ClassTooSmall { class, images });
            }
            (share(images, validation_fraction, images - 1), 0)
        } else {
            if images < MIN_PER_CLASS + 1 {
                return Err(SplitError::ClassTooSmallToTest { class, images });
            }
            let validation = share(images, validation_fraction, images - 2);
            (validation, share(images, test_fraction, images - validation - 1))
        };
        pictures.sort_unstable();
        for (position, (_, _, index)) in pictures.into_iter().enumerate() {
            let side = if position < validation {
                &mut split.validation
            } else if position < images - test {
                &mut split.train
            } else {
                &mut split.test
            };
            side.push(index);
        }
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    split.test.sort_unstable();
    Ok(split)
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
