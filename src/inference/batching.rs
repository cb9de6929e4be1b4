//! Which waiting pictures ride the next batch: a pure function.

use std::collections::HashMap;
use std::hash::Hash;

/// What the policy knows of a waiting picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<G, M> {
    /// Pictures of one group can share a pass through the frozen prefix.
    pub group: G,
    /// The model that is to answer.
    pub model: M,
    /// Who sent it: pictures of one caller wait for each other, not for those of others.
    pub caller: u64,
    /// What its model needs is loaded.
    pub ready: bool,
    /// Nobody waits for the answer any more, or it would come too late.
    pub closed: bool,
}

/// What to do with the queue, as places in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// To compute now, all of one group.
    pub take: Vec<usize>,
    /// To drop without computing.
    pub drop: Vec<usize>,
}

/// Forms a batch of at most `max` from `queue` (oldest first).
///
/// Models take turns, within a model its callers do, within a caller the oldest comes first; whose turn has come equally
/// often, the older goes. So neither a request with many pictures nor a model with many clients keeps the others waiting. The
/// first decides the group, and only its group rides. The oldest ready picture is always in it, so nobody waits for ever.
/// Closed ones are dropped; those whose model is still being loaded stay.
pub fn next_batch<G: Copy + Eq, M: Copy + Eq + Hash>(queue: &[Waiting<G, M>], max: usize) -> Batch {
    let drop = (0..queue.len()).filter(|&place| queue[place].closed).collect();
    let ready = (0..queue.len()).filter(|&place| queue[place].ready && !queue[place].closed).collect();
    let by_caller = in_turns(ready, |place| (queue[place].model, queue[place].caller));
    let mut order = in_turns(by_caller, |place| queue[place].model);
    if let Some(&first) = order.first() {
        order.retain(|&place| queue[place].group == queue[first].group);
    }
    order.truncate(max.max(1));
    Batch { take: order, drop }
}

/// Orders `places` by how many before it have the same key; of as many, by age.
fn in_turns<K: Eq + Hash>(places: Vec<usize>, key: impl Fn(usize) -> K) -> Vec<usize> {
    let mut turns: HashMap<K, usize> = HashMap::new();
    let mut ranked: Vec<(usize, usize)> = places
        .into_iter()
        .map(|place| {
            let turn = turns.entry(key(place)).or_default();
            *turn += 1;
            (*turn, place)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A word a picture: model (its upper case: closed), caller, group; `~` in front: not loaded.
    fn queue(text: &str) -> Vec<Waiting<char, char>> {
        let waiting = |word: &str| {
            let letters: Vec<char> = word.trim_start_matches('~').chars().collect();
            Waiting {
                model: letters[0].to_ascii_lowercase(),
                caller: u64::from(letters[1].to_digit(36).unwrap()),
                group: letters[2],
                ready: !word.starts_with('~'),
                closed: letters[0].is_ascii_uppercase(),
            }
        };
        text.split_whitespace().map(waiting).collect()
    }

    fn taken(text: &str, max: usize) -> Vec<usize> {
        next_batch(&queue(text), max).take
    }

    #[test]
    fn the_oldest_goes_first_and_others_of_its_group_ride_along() {
        assert_eq!(taken("a1x a2y a3x a4x a5y", 8), [0, 2, 3]);
        assert_eq!(taken("a1x a2y a3x a4x a5y", 2), [0, 2]);
        assert_eq!(next_batch(&queue("A1x b2y a3x"), 8), Batch { take: vec![1], drop: vec![0] });
        assert!(taken("", 8).is_empty());
        // What is being loaded waits and keeps nobody.
        assert_eq!(taken("~a1x b2y", 8), [1]);
    }

    #[test]
    fn callers_and_models_take_turns() {
        // Caller 1 sent five pictures before callers 2 and 3 came with one each.
        assert_eq!(taken("a1x a1x a1x a1x a1x a2x a3x", 4), [0, 5, 6, 1]);
        // Model a has five clients, b came last with one.
        assert_eq!(taken("a1x a2x a3x a4x a5x b6x", 3), [0, 5, 1]);
        // One caller of two models is one caller in each.
        assert_eq!(taken("a1x b1x a2x", 2), [0, 1]);
    }

    proptest! {
        #[test]
        fn laws_of_batching(words in proptest::collection::vec("~?[abcAB][123][xy]", 0..40), max in 1usize..10) {
            let queue = queue(&words.join(" "));
            let batch = next_batch(&queue, max);
            let open: Vec<usize> = (0..queue.len()).filter(|&i| queue[i].ready && !queue[i].closed).collect();
            // The oldest goes first, and only with its group.
            prop_assert_eq!(batch.take.first(), open.first());
            prop_assert!(batch.take.iter().all(|&i| open.contains(&i) && queue[i].group == queue[batch.take[0]].group));
            // As many as can, none twice.
            let fitting = open.iter().filter(|&&i| queue[i].group == queue[open[0]].group).count();
            prop_assert_eq!(batch.take.len(), fitting.min(max));
            prop_assert_eq!(batch.take.iter().collect::<std::collections::HashSet<_>>().len(), batch.take.len());
            prop_assert_eq!(batch.drop.len(), queue.iter().filter(|w| w.closed).count());
            // A caller's own pictures of a model keep their order.
            for (at, &i) in batch.take.iter().enumerate() {
                let same = |j: usize| (queue[j].caller, queue[j].model) == (queue[i].caller, queue[i].model);
                prop_assert!(batch.take[at..].iter().all(|&j| !same(j) || j >= i));
            }
        }
    }
}
