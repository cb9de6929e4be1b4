//! One download of a file at a time, of all that this process asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::key::Key;

/// Whose turn it is to fetch which file.
#[derive(Debug, Default)]
pub struct Flights(
    // Held for a look into the map only, never across an await.
    Mutex<HashMap<Key, Weak<Turn<()>>>>,
);

impl Flights {
    /// Waits until nobody else fetches the file. Whoever waited looks at the disk first: it may be there now.
    pub async fn turn(&self, key: &Key) -> OwnedMutexGuard<()> {
        self.of(key).lock_owned().await
    }

    /// How many fetch the file, or wait for the one who does.
    #[cfg(test)]
    pub fn waiting(&self, key: &Key) -> usize {
        self.0.lock().unwrap().get(key).map_or(0, Weak::strong_count)
    }

    fn of(&self, key: &Key) -> Arc<Turn<()>> {
        // Nothing in here can leave the map half changed.
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = flights.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        flights.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::new(()));
        flights.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_have_turns_of_their_own_and_none_is_remembered() {
        let flights = Flights::default();
        let (a, b) = (Key::parse("a").unwrap(), Key::parse("b").unwrap());
        let turn = flights.turn(&a).await;
        assert!(flights.of(&a).try_lock().is_err());
        drop(flights.turn(&b).await);
        drop(turn);
        drop(flights.turn(&a).await);
        drop(flights.turn(&b).await);
        assert_eq!(flights.0.lock().unwrap().len(), 1);
    }
}
