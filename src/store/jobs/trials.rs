//! What is particular to a sweep's trials: they succeed without a version, are ranked, and are published when somebody asks.

use uuid::Uuid;

use super::run::{holds, reserve};
use super::{Job, Published, StateEvent, job, locked, settle};
use crate::store::models::{ModelVersion, Owner, insert_version, version_in, versions_of};
use crate::store::rows::Cells;
use crate::store::sql::{Row, query};
use crate::store::{Conflict, JobState, Missing};
use crate::store::{Keep, Store, StoreError, Tx, idempotency, now};

/// What a trial came to on the validation pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialResult {
    /// Share that its weights get right.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
}

/// A trial on its sweep's leaderboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The trial.
    pub job: Job,
    /// What it came to, if it has succeeded.
    pub result: Option<TrialResult>,
    /// Epochs that it has trained.
    pub epochs: u64,
    /// Wall-clock seconds of these epochs.
    pub seconds: f64,
}

/// A trial that may be published, and the version that is its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Reserved {
    /// The trial; [`Job::published`] is its version if it has been published before.
    pub job: Job,
    /// The version.
    pub version: i64,
    /// Its accuracy on the validation pictures.
    pub accuracy: f64,
}

fn result(row: &Row) -> Result<Option<TrialResult>, StoreError> {
    let row = Cells(row);
    let loss = row.get::<Option<f64>>("loss")?;
    Ok(row.get::<Option<f64>>("accuracy")?.zip(loss).map(|(accuracy, loss)| TrialResult { accuracy, loss }))
}

fn trial(row: &Row) -> Result<Trial, StoreError> {
    let cells = Cells(row);
    Ok(Trial { job: job(row)?, result: result(row)?, epochs: cells.unsigned("epochs")?, seconds: cells.get("seconds")? })
}

/// The trials of sweep `$1`: those that succeeded, best first, then the others, in the order of submission.
const TRIALS: &str = "select j.*, (select count(*) from job_epochs e where e.job_id = j.id) as epochs,
    (select coalesce(sum(e.seconds), 0.0) from job_epochs e where e.job_id = j.id) as seconds
    from jobs j where j.sweep_id = $1
    order by case when j.state = 'succeeded' then 0 else 1 end, j.accuracy desc, j.loss, j.id";

impl Store {
    /// A sweep's trials: those that succeeded, best first, then the others, in the order of submission. A sweep that doesn't
    /// exist has none.
    ///
    /// # Errors
    /// The database's own.
    pub async fn trials(&self, sweep: Uuid) -> Result<Vec<Trial>, StoreError> {
        let rows = query(TRIALS).bind(sweep.to_string()).fetch_all(&self.read).await?;
        rows.iter().map(trial).collect()
    }

    /// The trial's artifact is in its folder: ends it without a version.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn succeed_trial(&self, id: Uuid, lease: Uuid, result: &TrialResult) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let attempts = holds(&mut tx, id, lease).await?;
        query("update jobs set accuracy = $2, loss = $3 where id = $1")
            .bind(id.to_string())
            .bind(result.accuracy)
            .bind(result.loss)
            .execute(&mut tx)
            .await?;
        settle(&mut tx, id, &StateEvent::new(JobState::Succeeded, attempts)).await?;
        tx.commit().await
    }

    /// The version that `trial`, or the best one, of a sweep will be published as, its own from now on: no job and no other
    /// trial gets it. Asking again gives the same one.
    ///
    /// # Errors
    /// [`Missing::Sweep`], [`Missing::Trial`]; [`Conflict::NoTrialSucceeded`], [`Conflict::TrialNotSucceeded`].
    pub async fn reserve_trial(&self, sweep: Uuid, trial: Option<Uuid>) -> Result<Reserved, StoreError> {
        let mut tx = self.begin().await?;
        let id = succeeded(&mut tx, sweep, trial).await?;
        let model = locked(&mut tx, id).await?.model;
        tx.alone(&versions_of(&model)).await?;
        let row = query(reserve!("state = 'succeeded' and sweep_id = $2"))
            .bind(id.to_string())
            .bind(sweep.to_string())
            .fetch_optional(&mut tx)
            .await?
            .ok_or(Missing::Trial)?;
        let version = Cells(&row).get("version")?;
        let row = query("select * from jobs where id = $1").bind(id.to_string()).fetch_one(&mut tx).await?;
        let accuracy = result(&row)?.map(|result| result.accuracy).unwrap_or_default();
        let reserved = Reserved { job: job(&row)?, version, accuracy };
        tx.commit().await?;
        Ok(reserved)
    }

    /// The trial's artifact lies in its model's folder: enters the version, and answers it. Entering it twice is fine.
    ///
    /// # Errors
    /// [`Missing::Sweep`] if the sweep was deleted meanwhile; then remove the artifact's folder. [`Conflict::KeyInUse`].
    pub async fn publish_trial(
        &self,
        id: Uuid,
        published: &Published,
        keep: Option<Keep<'_, ModelVersion>>,
    ) -> Result<ModelVersion, StoreError> {
        let mut tx = self.begin().await?;
        let entered = query(
            "update jobs set published_at = $3 where id = $1 and state = 'succeeded' and version = $2
             and published_at is null and sweep_id is not null",
        )
        .bind(id.to_string())
        .bind(published.version)
        .bind(now())
        .execute(&mut tx)
        .await?;
        let job = locked(&mut tx, id).await?;
        if entered > 0 {
            insert_version(&mut tx, &Owner::job(&job), published).await?;
        } else if job.published() != Some(published.version) {
            return Err(Missing::Sweep.into());
        }
        let version = version_in(&mut tx, &job.model, published.version).await?;
        idempotency::remember(&mut tx, keep, &version).await?;
        tx.commit().await?;
        Ok(version)
    }
}

/// A sweep's trials, as they are in this transaction.
pub(in crate::store) async fn trials_of(tx: &mut Tx, sweep: Uuid) -> Result<Vec<Trial>, StoreError> {
    let rows = query(TRIALS).bind(sweep.to_string()).fetch_all(&mut *tx).await?;
    rows.iter().map(trial).collect()
}

/// The trial that is meant, which has succeeded.
async fn succeeded(tx: &mut Tx, sweep: Uuid, trial: Option<Uuid>) -> Result<Uuid, StoreError> {
    let known = query("select 1 from sweeps where id = $1").bind(sweep.to_string()).fetch_optional(&mut *tx).await?;
    known.ok_or(Missing::Sweep)?;
    let Some(trial) = trial else {
        let best =
            query("select id from jobs where sweep_id = $1 and state = 'succeeded' order by accuracy desc, loss, id limit 1")
                .bind(sweep.to_string())
                .fetch_optional(&mut *tx)
                .await?;
        return Cells(&best.ok_or(Conflict::NoTrialSucceeded)?).id("id");
    };
    let row = query("select state from jobs where id = $1 and sweep_id = $2")
        .bind(trial.to_string())
        .bind(sweep.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    match Cells(&row.ok_or(Missing::Trial)?).parsed("state")? {
        JobState::Succeeded => Ok(trial),
        other => Err(Conflict::TrialNotSucceeded(other).into()),
    }
}
