//! What a worker does beside its work: renew the lease, and ask whether to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::store::{self, Heartbeat, Store, StoreError};

/// How often that is done.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Why work has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled it.
    Cancelled,
    /// The worker was asked to end.
    Shutdown,
    /// The lease is gone: another may be at it already.
    LostLease,
}

/// What is at work on.
#[derive(Debug, Clone, Copy)]
pub enum Claimed {
    /// A job.
    Job(Uuid),
    /// An audit of a data set.
    Audit(Uuid),
    /// A shard of a job's features, by its number.
    Shard(Uuid, u32),
}

/// A claim.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// On what.
    pub what: Claimed,
    /// Its token.
    pub lease: Uuid,
    /// How long it holds without a heartbeat, in milliseconds.
    pub lease_ms: i64,
}

impl Held {
    async fn beat(&self, store: &Store) -> Result<Heartbeat, StoreError> {
        match self.what {
            Claimed::Job(job) => store.heartbeat(job, self.lease, store::now(), self.lease_ms).await,
            Claimed::Audit(dataset) => {
                let still_mine = store.audit_heartbeat(dataset, self.lease, store::now(), self.lease_ms).await?;
                Ok(Heartbeat { still_mine, cancel_requested: false })
            }
            Claimed::Shard(job, shard) => {
                let still_mine = store.shard_heartbeat((job, shard), self.lease, store::now(), self.lease_ms).await?;
                Ok(Heartbeat { still_mine, cancel_requested: false })
            }
        }
    }
}

/// Renews the lease until somebody cancels, the worker is to end, or the lease is gone; then sets `stop` and answers why.
pub async fn watch(store: Store, held: Held, stop: Arc<AtomicBool>, mut shutdown: watch::Receiver<bool>) -> StopReason {
    loop {
        let why = match held.beat(&store).await {
            Ok(beat) if !beat.still_mine => Some(StopReason::LostLease),
            Ok(beat) if beat.cancel_requested => Some(StopReason::Cancelled),
            Ok(_) if *shutdown.borrow() => Some(StopReason::Shutdown),
            Ok(_) => None,
            Err(error) => {
                // The lease outlasts many beats: a database that is busy for a moment ends nothing.
                tracing::warn!(claim = ?held.what, %error, "heartbeat failed");
                None
            }
        };
        if let Some(why) = why {
            stop.store(true, Ordering::Release);
            return why;
        }
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            changed = shutdown.changed() => if changed.is_err() {
                // Nobody can ask for an end any more; go on beating.
                tokio::time::sleep(HEARTBEAT).await;
            },
        }
    }
}
