//! How workers come by a job, keep it and lose it.

use sqlx::Row;
use uuid::Uuid;

use super::{Failure, Job, StateEvent, job, settle};
use crate::report::Progress;
use crate::store::rows::Cells;
use crate::store::{EventKind, JobState};
use crate::store::{Store, StoreError, Tx, events};

/// The standing of a job that has told nothing of its progress.
const NOWHERE: f64 = -1.0;

/// What a queued job `waiting` must fulfil to be begun at the moment in a parameter: it isn't postponed beyond that; if it is a
/// trial, fewer of its sweep's run than may.
macro_rules! may_begin {
    ($now:literal) => {
        concat!(
            "waiting.state = 'queued' and (waiting.not_before is null or waiting.not_before <= ",
            $now,
            ") and (waiting.sweep_id is null
             or (select count(*) from jobs begun where begun.sweep_id = waiting.sweep_id and begun.state = 'running')
             < (select concurrency from sweeps where sweeps.id = waiting.sweep_id))"
        )
    };
}

/// What [`abandon`] must know of running jobs.
macro_rules! abandoned {
    () => {
        "select id, attempts, cancel_requested, progress, losses, furthest from jobs where state = 'running'"
    };
}

/// Who wants a job, and on what terms.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The worker's name, unique among those alive.
    pub worker: &'a str,
    /// A fresh token; every write on the job must show it.
    pub lease: Uuid,
    /// The time, [`crate::store::now`].
    pub now: i64,
    /// How long the claim holds without a heartbeat, in milliseconds.
    pub lease_ms: i64,
    /// How often in a row a job may lose its worker without getting any further.
    pub max_attempts: u32,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Whether the claim still holds; if not, stop and write nothing.
    pub still_mine: bool,
    /// Whether somebody asked to cancel the job: stop and call [`Store::cancelled`].
    pub cancel_requested: bool,
}

impl Store {
    /// Claims the oldest job that waits, for which those of lost workers wait again: 1. look whether there is anything to do;
    /// 2. settle claims that have run out; 3. take the oldest job, but no trial of a sweep that has as many running as it may.
    /// What an earlier attempt reported stays: the job goes on from there, or [`Store::restart`] says that it can't.
    ///
    /// # Errors
    /// The database's own.
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<Option<Job>, StoreError> {
        // Idle workers ask all the time, and a look needs no lock.
        let waiting = sqlx::query(concat!(
            "select 1 from jobs waiting where (state = 'running' and lease_expires_at < $1) or (",
            may_begin!("$1"),
            ") limit 1"
        ))
        .bind(claim.now)
        .fetch_optional(&self.read)
        .await?;
        if waiting.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        expire(&mut tx, claim.now, claim.max_attempts).await?;
        // Writers are one at a time, so what is counted stays true. On PostgreSQL the inner query would end in
        // `for update skip locked`, and the sweep's row be locked before.
        let row = sqlx::query(concat!(
            "update jobs set state = 'running', attempts = attempts + 1, worker = $1, lease = $2, lease_expires_at = $3,
             started_at = $4, version = null, waiting = null, not_before = null
             where state = 'queued' and id = (select waiting.id from jobs waiting where ",
            may_begin!("$4"),
            " order by waiting.id limit 1) returning *"
        ))
        .bind(claim.worker)
        .bind(claim.lease.to_string())
        .bind(claim.now.saturating_add(claim.lease_ms))
        .bind(claim.now)
        .fetch_optional(&mut *tx)
        .await?;
        let claimed = row.as_ref().map(job).transpose()?;
        if let Some(job) = &claimed {
            let event = StateEvent::new(JobState::Running, job.attempts);
            events::append(&mut tx, job.id, EventKind::State, &event).await?;
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Says that the worker is alive, and asks how the job stands.
    ///
    /// # Errors
    /// The database's own; a lost claim is in the answer.
    pub async fn heartbeat(&self, id: Uuid, lease: Uuid, now: i64, lease_ms: i64) -> Result<Heartbeat, StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "update jobs set lease_expires_at = $3 where id = $1 and state = 'running' and lease = $2
             returning cancel_requested",
        )
        .bind(id.to_string())
        .bind(lease.to_string())
        .bind(now.saturating_add(lease_ms))
        .fetch_optional(&mut *tx)
        .await?;
        let cancel = row.as_ref().map(|row| row.try_get::<i64, _>(0)).transpose()?;
        tx.commit().await?;
        Ok(Heartbeat { still_mine: cancel.is_some(), cancel_requested: cancel.is_some_and(|cancel| cancel != 0) })
    }

    /// Settles every claim that has run out: back to the queue, or failed when its attempts are used up, or cancelled if
    /// somebody asked for that. Says which jobs and what they are now.
    ///
    /// # Errors
    /// The database's own.
    pub async fn expire_leases(&self, now: i64, max_attempts: u32) -> Result<Vec<(Uuid, JobState)>, StoreError> {
        let mut tx = self.begin().await?;
        let settled = expire(&mut tx, now, max_attempts).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// Settles the jobs of a worker whose process has ended, likewise. `reason` is how it ended, for people.
    ///
    /// # Errors
    /// The database's own.
    pub async fn release_worker(
        &self,
        worker: &str,
        reason: &str,
        max_attempts: u32,
    ) -> Result<Vec<(Uuid, JobState)>, StoreError> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query(concat!(abandoned!(), " and worker = $1")).bind(worker).fetch_all(&mut *tx).await?;
        let settled = abandon(&mut tx, &rows, reason, max_attempts).await?;
        tx.commit().await?;
        Ok(settled)
    }
}

async fn expire(tx: &mut Tx, now: i64, max_attempts: u32) -> Result<Vec<(Uuid, JobState)>, StoreError> {
    let rows =
        sqlx::query(concat!(abandoned!(), " and lease_expires_at < $1 order by id")).bind(now).fetch_all(&mut **tx).await?;
    abandon(tx, &rows, "its worker was not heard of any more", max_attempts).await
}

/// Settles running jobs that have lost their worker.
async fn abandon(
    tx: &mut Tx,
    rows: &[sqlx::sqlite::SqliteRow],
    reason: &str,
    max_attempts: u32,
) -> Result<Vec<(Uuid, JobState)>, StoreError> {
    let mut settled = Vec::with_capacity(rows.len());
    for row in rows {
        let row = Cells(row);
        let (id, attempts) = (row.id("id")?, row.unsigned::<u32>("attempts")?);
        let furthest = row.get::<f64>("furthest")?;
        let standing = row.json_or_none("progress")?.map_or(NOWHERE, |progress: Progress| progress.standing());
        let losses = if standing > furthest { 1 } else { row.unsigned::<u32>("losses")?.saturating_add(1) };
        sqlx::query("update jobs set losses = $2, furthest = $3 where id = $1")
            .bind(id.to_string())
            .bind(i64::from(losses))
            .bind(standing.max(furthest))
            .execute(&mut **tx)
            .await?;
        let mut event = StateEvent::new(JobState::Queued, attempts);
        if row.get::<i64>("cancel_requested")? != 0 {
            event.state = JobState::Cancelled;
        } else if losses >= max_attempts {
            let message = format!("its worker was lost {losses} times without getting any further; the last time, {reason}");
            event.state = JobState::Failed;
            event.error = Some(Failure { code: "worker_lost".to_owned(), message });
        } else {
            event.reason = Some(reason.to_owned());
        }
        settle(tx, id, &event).await?;
        settled.push((id, event.state));
    }
    Ok(settled)
}
