//! Loaded things under a byte budget: the least recently used go first.

use std::collections::HashMap;
use std::hash::Hash;

/// A least-recently-used cache that counts bytes.
#[derive(Debug)]
pub struct ByteCache<K, V> {
    budget: usize,
    used: usize,
    clock: u64,
    entries: HashMap<K, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    last_use: u64,
}

impl<K: Hash + Eq + Clone, V> ByteCache<K, V> {
    /// A cache that keeps at most `budget` bytes, or the newest entry alone if that is larger.
    pub fn new(budget: usize) -> Self {
        Self { budget, used: 0, clock: 0, entries: HashMap::new() }
    }

    /// The entry, marked as used now.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.last_use = self.clock;
        Some(&entry.value)
    }

    /// Bytes of all entries.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Puts an entry in, and the oldest out until it fits; answers how many went.
    pub fn insert(&mut self, key: K, value: V, bytes: usize) -> u64 {
        self.remove(&key);
        let mut evicted = 0;
        while self.used + bytes > self.budget {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.last_use).map(|(key, _)| key.clone()) else {
                break;
            };
            self.remove(&oldest);
            evicted += 1;
        }
        self.clock += 1;
        self.used += bytes;
        self.entries.insert(key, Entry { value, bytes, last_use: self.clock });
        evicted
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.used -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held<const N: usize>(cache: &mut ByteCache<&'static str, u32>, keys: [&'static str; N]) -> [Option<u32>; N] {
        keys.map(|key| cache.get(&key).copied())
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut cache = ByteCache::new(10);
        cache.insert("a", 1, 4);
        cache.insert("b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(&1));
        assert_eq!(cache.insert("c", 3, 4), 1);
        assert_eq!(held(&mut cache, ["a", "b", "c"]), [Some(1), None, Some(3)]);
        cache.insert("c", 4, 6);
        assert_eq!(held(&mut cache, ["a", "b", "c"]), [Some(1), None, Some(4)]);
        assert_eq!(cache.used(), 10);
    }

    #[test]
    fn one_that_is_larger_than_the_budget_still_works() {
        let mut cache = ByteCache::new(10);
        cache.insert("a", 1, 4);
        cache.insert("huge", 2, 100);
        assert_eq!(held(&mut cache, ["a", "huge"]), [None, Some(2)]);
    }
}
