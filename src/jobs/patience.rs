//! Waiting for the machine: for room on the disk, and for a database that can't be written just now.

use std::time::Duration;

use tokio::sync::watch;

use crate::config::Settings;
use crate::disk;
use crate::store::StoreError;

/// How long a write is waited for before it is tried again; doubled for each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Whether the disk has as much room as is to be left free. What can't be measured is tried.
pub async fn has_room(settings: &Settings) -> bool {
    let folder = settings.data_dir.clone();
    let free = tokio::task::spawn_blocking(move || disk::free_bytes(&folder)).await;
    free.ok().and_then(Result::ok).is_none_or(|free| free >= settings.min_free_bytes)
}

/// Writes, again and again while the machine is in trouble, until `shutdown` turns true.
///
/// # Errors
/// The write's own; the last trouble if it is to end.
pub async fn insist<T>(
    mut shutdown: watch::Receiver<bool>,
    write: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match write().await {
            Err(error) if error.is_passing() && !*shutdown.borrow() => {
                tracing::warn!(%error, seconds = pause.as_secs(), "a write is tried again after a pause");
            }
            outcome => return outcome,
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Once more then, and no more after that.
            changed = shutdown.changed() => if changed.is_err() {
                // Nobody can ask for an end any more.
                tokio::time::sleep(pause).await;
            },
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn trouble_that_passes_is_waited_for_and_nothing_else() {
        let (_keep, shutdown) = watch::channel(false);
        let tries = AtomicU32::new(0);
        let write = async || match tries.fetch_add(1, Ordering::Relaxed) {
            0..5 => Err(StoreError::Full),
            tries => Ok(tries),
        };
        assert_eq!(insist(shutdown.clone(), write).await.unwrap(), 5);
        let lost = insist(shutdown, async || Err::<(), _>(StoreError::LostLease)).await;
        assert!(matches!(lost, Err(StoreError::LostLease)));
    }

    #[tokio::test]
    async fn whoever_is_to_end_waits_no_longer() {
        let (stop, shutdown) = watch::channel(false);
        let waits = tokio::spawn(insist(shutdown, async || Err::<(), _>(StoreError::Busy)));
        tokio::task::yield_now().await;
        stop.send_replace(true);
        assert!(matches!(waits.await.unwrap(), Err(StoreError::Busy)));
    }
}
