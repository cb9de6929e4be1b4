//! Sweeps: many recipes tried on one data set. The trials are jobs, and what a sweep is follows from what they are; its row
//! says only what was asked for.

mod state;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use state::{SweepState, TrialCounts};

use super::jobs::{self, DatasetName, NewJob, Trial};
use super::rows::Cells;
use super::sql::{Row, query};
use super::{Allowance, Conflict, Keep, Missing, Page, Store, StoreError, Tx, datasets, idempotency, keys, now};
use crate::names::Name;
use crate::recipe::Recipe;

/// A sweep to submit.
#[derive(Debug, Clone)]
pub struct NewSweep {
    /// Its id, UUIDv7.
    pub id: Uuid,
    /// The data set to train on.
    pub dataset: Uuid,
    /// The model that its trials are published as.
    pub model: Name,
    /// How many trials may run at the same time.
    pub concurrency: u32,
    /// A recipe for each trial.
    pub trials: Vec<Recipe>,
    /// The key that it came with, and what that one may have.
    pub allowance: Option<Allowance>,
    /// Whom to tell when its last trial has ended.
    pub webhook: Option<String>,
}

/// A sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub state: SweepState,
    /// What its trials train on.
    pub dataset: DatasetName,
    /// The model that its trials are published as.
    pub model: Name,
    /// How many trials may run at the same time.
    pub concurrency: u32,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// Its trials by state.
    pub trials: TrialCounts,
    /// The trial with the highest validation accuracy, of equals the one with the lowest loss, of equals the first.
    pub best: Option<Uuid>,
    /// The newest version that it published.
    pub published: Option<i64>,
    /// Whom to tell when its last trial has ended.
    pub webhook: Option<String>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When its last trial was over.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A sweep that was submitted just now.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The sweep.
    pub sweep: Sweep,
    /// Its trials, in the order of submission.
    pub trials: Vec<Trial>,
}

/// Selects sweeps with what follows from their jobs.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select s.*, count(case when j.state = 'queued' then 1 end) as queued,
             count(case when j.state = 'running' then 1 end) as running,
             count(case when j.state = 'succeeded' then 1 end) as succeeded,
             count(case when j.state = 'failed' then 1 end) as failed,
             count(case when j.state = 'cancelled' then 1 end) as cancelled,
             max(j.finished_at) as finished_at, max(case when j.published_at is not null then j.version end) as published,
             (select b.id from jobs b where b.sweep_id = s.id and b.state = 'succeeded'
              order by b.accuracy desc, b.loss, b.id limit 1) as best
             from sweeps s left join jobs j on j.sweep_id = s.id ",
            $rest
        )
    };
}

fn sweep(row: &Row) -> Result<Sweep, StoreError> {
    let row = Cells(row);
    let trials = TrialCounts {
        queued: row.unsigned("queued")?,
        running: row.unsigned("running")?,
        succeeded: row.unsigned("succeeded")?,
        failed: row.unsigned("failed")?,
        cancelled: row.unsigned("cancelled")?,
    };
    let cancel_requested = row.time_or_none("cancelled_at")?.is_some();
    Ok(Sweep {
        id: row.id("id")?,
        state: trials.state(cancel_requested),
        dataset: DatasetName { id: row.id("dataset_id")?, name: row.parsed("dataset_name")? },
        model: row.parsed("model")?,
        concurrency: row.unsigned("concurrency")?,
        cancel_requested,
        best: row.id_or_none("best")?,
        published: row.get("published")?,
        webhook: row.get("webhook_url")?,
        created_at: row.time("created_at")?,
        finished_at: row.time_or_none("finished_at")?.filter(|_| trials.unfinished() == 0),
        trials,
    })
}

impl Store {
    /// Submits a sweep: it and all of its trials appear together. Answers both.
    ///
    /// # Errors
    /// [`Missing::Dataset`]; [`Conflict::DatasetIngesting`]; [`Conflict::DatasetFailed`]; [`Conflict::KeyInUse`];
    /// [`StoreError::OverQuota`].
    pub async fn insert_sweep(&self, new: &NewSweep, keep: Option<Keep<'_, Submitted>>) -> Result<Submitted, StoreError> {
        let mut tx = self.begin().await?;
        let dataset_name = datasets::ready(&mut tx, new.dataset).await?;
        if let Some(allowance) = &new.allowance {
            keys::refuse_jobs(&mut tx, allowance, new.trials.len() as u64).await?;
        }
        query(
            "insert into sweeps (id, dataset_id, dataset_name, model, concurrency, webhook_url, created_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.id.to_string())
        .bind(new.dataset.to_string())
        .bind(dataset_name.as_str())
        .bind(new.model.as_str())
        .bind(i64::from(new.concurrency))
        .bind(new.webhook.as_deref())
        .bind(now())
        .execute(&mut tx)
        .await?;
        for recipe in &new.trials {
            // Made one after the other, so that ids keep the trials' order.
            let (id, model) = (Uuid::now_v7(), new.model.clone());
            let allowance = new.allowance;
            let trial = NewJob { id, dataset: new.dataset, model, recipe: *recipe, webhook: None, allowance };
            jobs::insert(&mut tx, &trial, &dataset_name, Some(new.id)).await?;
        }
        let submitted = Submitted { sweep: locked(&mut tx, new.id).await?, trials: jobs::trials_of(&mut tx, new.id).await? };
        idempotency::remember(&mut tx, keep, &submitted).await?;
        tx.commit().await?;
        Ok(submitted)
    }

    /// A sweep.
    ///
    /// # Errors
    /// [`Missing::Sweep`].
    pub async fn sweep(&self, id: Uuid) -> Result<Sweep, StoreError> {
        let query = query(select!("where s.id = $1 group by s.id")).bind(id.to_string());
        sweep(&query.fetch_optional(&self.read).await?.ok_or(Missing::Sweep)?)
    }

    /// Sweeps, newest first, from before `before`.
    ///
    /// # Errors
    /// The database's own.
    pub async fn sweeps(&self, before: Option<Uuid>, limit: u32) -> Result<Page<Sweep>, StoreError> {
        let rows = query(select!("where s.id < $1 group by s.id order by s.id desc limit $2"))
            .bind(before.unwrap_or(Uuid::max()).to_string())
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.read)
            .await?;
        Ok(Page::of(rows.iter().map(sweep).collect::<Result<_, _>>()?, limit))
    }

    /// Cancels every trial that isn't over, as [`Store::request_cancel`] does. Asking twice is fine.
    ///
    /// # Errors
    /// [`Missing::Sweep`]; [`Conflict::SweepFinished`] if all trials had ended before anybody asked.
    pub async fn cancel_sweep(&self, id: Uuid) -> Result<Sweep, StoreError> {
        let mut tx = self.begin().await?;
        let rows =
            query("select * from jobs where sweep_id = $1 and state in ('queued', 'running') order by id /*pg for update*/")
                .bind(id.to_string())
                .fetch_all(&mut tx)
                .await?;
        match locked(&mut tx, id).await?.state {
            SweepState::Done => return Err(Conflict::SweepFinished.into()),
            SweepState::Queued | SweepState::Running | SweepState::Cancelled => {}
        }
        // First: with its last trial the sweep ends, and then it must be known how.
        query("update sweeps set cancelled_at = coalesce(cancelled_at, $2) where id = $1")
            .bind(id.to_string())
            .bind(now())
            .execute(&mut tx)
            .await?;
        for row in &rows {
            jobs::cancel(&mut tx, &jobs::job(row)?).await?;
        }
        let sweep = locked(&mut tx, id).await?;
        tx.commit().await?;
        Ok(sweep)
    }

    /// Deletes a sweep that is over. Its trials stay as jobs of no sweep: they are the history of what was trained, and a
    /// published version goes on naming its own. Answers their ids: their folders have lost their use.
    ///
    /// # Errors
    /// [`Missing::Sweep`]; [`Conflict::SweepUnfinished`].
    pub async fn delete_sweep(&self, id: Uuid) -> Result<Vec<Uuid>, StoreError> {
        let mut tx = self.begin().await?;
        let trials = locked(&mut tx, id).await?.trials.unfinished();
        if trials > 0 {
            return Err(Conflict::SweepUnfinished { trials }.into());
        }
        // A version reserved for a trial stays reserved: somebody may be writing its folder.
        let rows = query("update jobs set sweep_id = null where sweep_id = $1 returning id")
            .bind(id.to_string())
            .fetch_all(&mut tx)
            .await?;
        query("delete from sweeps where id = $1").bind(id.to_string()).execute(&mut tx).await?;
        tx.commit().await?;
        rows.iter().map(|row| Cells(row).id("id")).collect()
    }
}

/// A sweep as it is until the transaction ends. Whoever locks jobs of it as well does that before: or two might wait for each other.
pub(super) async fn locked(tx: &mut Tx, id: Uuid) -> Result<Sweep, StoreError> {
    // Rows that are grouped can't be locked.
    query("select 1 from sweeps where id = $1 /*pg for update*/").bind(id.to_string()).fetch_optional(&mut *tx).await?;
    let query = query(select!("where s.id = $1 group by s.id")).bind(id.to_string());
    sweep(&query.fetch_optional(&mut *tx).await?.ok_or(Missing::Sweep)?)
}
