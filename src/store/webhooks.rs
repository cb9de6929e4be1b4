//! The outbox of webhooks. A message is put in by the transaction that ends a job, and taken out under a claim: a token that
//! the row shows until an attempt's outcome is written down. A claim that runs out is due again, so whoever had it may die.

mod message;
#[cfg(test)]
mod tests;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::news::MESSAGES;
use super::rows::Cells;
use super::sql::{Row, query, query_in};
use super::{Store, StoreError, Tx, jobs, now, sweeps};
use message::Subject;

/// Whether a webhook has been called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookState {
    /// Not yet.
    Pending,
    /// Yes, and the receiver has the message.
    Delivered,
    /// In vain, and it won't be again.
    GivenUp,
}

/// How a message stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// The job or the sweep that it tells of.
    pub of: Uuid,
    /// Whether it is delivered.
    pub state: WebhookState,
    /// How often that was tried.
    pub attempts: u32,
    /// Why the last attempt that failed did.
    pub last_error: Option<String>,
}

/// A message that is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, the job's or the sweep's.
    pub id: Uuid,
    /// The claim's token.
    pub lease: Uuid,
    /// Where it goes.
    pub url: String,
    /// What it says.
    pub body: String,
    /// How often it has been tried, this time included.
    pub attempts: u32,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver has it.
    Delivered,
    /// It is tried again.
    Again {
        /// When, on the database's clock.
        at: i64,
        /// Why it failed.
        error: String,
    },
    /// It is never tried again.
    GivenUp {
        /// Why it failed.
        error: String,
    },
}

fn status(row: &Row) -> Result<DeliveryStatus, StoreError> {
    let row = Cells(row);
    let (delivered, given_up) = (row.time_or_none("delivered_at")?, row.time_or_none("given_up_at")?);
    let state = match (delivered, given_up) {
        (Some(_), _) => WebhookState::Delivered,
        (None, Some(_)) => WebhookState::GivenUp,
        (None, None) => WebhookState::Pending,
    };
    let (attempts, last_error) = (row.unsigned("attempts")?, row.get("last_error")?);
    Ok(DeliveryStatus { of: row.id("id")?, state, attempts, last_error })
}

fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    let row = Cells(row);
    Ok(Delivery {
        id: row.id("id")?,
        lease: row.id("lease")?,
        url: row.get("url")?,
        body: row.get("body")?,
        attempts: row.unsigned("attempts")?,
    })
}

impl Store {
    /// How the messages of these jobs and sweeps stand; those that aren't over have none.
    ///
    /// # Errors
    /// The database's own.
    pub async fn deliveries(&self, of: &[Uuid]) -> Result<Vec<DeliveryStatus>, StoreError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let query = query_in("select * from webhook_deliveries where id", of.iter().map(Uuid::to_string));
        query.fetch_all(&self.read).await?.iter().map(status).collect()
    }

    /// Claims up to `limit` messages that are due, those that have waited longest first, and counts the attempt.
    ///
    /// # Errors
    /// The database's own.
    pub async fn claim_deliveries(
        &self,
        lease: Uuid,
        now: i64,
        lease_ms: i64,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        // Servers ask all the time, and a look needs no lock.
        let waiting = query(
            "select 1 from webhook_deliveries where delivered_at is null and given_up_at is null and next_at <= $1 limit 1",
        )
        .bind(now)
        .fetch_optional(&self.read)
        .await?;
        if waiting.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        let rows = query(
            // Materialised, or PostgreSQL might look for those that are due more than once.
            "with due as materialized (
                 select id from webhook_deliveries where delivered_at is null and given_up_at is null and next_at <= $3
                 order by next_at, id limit $4 /*pg for update skip locked*/)
             update webhook_deliveries set attempts = attempts + 1, lease = $1, next_at = $2
             where id in (select id from due) returning *",
        )
        .bind(lease.to_string())
        .bind(now.saturating_add(lease_ms))
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(&mut tx)
        .await?;
        let claimed = rows.iter().map(delivery).collect::<Result<_, _>>()?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Writes down what came of an attempt.
    ///
    /// # Errors
    /// [`StoreError::LostLease`]: the claim ran out and somebody else has it, or what it told of was deleted.
    pub async fn record_delivery(&self, id: Uuid, lease: Uuid, outcome: &DeliveryOutcome) -> Result<(), StoreError> {
        let now = now();
        let (delivered, given_up, next_at, error) = match outcome {
            DeliveryOutcome::Delivered => (Some(now), None, now, None),
            DeliveryOutcome::Again { at, error } => (None, None, *at, Some(error.as_str())),
            DeliveryOutcome::GivenUp { error } => (None, Some(now), now, Some(error.as_str())),
        };
        let mut tx = self.begin().await?;
        let written = query(
            "update webhook_deliveries set delivered_at = $3, given_up_at = $4, next_at = $5,
             last_error = coalesce($6, last_error), lease = null where id = $1 and lease = $2",
        )
        .bind(id.to_string())
        .bind(lease.to_string())
        .bind(delivered)
        .bind(given_up)
        .bind(next_at)
        .bind(error)
        .execute(&mut tx)
        .await?;
        if written == 0 {
            return Err(StoreError::LostLease);
        }
        tx.commit().await
    }
}

/// Puts into the outbox that a job has ended and, if it was a sweep's last trial, that the sweep has. The caller has just
/// ended the job, in this transaction.
pub(super) async fn ended(tx: &mut Tx, job: Uuid) -> Result<(), StoreError> {
    let job = jobs::locked(tx, job).await?;
    if let Some(url) = &job.webhook {
        put(tx, url, Subject::Job(&job)).await?;
    }
    let Some(sweep) = job.sweep else { return Ok(()) };
    // Of two trials that end at the same time, one must see that the other has.
    query("select 1 from sweeps where id = $1 /*pg for update*/").bind(sweep.to_string()).fetch_optional(&mut *tx).await?;
    let over = query(
        "select 1 from sweeps where id = $1 and webhook_url is not null and not exists (
             select 1 from jobs where sweep_id = $1 and state in ('queued', 'running'))",
    )
    .bind(sweep.to_string())
    .fetch_optional(&mut *tx)
    .await?;
    if over.is_some() {
        let sweep = sweeps::locked(tx, sweep).await?;
        if let Some(url) = &sweep.webhook {
            put(tx, url, Subject::Sweep(&sweep)).await?;
        }
    }
    Ok(())
}

async fn put(tx: &mut Tx, url: &str, subject: Subject<'_>) -> Result<(), StoreError> {
    let now = now();
    // Nothing ends twice; should it, the first end has been told.
    query(
        "insert into webhook_deliveries (id, job_id, sweep_id, url, body, next_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing",
    )
    .bind(subject.id().to_string())
    .bind(subject.job().map(|id| id.to_string()))
    .bind(subject.sweep().map(|id| id.to_string()))
    .bind(url)
    .bind(subject.message()?)
    .bind(now)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    tx.notify(MESSAGES).await
}
