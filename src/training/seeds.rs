//! One seed, many independent streams: each place that draws has its own, named, so that none depends on how much another
//! drew before it, and an epoch can be drawn again without those before it.

use rand::SeedableRng;
use rand::rngs::StdRng;
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

/// A generator that draws from a stream.
pub fn generator(seed: u64, name: &str, index: u64) -> StdRng {
    StdRng::seed_from_u64(derive(seed, name, index))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, name, index| generator(seed, name, index).random::<u64>();
        assert_eq!(draw(1, "a", 1), draw(1, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(2, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "b", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "a", 2));
    }
}
