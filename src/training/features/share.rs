//! What several processes do for one run: each computes a part of its features, and all find what any of them computed.
//!
//! A run that misses many rows cuts them into shards. Who offers them to others, and how rows come from one machine to the next,
//! is no business of training: it asks [`Helpers`] and [`Exchange`].

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::training::sample::Sample;

/// Rows a shard, about: ten seconds of two cores' work. What a helper that is lost leaves is computed again, and a worker that helps
/// looks for work of its own after each.
const SHARD_ROWS: usize = 256;
/// Most shards: of more rows, each has more.
const MOST_SHARDS: usize = 10_000;

/// Part of the samples of a run, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its own number.
    pub number: u32,
    /// Its samples'.
    pub samples: Numbers,
}

/// Numbers as ranges, rising. As text both ends are inclusive: `0-4,7-7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers(Vec<Range<u64>>);

/// A text that isn't [`Numbers`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} isn't a list of rising ranges of numbers")]
pub struct InvalidNumbers(String);

impl Numbers {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// The items that have these numbers; `None` if there aren't as many.
    #[must_use]
    pub fn of<T: Copy>(&self, items: &[T]) -> Option<Vec<T>> {
        let slice = |range: &Range<u64>| {
            items.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?).map(<[T]>::to_vec)
        };
        self.0.iter().map(slice).collect::<Option<Vec<_>>>().map(|slices| slices.concat())
    }

    fn push(&mut self, number: u64) {
        match self.0.last_mut() {
            Some(range) if range.end == number => range.end += 1,
            _ => self.0.push(number..number + 1),
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{}-{}", range.start, range.end - 1)?;
        }
        Ok(())
    }
}

impl FromStr for Numbers {
    type Err = InvalidNumbers;

    fn from_str(text: &str) -> Result<Self, InvalidNumbers> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for part in text.split(',') {
            let range = part.split_once('-').and_then(|(first, last)| {
                let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
                let rises = ranges.last().is_none_or(|before| before.end < first) && first <= last;
                rises.then_some(first..last.checked_add(1)?)
            });
            ranges.push(range.ok_or_else(|| InvalidNumbers(text.chars().take(100).collect()))?);
        }
        Ok(Self(ranges))
    }
}

/// Cuts the samples of these rising numbers into shards, none of which divides a picture: it is decoded once for all its views.
pub fn cut(samples: &[Sample], numbers: &[u64]) -> Vec<Shard> {
    let most = SHARD_ROWS.max(numbers.len().div_ceil(MOST_SHARDS));
    let mut shards: Vec<Shard> = Vec::new();
    let (mut rows, mut picture) = (0, None);
    for &number in numbers {
        // They come from these samples.
        let image = samples[number as usize].image;
        if shards.is_empty() || (rows >= most && picture != Some(image)) {
            shards.push(Shard { number: shards.len() as u32, samples: Numbers(Vec::new()) });
            rows = 0;
        }
        if let Some(shard) = shards.last_mut() {
            shard.samples.push(number);
        }
        (rows, picture) = (rows + 1, Some(image));
    }
    shards
}

/// How the shards of a run stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Those that others finished since the last time.
    pub finished: Vec<Finished>,
    /// How many nobody has finished yet.
    pub open: u64,
}

/// A shard that somebody else finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its number.
    pub number: u32,
    /// The segments that hold its rows: a shelf's name, `/`, the segment's.
    pub segments: Vec<String>,
}

/// Who computes a run's features with it. Called on the run's thread, which waits for the answer.
pub trait Helpers: fmt::Debug {
    /// Takes the turn to compute rows called `features` in the arithmetic of this name, which the run has until [`Helpers::end`]; false
    /// while another run has it, whose rows may be the same.
    ///
    /// # Errors
    /// The run can't go on.
    fn turn(&self, features: &str, arithmetic: &str) -> Result<bool, SharingError>;

    /// Waits a moment for the turn, or does something useful meanwhile.
    fn await_turn(&self);

    /// Offers shards to everybody.
    ///
    /// # Errors
    /// The run can't go on.
    fn offer(&self, shards: &[Shard]) -> Result<(), SharingError>;

    /// The next shard that this run itself is to compute; `None` if somebody has each of the others.
    ///
    /// # Errors
    /// The run can't go on.
    fn next(&self) -> Result<Option<u32>, SharingError>;

    /// Notes that this run has computed a shard.
    ///
    /// # Errors
    /// The run can't go on.
    fn finish(&self, shard: u32) -> Result<(), SharingError>;

    /// Asks how the shards stand.
    ///
    /// # Errors
    /// The run can't go on.
    fn standing(&self) -> Result<Standing, SharingError>;

    /// Waits a moment for others.
    fn wait(&self);

    /// Gives the turn back. What others compute of it then is of no use to this run, but stays.
    fn end(&self);
}

/// Where segments of features are kept for several machines. Called on the run's thread, which waits for the answer.
pub trait Exchange: fmt::Debug {
    /// The files of a shelf that are kept, and their bytes.
    ///
    /// # Errors
    /// The run can't go on.
    fn list(&self, shelf: &str) -> Result<Vec<(String, u64)>, SharingError>;

    /// Makes segments local, whole ones: what isn't kept any more, or is damaged, is passed over.
    ///
    /// # Errors
    /// The run can't go on.
    fn fetch(&self, segments: &[PathBuf]) -> Result<(), SharingError>;

    /// Keeps a finished segment.
    ///
    /// # Errors
    /// The run can't go on.
    fn keep(&self, segment: &Path) -> Result<(), SharingError>;
}

/// What stands in the way of working together. Whoever is asked knows more.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SharingError(pub String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::augmentation::View;

    fn samples(pictures: &[usize]) -> Vec<Sample> {
        let views =
            |(image, &views): (usize, &usize)| (0..views).map(move |view| Sample { image, view: View::Augmented(view as u32) });
        pictures.iter().enumerate().flat_map(views).collect()
    }

    #[test]
    fn only_rising_ranges_are_numbers() {
        let numbers: Numbers = "0-4,7-7".parse().unwrap();
        assert_eq!((numbers.count(), numbers.to_string()), (6, "0-4,7-7".to_owned()));
        assert_eq!(numbers.of(&[0, 1, 2, 3, 4, 5, 6, 7]), Some(vec![0, 1, 2, 3, 4, 7]));
        assert_eq!(numbers.of(&[0; 7]), None, "there is no eighth");
        for text in ["", "1", "2-1", "0-4,3-5", "0-4,5-5", "a-b", "-1-2", "0-18446744073709551615", "1-2,"] {
            assert!(text.parse::<Numbers>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_sample_is_in_one_shard_and_every_picture_too(
            pictures in proptest::collection::vec(0usize..9, 1..400), left_out in 1usize..50,
        ) {
            let samples = samples(&pictures);
            let numbers: Vec<u64> = (0..samples.len() as u64).filter(|number| !(*number as usize).is_multiple_of(left_out)).collect();
            let shards = cut(&samples, &numbers);
            let mut seen = Vec::new();
            let mut last = None;
            for (place, shard) in shards.iter().enumerate() {
                prop_assert_eq!(shard.number as usize, place);
                prop_assert_eq!(&shard.samples.to_string().parse::<Numbers>().unwrap(), &shard.samples);
                let of = shard.samples.of(&samples).unwrap();
                prop_assert_eq!(of.len() as u64, shard.samples.count());
                prop_assert!(last.is_none_or(|last| last < of[0].image));
                prop_assert!(place + 1 == shards.len() || of.len() >= SHARD_ROWS);
                prop_assert!(of.len() < SHARD_ROWS + 9);
                last = of.last().map(|sample| sample.image);
                seen.extend(of);
            }
            let wanted: Vec<Sample> = numbers.iter().map(|number| samples[*number as usize]).collect();
            prop_assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn there_are_never_too_many_shards() {
        let samples = samples(&vec![1; SHARD_ROWS * MOST_SHARDS * 2]);
        let numbers: Vec<u64> = (0..samples.len() as u64).collect();
        assert_eq!(cut(&samples, &numbers).len(), MOST_SHARDS);
    }
}
