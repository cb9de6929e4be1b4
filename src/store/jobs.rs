//! Jobs: rows and looking at them. Every statement about jobs alone is in this file and its folder: `request.rs` submits and
//! cancels, `queue.rs` is how workers come by a job and lose it, `run.rs` what the worker that has one writes down,
//! `trials.rs` what is particular to a sweep's, `postpone.rs` how one waits for the machine.
//!
//! A claim is a lease: a token that the row shows while it runs, and every write of the worker is
//! `… where id = $1 and state = 'running' and lease = $2`. Zero rows: the claim no longer holds.

#[cfg(test)]
mod machine;
mod postpone;
mod queue;
mod request;
mod run;
#[cfg(test)]
mod tests;
mod trials;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use postpone::Waiting;
pub use queue::{Claim, Heartbeat};
pub(super) use request::{cancel, insert};
pub use run::Published;
pub(super) use run::holds;
pub(super) use trials::trials_of;
pub use trials::{Reserved, Trial, TrialResult};

use super::news::WORK;
use super::rows::Cells;
use super::sql::{Row, query};
use super::{Allowance, Missing, Page, Store, StoreError, Tx, events, now, webhooks};
use crate::names::Name;
use crate::recipe::Recipe;
use crate::report::{FeaturePlan, Progress};
use crate::store::{EventKind, JobState};

/// Why a job or a data set failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Stable, for programs.
    pub code: String,
    /// For people: what to change.
    pub message: String,
}

/// The data of a `state` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateEvent {
    /// What the job is now.
    pub state: JobState,
    /// How often it has been started.
    pub attempts: u32,
    /// Why, when it went back to the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version that it published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl StateEvent {
    pub(super) const fn new(state: JobState, attempts: u32) -> Self {
        Self { state, attempts, reason: None, version: None, error: None }
    }
}

/// A data set by id and name; it may be deleted by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DatasetName {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Name,
}

/// A job to submit.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id, UUIDv7: their order is the order of the queue.
    pub id: Uuid,
    /// The data set to train on.
    pub dataset: Uuid,
    /// The model whose next version it will publish.
    pub model: Name,
    /// How to train.
    pub recipe: Recipe,
    /// The key that it came with, and what that one may have.
    pub allowance: Option<Allowance>,
    /// Whom to tell when it has ended.
    pub webhook: Option<String>,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub state: JobState,
    /// What it trains on.
    pub dataset: DatasetName,
    /// The model whose next version it publishes.
    pub model: Name,
    /// The sweep that it is a trial of.
    pub sweep: Option<Uuid>,
    /// The version that it published, or is about to: [`Job::published`] says which.
    pub version: Option<i64>,
    /// When its version was published.
    pub published_at: Option<DateTime<Utc>>,
    /// How it trains.
    pub recipe: Recipe,
    /// What it keeps of the pictures between epochs, once it has begun.
    pub features: Option<FeaturePlan>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// How often it has been started.
    pub attempts: u32,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// The worker that has it.
    pub worker: Option<String>,
    /// Why it isn't begun, if it waits for more than a worker.
    pub waiting: Option<Waiting>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Whom to tell when it has ended.
    pub webhook: Option<String>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When it was last started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// The version that it published; one that is only reserved nobody can use yet.
    #[must_use]
    pub fn published(&self) -> Option<i64> {
        self.version.filter(|_| self.published_at.is_some())
    }
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Those in this state.
    pub state: Option<JobState>,
    /// Those that publish this model.
    pub model: Option<Name>,
}

pub(super) fn job(row: &Row) -> Result<Job, StoreError> {
    let row = Cells(row);
    let error = row.get::<Option<String>>("error_code")?;
    let message = row.get::<Option<String>>("error_message")?.unwrap_or_default();
    let waiting = row.get::<Option<String>>("waiting")?.zip(row.time_or_none("not_before")?);
    Ok(Job {
        id: row.id("id")?,
        state: row.parsed("state")?,
        dataset: DatasetName { id: row.id("dataset_id")?, name: row.parsed("dataset_name")? },
        model: row.parsed("model")?,
        sweep: row.id_or_none("sweep_id")?,
        version: row.get("version")?,
        published_at: row.time_or_none("published_at")?,
        recipe: row.json("recipe")?,
        features: row.json_or_none("features")?,
        progress: row.json_or_none("progress")?,
        attempts: row.unsigned("attempts")?,
        cancel_requested: row.get::<i64>("cancel_requested")? != 0,
        worker: row.get("worker")?,
        waiting: waiting.map(|(reason, until)| Waiting { reason, until }),
        error: error.map(|code| Failure { code, message }),
        webhook: row.get("webhook_url")?,
        created_at: row.time("created_at")?,
        started_at: row.time_or_none("started_at")?,
        finished_at: row.time_or_none("finished_at")?,
    })
}

impl Store {
    /// A job.
    ///
    /// # Errors
    /// [`Missing::Job`].
    pub async fn job(&self, id: Uuid) -> Result<Job, StoreError> {
        let row = query("select * from jobs where id = $1").bind(id.to_string()).fetch_optional(&self.read).await?;
        job(&row.ok_or(Missing::Job)?)
    }

    /// Jobs, newest first, from before `before`.
    ///
    /// # Errors
    /// The database's own.
    pub async fn jobs(&self, filter: &JobFilter, before: Option<Uuid>, limit: u32) -> Result<Page<Job>, StoreError> {
        // The casts tell PostgreSQL the type of a parameter that is only compared with null.
        let rows = query(
            "select * from jobs where id < $1
             and (cast($2 as text) is null or state = $2) and (cast($3 as text) is null or model = $3)
             order by id desc limit $4",
        )
        .bind(before.unwrap_or(Uuid::max()).to_string())
        .bind(filter.state.map(JobState::as_str))
        .bind(filter.model.as_ref().map(Name::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.read)
        .await?;
        Ok(Page::of(rows.iter().map(job).collect::<Result<_, _>>()?, limit))
    }
}

impl Store {
    /// How many jobs are in each state.
    ///
    /// # Errors
    /// The database's own.
    pub async fn count_jobs(&self) -> Result<Vec<(JobState, u64)>, StoreError> {
        let rows = query("select state, count(*) as jobs from jobs group by state").fetch_all(&self.read).await?;
        let mut counts = JobState::ALL.map(|state| (state, 0));
        for row in &rows {
            let row = Cells(row);
            let state: JobState = row.parsed("state")?;
            for count in counts.iter_mut().filter(|count| count.0 == state) {
                count.1 = row.unsigned("jobs")?;
            }
        }
        Ok(counts.to_vec())
    }
}

/// A job as it is until the transaction ends.
pub(super) async fn locked(tx: &mut Tx, id: Uuid) -> Result<Job, StoreError> {
    let row = query("select * from jobs where id = $1 /*pg for update*/").bind(id.to_string()).fetch_optional(&mut *tx).await?;
    job(&row.ok_or(Missing::Job)?)
}

/// Takes a job that no worker holds on to any more to `event.state`, and tells its listeners; if it has ended, its
/// webhook will be called. The caller knows, from this transaction, that the job may go there.
async fn settle(tx: &mut Tx, id: Uuid, event: &StateEvent) -> Result<(), StoreError> {
    let failure = event.error.as_ref();
    query(
        "update jobs set state = $2, attempts = $3, error_code = $4, error_message = $5, version = $6, published_at = $7,
         finished_at = $8, lease = null, lease_expires_at = null, worker = null, waiting = null, not_before = null where id = $1",
    )
    .bind(id.to_string())
    .bind(event.state.as_str())
    .bind(i64::from(event.attempts))
    .bind(failure.map(|failure| failure.code.as_str()))
    .bind(failure.map(|failure| failure.message.as_str()))
    .bind(event.version)
    .bind(event.version.map(|_| now()))
    .bind(event.state.is_terminal().then(now))
    .execute(&mut *tx)
    .await?;
    events::append(tx, id, EventKind::State, event).await?;
    if event.state == JobState::Queued {
        tx.notify(WORK).await?;
    }
    if event.state.is_terminal() {
        webhooks::ended(tx, id).await?;
    }
    Ok(())
}
