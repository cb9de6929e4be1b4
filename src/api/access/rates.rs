//! How often each key is used. Of each process its own: behind several servers, a key's rate counts at each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::access::{Bucket, KeyId};
use crate::store::ApiKey;

/// How often a key's use is written down.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// A handle; clones share the counts.
#[derive(Debug, Clone)]
pub(in crate::api) struct Rates {
    began: Instant,
    /// Of keys that hold: there are no more entries than keys. A plain lock, not an async one: it is held for a few
    /// instructions and never across an await.
    keys: Arc<Mutex<HashMap<KeyId, Use>>>,
}

#[derive(Debug, Default)]
struct Use {
    bucket: Option<Bucket>,
    noted: Option<Duration>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { began: Instant::now(), keys: Arc::default() }
    }
}

impl Rates {
    /// Counts a request. If there were too many, how long to wait.
    pub(super) fn take(&self, key: &ApiKey) -> Result<(), Duration> {
        let Some(per_minute) = key.requests_per_minute else { return Ok(()) };
        let mut keys = self.keys();
        let now = self.began.elapsed();
        let bucket = &mut keys.entry(key.id).or_default().bucket;
        if bucket.as_ref().is_some_and(|bucket| bucket.per_minute() != per_minute) {
            *bucket = None;
        }
        bucket.get_or_insert_with(|| Bucket::full(per_minute, now)).take(now)
    }

    /// Whether this use of a key is to be written down; then the next ones aren't for a while.
    pub(super) fn is_use_to_note(&self, key: KeyId) -> bool {
        let mut keys = self.keys();
        let now = self.began.elapsed();
        let noted = &mut keys.entry(key).or_default().noted;
        let due = noted.is_none_or(|noted| now.saturating_sub(noted) >= NOTED_EVERY);
        if due {
            *noted = Some(now);
        }
        due
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyId, Use>> {
        // Nothing that could panic runs under the lock.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
