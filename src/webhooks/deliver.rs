//! Emptying the outbox.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::send::{Sender, Undelivered};
use super::{SecretError, SigningSecret, schedule};
use crate::config::Settings;
use crate::store::{self, Delivery, DeliveryOutcome, Store, StoreError};

/// How often the outbox is looked at, if the database doesn't tell. Workers are other processes, so nobody else could.
const POLL: Duration = Duration::from_secs(1);
/// Messages that are under way at the same time: receivers that don't answer keep others waiting for seconds, not for minutes.
const CONCURRENCY: usize = 4;
/// How long a claim on a message holds: well beyond the longest attempt. A server that died is missed for as long.
const CLAIM_MS: i64 = 30_000;

/// Takes messages out of the outbox; clones share what sends them.
#[derive(Debug, Clone)]
pub struct Deliverer {
    store: Store,
    sender: Arc<Sender>,
}

impl Deliverer {
    /// Gets the secret ready, and what sends.
    ///
    /// # Errors
    /// There is no secret to sign with.
    pub fn new(store: Store, settings: &Settings) -> Result<Self, SecretError> {
        let sender = Sender::new(SigningSecret::of(settings)?, settings.webhook_allow_private);
        Ok(Self { store, sender: Arc::new(sender) })
    }

    /// Delivers what is due until `shutdown` turns true, then waits for what is under way. A turn: (1) claim as many messages
    /// that are due as may be under way; (2) send each on a thread of its own; (3) wait until one of them is done, or a
    /// moment has passed. Other servers on the same data folder may do the same.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut under_way = JoinSet::new();
        let mut news = self.store.news();
        loop {
            for delivery in self.due(CONCURRENCY.saturating_sub(under_way.len()), store::now()).await {
                under_way.spawn(self.clone().deliver(delivery));
            }
            tokio::select! {
                () = turned_true(&mut shutdown) => break,
                Some(_) = under_way.join_next() => {}
                () = news.of_messages(POLL) => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Claims up to `limit` messages that are due.
    pub(super) async fn due(&self, limit: usize, now: i64) -> Vec<Delivery> {
        let Ok(limit @ 1..) = u32::try_from(limit) else { return Vec::new() };
        self.store.claim_deliveries(Uuid::now_v7(), now, CLAIM_MS, limit).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "webhooks wait");
            Vec::new()
        })
    }

    /// One attempt, and what came of it.
    pub(super) async fn deliver(self, delivery: Delivery) {
        let Delivery { id, lease, attempts, .. } = delivery;
        let sender = Arc::clone(&self.sender);
        let sent = tokio::task::spawn_blocking(move || sender.send(&delivery, store::now() / 1000)).await;
        let sent = sent.unwrap_or_else(|error| {
            // A defect of this side.
            tracing::error!(%error, delivery = %id, "sending a webhook broke down");
            Err(Undelivered::NoAnswer("sending it broke down".to_owned()))
        });
        let outcome = outcome(sent, attempts);
        counter!("topgraft_webhook_deliveries_total", "result" => result(&outcome)).increment(1);
        match self.store.record_delivery(id, lease, &outcome).await {
            Ok(()) => tracing::info!(delivery = %id, attempts, ?outcome, "a webhook was called"),
            Err(StoreError::LostLease) => {
                tracing::warn!(delivery = %id, "a webhook was called for too long, or what it told of is gone")
            }
            Err(error) => {
                tracing::warn!(%error, delivery = %id, "what came of a webhook isn't written down: it is called again")
            }
        }
    }
}

/// What follows from an attempt that was the `attempts`th.
fn outcome(sent: Result<(), Undelivered>, attempts: u32) -> DeliveryOutcome {
    let Err(undelivered) = sent else { return DeliveryOutcome::Delivered };
    let pause = schedule::pause(attempts, rand::random()).filter(|_| !undelivered.is_final());
    let error = undelivered.to_string();
    match pause {
        // Pauses are hours at most.
        Some(pause) => DeliveryOutcome::Again { at: store::now() + pause.as_millis() as i64, error },
        None => DeliveryOutcome::GivenUp { error },
    }
}

const fn result(outcome: &DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Delivered => "delivered",
        DeliveryOutcome::Again { .. } => "failed",
        DeliveryOutcome::GivenUp { .. } => "given_up",
    }
}

async fn turned_true(flag: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: then nobody will ask any more, and stopping is the safe reading.
    let _ = flag.wait_for(|stop| *stop).await;
}
