//! How workers come by a job, keep it and lose it.

use uuid::Uuid;

use super::{Failure, Job, StateEvent, job, settle};
use crate::report::Progress;
use crate::store::extractions::release_shards;
use crate::store::rows::Cells;
use crate::store::sql::{Row, query};
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
        loop {
            match self.try_claim(claim).await? {
                Tried::Claimed(job) => return Ok(Some(*job)),
                Tried::Nothing => return Ok(None),
                // It went to somebody else, so claims get on.
                Tried::Forestalled => {}
            }
        }
    }

    /// Whether a job waits for a worker, or for its lost worker to be noticed.
    ///
    /// # Errors
    /// The database's own.
    pub async fn job_waits(&self, now: i64) -> Result<bool, StoreError> {
        let waiting = query(concat!(
            "select 1 from jobs waiting where (state = 'running' and lease_expires_at < $1) or (",
            may_begin!("$1"),
            ") limit 1"
        ));
        Ok(waiting.bind(now).fetch_optional(&self.read).await?.is_some())
    }

    async fn try_claim(&self, claim: &Claim<'_>) -> Result<Tried, StoreError> {
        // Idle workers ask all the time, and a look needs no lock.
        if !self.job_waits(claim.now).await? {
            return Ok(Tried::Nothing);
        }
        let mut tx = self.begin().await?;
        expire(&mut tx, claim.now, claim.max_attempts).await?;
        // A row that another claim has locked is as good as taken.
        let found = query(concat!(
            "select waiting.id, waiting.sweep_id from jobs waiting where ",
            may_begin!("$1"),
            " order by waiting.id limit 1 /*pg for update of waiting skip locked*/"
        ))
        .bind(claim.now)
        .fetch_optional(&mut tx)
        .await?;
        let Some(found) = found else {
            tx.commit().await?;
            return Ok(Tried::Nothing);
        };
        if let Some(sweep) = Cells(&found).id_or_none("sweep_id")?
            && !has_room(&mut tx, sweep).await?
        {
            return Ok(Tried::Forestalled);
        }
        let row = query(
            "update jobs set state = 'running', attempts = attempts + 1, worker = $1, lease = $2, lease_expires_at = $3,
             started_at = $4, version = null, waiting = null, not_before = null where id = $5 returning *",
        )
        .bind(claim.worker)
        .bind(claim.lease.to_string())
        .bind(claim.now.saturating_add(claim.lease_ms))
        .bind(claim.now)
        .bind(Cells(&found).get::<&str>("id")?)
        .fetch_one(&mut tx)
        .await?;
        let job = job(&row)?;
        events::append(&mut tx, job.id, EventKind::State, &StateEvent::new(JobState::Running, job.attempts)).await?;
        tx.commit().await?;
        Ok(Tried::Claimed(Box::new(job)))
    }

    /// Says that the worker is alive, and asks how the job stands.
    ///
    /// # Errors
    /// The database's own; a lost claim is in the answer.
    pub async fn heartbeat(&self, id: Uuid, lease: Uuid, now: i64, lease_ms: i64) -> Result<Heartbeat, StoreError> {
        let mut tx = self.begin().await?;
        let row = query(
            "update jobs set lease_expires_at = $3 where id = $1 and state = 'running' and lease = $2
             returning cancel_requested",
        )
        .bind(id.to_string())
        .bind(lease.to_string())
        .bind(now.saturating_add(lease_ms))
        .fetch_optional(&mut tx)
        .await?;
        let cancel = row.as_ref().map(|row| Cells(row).get::<i64>("cancel_requested")).transpose()?;
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

    /// Settles the jobs of a worker whose process has ended, likewise, and gives back what it helped with. `reason` is how it ended, for
    /// people.
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
        let rows = query(concat!(abandoned!(), " and worker = $1 order by id /*pg for update*/"))
            .bind(worker)
            .fetch_all(&mut tx)
            .await?;
        let settled = abandon(&mut tx, &rows, reason, max_attempts).await?;
        release_shards(&mut tx, worker).await?;
        tx.commit().await?;
        Ok(settled)
    }
}

/// What came of trying to claim a job.
enum Tried {
    Claimed(Box<Job>),
    /// No job waits.
    Nothing,
    /// Between looking and claiming, another worker began the sweep's last trial that may run.
    Forestalled,
}

/// Whether a trial of a sweep may begin. Nobody else begins one until the transaction ends.
async fn has_room(tx: &mut Tx, sweep: Uuid) -> Result<bool, StoreError> {
    let row = query("select concurrency from sweeps where id = $1 /*pg for update*/").bind(sweep.to_string());
    let row = row.fetch_one(&mut *tx).await?;
    let most: u64 = Cells(&row).unsigned("concurrency")?;
    // A statement of its own: it sees what others had begun when the sweep was locked.
    let row = query("select count(*) as running from jobs where sweep_id = $1 and state = 'running'").bind(sweep.to_string());
    Ok(Cells(&row.fetch_one(&mut *tx).await?).unsigned::<u64>("running")? < most)
}

async fn expire(tx: &mut Tx, now: i64, max_attempts: u32) -> Result<Vec<(Uuid, JobState)>, StoreError> {
    let rows = query(concat!(abandoned!(), " and lease_expires_at < $1 order by id /*pg for update skip locked*/"))
        .bind(now)
        .fetch_all(&mut *tx)
        .await?;
    abandon(tx, &rows, "its worker was not heard of any more", max_attempts).await
}

/// Settles running jobs that have lost their worker.
async fn abandon(tx: &mut Tx, rows: &[Row], reason: &str, max_attempts: u32) -> Result<Vec<(Uuid, JobState)>, StoreError> {
    let mut settled = Vec::with_capacity(rows.len());
    for row in rows {
        let row = Cells(row);
        let (id, attempts) = (row.id("id")?, row.unsigned::<u32>("attempts")?);
        let furthest = row.get::<f64>("furthest")?;
        let standing = row.json_or_none("progress")?.map_or(NOWHERE, |progress: Progress| progress.standing());
        let losses = if standing > furthest { 1 } else { row.unsigned::<u32>("losses")?.saturating_add(1) };
        query("update jobs set losses = $2, furthest = $3 where id = $1")
            .bind(id.to_string())
            .bind(i64::from(losses))
            .bind(standing.max(furthest))
            .execute(&mut *tx)
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
