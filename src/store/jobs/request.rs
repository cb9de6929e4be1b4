//! What clients ask of jobs: to submit one, to cancel one.

use uuid::Uuid;

use super::{Job, NewJob, StateEvent, job, locked, settle};
use crate::names::Name;
use crate::store::news::WORK;
use crate::store::rows::json;
use crate::store::sql::query;
use crate::store::{Conflict, EventKind, JobState};
use crate::store::{Keep, Store, StoreError, Tx, datasets, events, idempotency, keys, now};

impl Store {
    /// Submits a job.
    ///
    /// # Errors
    /// [`Missing::Dataset`](crate::store::Missing::Dataset); [`Conflict::DatasetIngesting`]; [`Conflict::DatasetFailed`];
    /// [`Conflict::KeyInUse`]; [`StoreError::OverQuota`].
    pub async fn insert_job(&self, new: &NewJob, keep: Option<Keep<'_, Job>>) -> Result<Job, StoreError> {
        let mut tx = self.begin().await?;
        let dataset_name = datasets::ready(&mut tx, new.dataset).await?;
        if let Some(allowance) = &new.allowance {
            keys::refuse_jobs(&mut tx, allowance, 1).await?;
        }
        let job = insert(&mut tx, new, &dataset_name, None).await?;
        idempotency::remember(&mut tx, keep, &job).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// Cancels a job: one that waits at once, one that runs as soon as its worker hears of it. Asking twice is fine.
    ///
    /// # Errors
    /// [`Missing::Job`](crate::store::Missing::Job); [`Conflict::JobFinished`] if it has succeeded or failed.
    pub async fn request_cancel(&self, id: Uuid) -> Result<Job, StoreError> {
        let mut tx = self.begin().await?;
        let found = locked(&mut tx, id).await?;
        if matches!(found.state, JobState::Succeeded | JobState::Failed) {
            return Err(Conflict::JobFinished(found.state).into());
        }
        cancel(&mut tx, &found).await?;
        let job = locked(&mut tx, id).await?;
        tx.commit().await?;
        Ok(job)
    }
}

/// Puts a job into the queue. The caller knows, from this transaction, that its data set is ready and that its key may have it.
pub(in crate::store) async fn insert(
    tx: &mut Tx,
    new: &NewJob,
    dataset_name: &Name,
    sweep: Option<Uuid>,
) -> Result<Job, StoreError> {
    let row = query(
        "insert into jobs (id, state, dataset_id, dataset_name, model, recipe, sweep_id, webhook_url, created_at, key_id)
         values ($1, 'queued', $2, $3, $4, $5, $6, $7, $8, $9) returning *",
    )
    .bind(new.id.to_string())
    .bind(new.dataset.to_string())
    .bind(dataset_name.as_str())
    .bind(new.model.as_str())
    .bind(json(&new.recipe)?)
    .bind(sweep.map(|sweep| sweep.to_string()))
    .bind(new.webhook.as_deref())
    .bind(now())
    .bind(new.allowance.map(|allowance| allowance.key.to_string()))
    .fetch_one(&mut *tx)
    .await?;
    events::append(tx, new.id, EventKind::State, &StateEvent::new(JobState::Queued, 0)).await?;
    tx.notify(WORK).await?;
    job(&row)
}

/// Cancels a job, as it is in this transaction; one that is over stays as it is.
pub(in crate::store) async fn cancel(tx: &mut Tx, job: &Job) -> Result<(), StoreError> {
    match job.state {
        JobState::Queued => settle(tx, job.id, &StateEvent::new(JobState::Cancelled, job.attempts)).await?,
        JobState::Running => {
            query("update jobs set cancel_requested = 1 where id = $1 and state = 'running'")
                .bind(job.id.to_string())
                .execute(&mut *tx)
                .await?;
        }
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => {}
    }
    Ok(())
}
