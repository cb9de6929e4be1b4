//! What the worker that has a job writes down. Every write shows the claim's token; [`StoreError::LostLease`] means that
//! the claim no longer holds and nothing was written.

use serde::Serialize;
use uuid::Uuid;

use super::{Failure, StateEvent, locked, settle};
use crate::report::{Epoch, FeaturePlan, PhaseReport, Progress};
use crate::store::models::{Owner, insert_version, versions_of};
use crate::store::rows::{Cells, json};
use crate::store::sql::query;
use crate::store::{EventKind, JobState};
use crate::store::{Store, StoreError, Tx, events};
use crate::vision::precision::Precision;

/// What a job published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The version, as [`Store::reserve_version`] gave it.
    pub version: i64,
    /// Accuracy on the validation pictures.
    pub accuracy: f64,
    /// The precision that it was trained in and is served in.
    pub precision: Precision,
    /// How many classes it tells apart.
    pub classes: u32,
}

/// Reserves the next version of a job's model for job `$1`, under a further condition. A job that has one keeps it.
macro_rules! reserve {
    ($condition:literal) => {
        concat!(
            "update jobs set version = coalesce(version, 1 + (
                 select max(taken.version) from (
                     select coalesce(max(version), 0) as version from model_versions where model = jobs.model
                     union all
                     select coalesce(max(other.version), 0) as version from jobs other where other.model = jobs.model
                 ) taken))
             where id = $1 and ",
            $condition,
            " returning version"
        )
    };
}

pub(super) use reserve;

impl Store {
    /// Notes what the job keeps of the pictures between epochs.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn record_features(&self, id: Uuid, lease: Uuid, plan: &FeaturePlan) -> Result<(), StoreError> {
        let column = "update jobs set features = $3 where id = $1 and state = 'running' and lease = $2";
        self.record(id, lease, column, EventKind::Features, plan).await
    }

    /// Notes how far the job is. Call it a few times a second at most.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn record_progress(&self, id: Uuid, lease: Uuid, progress: &Progress) -> Result<(), StoreError> {
        let column = "update jobs set progress = $3 where id = $1 and state = 'running' and lease = $2";
        self.record(id, lease, column, EventKind::Progress, progress).await
    }

    /// Sets a column of the job to a value, guarded by the claim, and appends the value as an event.
    async fn record(
        &self,
        id: Uuid,
        lease: Uuid,
        column: &'static str,
        kind: EventKind,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let write = query(column).bind(id.to_string()).bind(lease.to_string()).bind(json(value)?);
        if write.execute(&mut tx).await? == 0 {
            return Err(StoreError::LostLease);
        }
        events::append(&mut tx, id, kind, value).await?;
        tx.commit().await
    }

    /// Notes a complete epoch: its row and its event.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn record_epoch(&self, id: Uuid, lease: Uuid, epoch: &Epoch) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        holds(&mut tx, id, lease).await?;
        events::insert_epoch(&mut tx, id, epoch).await?;
        events::append(&mut tx, id, EventKind::Epoch, epoch).await?;
        tx.commit().await
    }

    /// Notes a complete phase. One that was noted before, in the same words and since the job last began, isn't told again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn record_phase(&self, id: Uuid, lease: Uuid, report: &PhaseReport) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        holds(&mut tx, id, lease).await?;
        let told = query(
            "select 1 from job_events where job_id = $1 and kind = 'report' and data = $2 and seq > (
                 select coalesce(max(begun.seq), 0) from job_events begun where begun.job_id = $1 and begun.kind = 'restarted')",
        )
        .bind(id.to_string())
        .bind(json(report)?)
        .fetch_optional(&mut tx)
        .await?;
        if told.is_none() {
            events::append(&mut tx, id, EventKind::Report, report).await?;
        }
        tx.commit().await
    }

    /// The job can't go on from where it was: forgets what was reported of it, and says so. How far it had been counts on: one that
    /// begins anew each time ends as one that gets no further.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn restart(&self, id: Uuid, lease: Uuid) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let attempts = holds(&mut tx, id, lease).await?;
        events::delete_epochs(&mut tx, id).await?;
        query("update jobs set progress = null, features = null where id = $1").bind(id.to_string()).execute(&mut tx).await?;
        events::append(&mut tx, id, EventKind::Restarted, &StateEvent::new(JobState::Running, attempts)).await?;
        tx.commit().await
    }

    /// The number of the version that this job will publish, its own from now on: no other job gets it. Asking again gives
    /// the same one. A folder of that number that is there already is an abandoned attempt's.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn reserve_version(&self, id: Uuid, lease: Uuid) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        holds(&mut tx, id, lease).await?;
        let model = locked(&mut tx, id).await?.model;
        tx.alone(&versions_of(&model)).await?;
        let row = query(reserve!("state = 'running' and lease = $2"))
            .bind(id.to_string())
            .bind(lease.to_string())
            .fetch_optional(&mut tx)
            .await?;
        let version = Cells(&row.ok_or(StoreError::LostLease)?).get("version")?;
        tx.commit().await?;
        Ok(version)
    }

    /// The job published its artifact: enters the version and ends the job.
    ///
    /// # Errors
    /// [`StoreError::LostLease`]; then the artifact's folder may be another attempt's.
    pub async fn succeed(&self, id: Uuid, lease: Uuid, published: &Published) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let attempts = holds(&mut tx, id, lease).await?;
        let job = locked(&mut tx, id).await?;
        if job.version != Some(published.version) {
            return Err(StoreError::damaged("version", "another than was reserved"));
        }
        insert_version(&mut tx, &Owner::job(&job), published).await?;
        let event = StateEvent { version: Some(published.version), ..StateEvent::new(JobState::Succeeded, attempts) };
        settle(&mut tx, id, &event).await?;
        tx.commit().await
    }

    /// The job came to nothing, and would again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn fail(&self, id: Uuid, lease: Uuid, failure: &Failure) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let attempts = holds(&mut tx, id, lease).await?;
        let event = StateEvent { error: Some(failure.clone()), ..StateEvent::new(JobState::Failed, attempts) };
        settle(&mut tx, id, &event).await?;
        tx.commit().await
    }

    /// The job stopped because somebody asked to cancel it.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn cancelled(&self, id: Uuid, lease: Uuid) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let attempts = holds(&mut tx, id, lease).await?;
        settle(&mut tx, id, &StateEvent::new(JobState::Cancelled, attempts)).await?;
        tx.commit().await
    }

    /// The worker stops in good order: the job goes back to the queue and the attempt isn't counted; or, if somebody asked
    /// for it, it is cancelled.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn release(&self, id: Uuid, lease: Uuid) -> Result<JobState, StoreError> {
        let mut tx = self.begin().await?;
        let attempts = holds(&mut tx, id, lease).await?;
        let event = if locked(&mut tx, id).await?.cancel_requested {
            StateEvent::new(JobState::Cancelled, attempts)
        } else {
            let reason = Some("its worker was stopped".to_owned());
            StateEvent { reason, ..StateEvent::new(JobState::Queued, attempts.saturating_sub(1)) }
        };
        settle(&mut tx, id, &event).await?;
        tx.commit().await?;
        Ok(event.state)
    }
}

/// Whether the claim holds, and until the transaction ends; the job's attempts.
pub(in crate::store) async fn holds(tx: &mut Tx, id: Uuid, lease: Uuid) -> Result<u32, StoreError> {
    let row = query("select attempts from jobs where id = $1 and state = 'running' and lease = $2 /*pg for update*/")
        .bind(id.to_string())
        .bind(lease.to_string())
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(StoreError::LostLease)?;
    Cells(&row).unsigned("attempts")
}
