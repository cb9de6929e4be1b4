//! One seed, many independent streams: each place that draws has its own, named, so that none depends on how much another
//! drew before it, and an epoch can be drawn again without those before it.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

/// The seed of the stream `name`, `index`.
fn derive(seed: u64, name: &str, index: u64) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(index.to_le_bytes()).chain_update(name).finalize();
    digest.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Seeds libtorch's generators (initial weights, dropout) with a stream.
pub fn seed_torch(seed: u64, name: &str, index: u64) {
    tch::manual_seed(derive(seed, name, index).cast_signed());
}

/// `items` in an order drawn from a stream.
pub fn shuffled(items: &[usize], seed: u64, name: &str, index: u64) -> Vec<usize> {
    let mut items = items.to_vec();
    items.shuffle(&mut StdRng::seed_from_u64(derive(seed, name, index)));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let items: Vec<usize> = (0..100).collect();
        let draw = |seed, name, index| shuffled(&items, seed, name, index);
        assert_eq!(draw(1, "a", 1), draw(1, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(2, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "b", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "a", 2));
        let mut sorted = draw(7, "order", 3);
        sorted.sort_unstable();
        assert_eq!(sorted, items);
    }
}
