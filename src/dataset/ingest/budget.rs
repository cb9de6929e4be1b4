//! How much may be under way between reading an entry and writing it to the pack.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A number of entries and of bytes that may be held at once. Entries take their part in the archive's order, so the one
/// that everything else waits for always has its part already and nothing can stand still.
pub(super) struct Budget {
    max_bytes: u64,
    max_entries: u64,
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Default)]
struct State {
    bytes: u64,
    entries: u64,
    closed: bool,
}

impl Budget {
    pub(super) fn new(max_bytes: u64, max_entries: u64) -> Self {
        Self { max_bytes, max_entries, state: Mutex::default(), released: Condvar::new() }
    }

    /// Waits until `bytes` more fit and takes them; a single entry always fits alone. False when the budget is closed.
    pub(super) fn acquire(&self, bytes: u64) -> bool {
        let full = |state: &mut State| {
            let fits = state.bytes.saturating_add(bytes) <= self.max_bytes && state.entries < self.max_entries;
            !state.closed && state.entries > 0 && !fits
        };
        let mut state =
            self.released.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return false;
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.entries += 1;
        true
    }

    /// Gives back what one entry had taken.
    pub(super) fn release(&self, bytes: u64) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.entries = state.entries.saturating_sub(1);
        drop(state);
        self.released.notify_all();
    }

    /// Ends all waiting: nobody gets anything any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.released.notify_all();
    }

    /// Whether it has been closed.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that could panic runs under the lock, so what it guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the budget when dropped, so that a failure or a panic of the one who releases doesn't leave others waiting.
pub(super) struct CloseOnDrop<'b>(pub(super) &'b Budget);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn taking_waits_until_enough_is_given_back() {
        for (budget, first) in [(Budget::new(100, 10), 60), (Budget::new(1000, 1), 10)] {
            assert!(budget.acquire(first));
            std::thread::scope(|scope| {
                let (done, took) = mpsc::channel();
                let budget = &budget;
                scope.spawn(move || done.send(budget.acquire(50)));
                assert!(took.recv_timeout(Duration::from_millis(50)).is_err(), "it should still be waiting");
                budget.release(first);
                assert_eq!(took.recv_timeout(Duration::from_secs(10)), Ok(true));
            });
        }
    }

    #[test]
    fn what_is_larger_than_the_budget_goes_alone() {
        assert!(Budget::new(10, 10).acquire(1000));
    }

    #[test]
    fn closing_ends_all_waiting() {
        let budget = Budget::new(10, 10);
        assert!(budget.acquire(10));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.acquire(10));
            drop(CloseOnDrop(&budget));
            assert!(!waiting.join().unwrap());
        });
        assert!(budget.is_closed());
    }
}
