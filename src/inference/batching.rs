//! Which waiting requests ride the next batch: a pure function.

/// What the policy knows of a waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<G> {
    /// Requests of one group can share a pass through the frozen prefix.
    pub group: G,
    /// Nobody waits for the answer any more.
    pub closed: bool,
}

/// What to do with the queue, as places in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// To compute now, oldest first, all of one group.
    pub take: Vec<usize>,
    /// To drop without computing.
    pub drop: Vec<usize>,
}

/// Forms a batch from `queue` (oldest first): the group of the oldest open request, oldest first, at most `max` of them.
/// The oldest request is always in it, so nobody waits for ever. Closed requests are dropped.
pub fn next_batch<G: Copy + Eq>(queue: &[Waiting<G>], max: usize) -> Batch {
    let mut batch = Batch::default();
    let group = queue.iter().find(|waiting| !waiting.closed).map(|waiting| waiting.group);
    for (place, waiting) in queue.iter().enumerate() {
        if waiting.closed {
            batch.drop.push(place);
        } else if Some(waiting.group) == group && batch.take.len() < max.max(1) {
            batch.take.push(place);
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(text: &str) -> Vec<Waiting<char>> {
        text.chars().map(|c| Waiting { group: c.to_ascii_lowercase(), closed: c.is_ascii_uppercase() }).collect()
    }

    #[test]
    fn the_oldest_decides_and_others_of_its_group_ride_along() {
        assert_eq!(next_batch(&queue("abaab"), 8), Batch { take: vec![0, 2, 3], drop: vec![] });
        assert_eq!(next_batch(&queue("abaab"), 2), Batch { take: vec![0, 2], drop: vec![] });
        assert_eq!(next_batch(&queue("Abab"), 8), Batch { take: vec![1, 3], drop: vec![0] });
        assert_eq!(next_batch(&queue(""), 8), Batch::default());
    }

    proptest! {
        /// The oldest open request is taken; no batch mixes groups or is too large; closed ones are dropped, all of them.
        #[test]
        fn laws_of_batching(text in "[abcABC]{0,40}", max in 1usize..10) {
            let queue = queue(&text);
            let batch = next_batch(&queue, max);
            prop_assert_eq!(batch.take.first().copied(), queue.iter().position(|w| !w.closed));
            prop_assert!(batch.take.len() <= max);
            prop_assert!(batch.take.iter().all(|&i| !queue[i].closed && queue[i].group == queue[batch.take[0]].group));
            prop_assert!(batch.take.is_sorted());
            prop_assert_eq!(batch.drop.len(), queue.iter().filter(|w| w.closed).count());
        }
    }
}
