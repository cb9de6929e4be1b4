//! What a job's listeners are told, in order, and its epochs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::rows::{Cells, json, signed};
use super::sql::{Row, query};
use super::{Store, StoreError, Tx, now};
use crate::report::Epoch;
use crate::store::EventKind;

/// Something that a job's listeners are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number within the job: they only grow, but a superseded progress event leaves a gap.
    pub seq: u64,
    /// What it tells.
    pub kind: EventKind,
    /// JSON text.
    pub data: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

fn event(row: &Row) -> Result<Event, StoreError> {
    let row = Cells(row);
    Ok(Event {
        seq: row.unsigned("seq")?,
        kind: row.parsed("kind")?,
        data: row.get("data")?,
        created_at: row.time("created_at")?,
    })
}

fn epoch(row: &Row) -> Result<Epoch, StoreError> {
    let row = Cells(row);
    Ok(Epoch {
        phase: row.named("phase")?,
        epoch: row.unsigned("epoch")?,
        train_loss: row.get("train_loss")?,
        train_accuracy: row.get("train_accuracy")?,
        val_loss: row.get("val_loss")?,
        val_accuracy: row.get("val_accuracy")?,
        learning_rate: row.get("learning_rate")?,
        seconds: row.get("seconds")?,
    })
}

impl Store {
    /// A job's events after number `seq`, oldest first. A job that doesn't exist has none.
    ///
    /// # Errors
    /// The database's own.
    pub async fn events(&self, job: Uuid, seq: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        let rows = query("select * from job_events where job_id = $1 and seq > $2 order by seq limit $3")
            .bind(job.to_string())
            .bind(signed(seq))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(event).collect()
    }

    /// A job's epochs in order. A job that doesn't exist has none.
    ///
    /// # Errors
    /// The database's own.
    pub async fn epochs(&self, job: Uuid) -> Result<Vec<Epoch>, StoreError> {
        let rows = query(
            "select * from job_epochs where job_id = $1
             order by case phase when 'warm_up' then 0 else 1 end, epoch",
        )
        .bind(job.to_string())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(epoch).collect()
    }
}

/// Appends an event to a job's, whose row the transaction has locked: so the number is the next.
pub(super) async fn append(tx: &mut Tx, job: Uuid, kind: EventKind, data: &impl Serialize) -> Result<(), StoreError> {
    query(
        "insert into job_events (job_id, seq, kind, data, created_at)
         select $1, coalesce(max(seq), 0) + 1, $2, $3, $4 from job_events where job_id = $1",
    )
    .bind(job.to_string())
    .bind(kind.as_str())
    .bind(json(data)?)
    .bind(now())
    .execute(&mut *tx)
    .await?;
    tx.notify(&job.to_string()).await?;
    if kind == EventKind::Progress {
        // An earlier progress tells nothing any more, and a long job would leave tens of thousands. The newest stays, so
        // numbers go on growing.
        query(
            "delete from job_events where job_id = $1 and kind = 'progress'
             and seq < (select max(seq) from job_events where job_id = $1)",
        )
        .bind(job.to_string())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert_epoch(tx: &mut Tx, job: Uuid, epoch: &Epoch) -> Result<(), StoreError> {
    query(
        "insert into job_epochs
         (job_id, phase, epoch, train_loss, train_accuracy, val_loss, val_accuracy, learning_rate, seconds)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(job.to_string())
    .bind(epoch.phase.as_str())
    .bind(i64::from(epoch.epoch))
    .bind(epoch.train_loss)
    .bind(epoch.train_accuracy)
    .bind(epoch.val_loss)
    .bind(epoch.val_accuracy)
    .bind(epoch.learning_rate)
    .bind(epoch.seconds)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Forgets a job's epochs.
pub(super) async fn delete_epochs(tx: &mut Tx, job: Uuid) -> Result<(), StoreError> {
    query("delete from job_epochs where job_id = $1").bind(job.to_string()).execute(&mut *tx).await?;
    Ok(())
}
