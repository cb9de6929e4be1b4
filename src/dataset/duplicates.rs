//! Pictures that show the same: which of a data set belong together.
//!
//! A copy that was saved again, smaller or with another quality, says nothing new: to learn from one and to validate on the other
//! is to be asked what was told before. So a split keeps them on one side ([`super::split`]).

mod hash;

use std::collections::{BTreeMap, HashMap};

pub use hash::PictureHash;

/// For each picture, the number of the first one that shows the same, itself included; `None` if there is no other. What belongs
/// together follows from pairs: pictures whose content is equal, or whose hashes are near.
///
/// Compares each picture with those of nearly the same colour, so the time grows with the square of their number: 100,000
/// photographs take seconds.
#[must_use]
pub fn groups<C: Eq + std::hash::Hash>(contents: &[C], hashes: &[Option<PictureHash>]) -> Vec<Option<u32>> {
    let mut pairs = Vec::new();
    let mut known = HashMap::new();
    for (number, content) in contents.iter().enumerate() {
        pairs.push((*known.entry(content).or_insert(number), number));
    }
    let mut hashed: Vec<(&PictureHash, usize)> =
        hashes.iter().enumerate().filter_map(|(number, hash)| Some((hash.as_ref()?, number))).collect();
    hashed.sort_by_key(|(hash, number)| (hash.sorted_by(), *number));
    for (place, (hash, number)) in hashed.iter().enumerate() {
        let near = hashed[place + 1..].iter().take_while(|(other, _)| other.sorted_by() - hash.sorted_by() <= hash::COLOUR);
        pairs.extend(near.filter(|(other, _)| hash.is_near(other)).map(|(_, other)| (*number, *other)));
    }
    let mut groups = vec![None; contents.len()];
    for group in joined(contents.len(), pairs) {
        // A data set's pictures are numbered in 32 bits: their limit is far below.
        group.iter().for_each(|&number| groups[number] = Some(group[0] as u32));
    }
    groups
}

/// What belongs together of 0 to `count`, given pairs that do: groups of two or more, each ascending, in order of their first.
#[must_use]
pub fn joined(count: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut first: Vec<usize> = (0..count).collect();
    pairs.into_iter().for_each(|(one, other)| join(&mut first, one, other));
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for number in 0..count {
        groups.entry(root(&mut first, number)).or_default().push(number);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Makes two groups one, known by the smaller number.
fn join(first: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(first, one), root(first, other));
    first[one.max(other)] = one.min(other);
}

/// The number that a picture's group is known by; shortens the way there for the next who asks.
fn root(first: &mut [usize], mut number: usize) -> usize {
    while first[number] != number {
        first[number] = first[first[number]];
        number = first[number];
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(bits: u64, green: u8) -> Option<PictureHash> {
        Some(PictureHash::new([bits, 0, 0, 0], [0, green, 0]))
    }

    #[test]
    fn equal_contents_and_near_hashes_belong_together_also_by_way_of_others() {
        let contents = ["a", "b", "a", "c", "d", "e"];
        let far = u64::MAX;
        let hashes = [None, hash(0, 9), hash(far, 200), hash(0b111, 9), hash(far, 60), hash(far, 201)];
        assert_eq!(groups(&contents, &hashes), [Some(0), Some(1), Some(0), Some(1), None, Some(0)]);
        assert_eq!(groups::<&str>(&[], &[]), []);
    }

    proptest! {
        /// Sorting by colour leaves no pair out, and a group is known by its first member.
        #[test]
        fn groups_are_those_of_all_pairs(parts in proptest::collection::vec((0u64..4, 0u8..60), 1..60)) {
            // Values 0 to 3 spread so that 0 and 1 are near, as are 2 and 3, and others aren't.
            let spread = |value: u64| [0, 1, !0, !1][value as usize];
            let hashes: Vec<_> = parts.iter().map(|&(bits, green)| hash(spread(bits), green)).collect();
            let contents: Vec<usize> = (0..parts.len()).collect();
            let found = groups(&contents, &hashes);
            let near = |a: usize, b: usize| hashes[a].unwrap().is_near(&hashes[b].unwrap());
            for a in 0..parts.len() {
                for b in 0..a {
                    prop_assert!(!near(a, b) || (found[a] == found[b] && found[a].is_some()));
                }
                let group = found[a].map(|first| first as usize);
                let alone = (0..parts.len()).all(|b| a == b || !near(a, b));
                prop_assert_eq!(group.is_none(), alone);
                prop_assert!(group.is_none_or(|first| first <= a && found[first] == found[a]));
            }
        }
    }
}
