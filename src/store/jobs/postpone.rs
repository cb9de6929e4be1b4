//! A job that can't go on for now, through no fault of its own: it waits, and its attempt isn't counted.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::run::holds;
use super::{StateEvent, locked, settle};
use crate::store::rows::Cells;
use crate::store::sql::query;
use crate::store::{JobState, Store, StoreError};

/// How long a job waits the first time, in milliseconds; doubled each further time.
const FIRST_PAUSE_MS: i64 = 5_000;
/// The longest that it waits.
const LONGEST_PAUSE_MS: i64 = 300_000;

/// Why a queued job isn't begun, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waiting {
    /// For people: what to change.
    pub reason: String,
    /// When it may be begun.
    pub until: DateTime<Utc>,
}

impl Store {
    /// The job goes back to the queue and is begun after a pause, which gets longer each time. Neither the attempt nor the pause
    /// counts against it. If somebody asked for it, it is cancelled instead.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn postpone(&self, id: Uuid, lease: Uuid, reason: &str, now: i64) -> Result<JobState, StoreError> {
        let mut tx = self.begin().await?;
        let attempts = holds(&mut tx, id, lease).await?;
        if locked(&mut tx, id).await?.cancel_requested {
            settle(&mut tx, id, &StateEvent::new(JobState::Cancelled, attempts)).await?;
            tx.commit().await?;
            return Ok(JobState::Cancelled);
        }
        let event =
            StateEvent { reason: Some(reason.to_owned()), ..StateEvent::new(JobState::Queued, attempts.saturating_sub(1)) };
        settle(&mut tx, id, &event).await?;
        let row = query("update jobs set waiting = $2, postponed = postponed + 1 where id = $1 returning postponed")
            .bind(id.to_string())
            .bind(reason)
            .fetch_one(&mut tx)
            .await?;
        let pause = pause_ms(Cells(&row).unsigned("postponed")?);
        query("update jobs set not_before = $2 where id = $1")
            .bind(id.to_string())
            .bind(now.saturating_add(pause))
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(JobState::Queued)
    }
}

/// How long a job waits that is postponed for the `times`-th time.
fn pause_ms(times: u32) -> i64 {
    // 2^6 is beyond the longest pause already.
    (FIRST_PAUSE_MS << times.saturating_sub(1).min(6)).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Temp, both, claimed, queued_job, ready_dataset};

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!([1, 2, 3, 6, 7, 8, 1000].map(pause_ms), [5_000, 10_000, 20_000, 160_000, 300_000, 300_000, 300_000]);
    }

    both!(a_postponed_job_waits_and_its_attempt_is_not_counted);

    async fn a_postponed_job_waits_and_its_attempt_is_not_counted(t: Temp) {
        let dataset = ready_dataset(&t.store, "d").await;
        let id = queued_job(&t.store, dataset).await;
        let mut now = 1_000;
        for pause in [5_000, 10_000, 20_000] {
            let (job, lease) = claimed(&t.store, "w", now).await.unwrap();
            assert_eq!((job.id, job.attempts, job.waiting), (id, 1, None));
            assert_eq!(t.store.postpone(id, lease, "the disk is full", now).await.unwrap(), JobState::Queued);
            assert!(matches!(t.store.postpone(id, lease, "again", now).await, Err(StoreError::LostLease)));
            let job = t.store.job(id).await.unwrap();
            let waiting = job.waiting.unwrap();
            assert_eq!((job.attempts, waiting.reason.as_str()), (0, "the disk is full"));
            assert_eq!(waiting.until.timestamp_millis(), now + pause);
            assert!(claimed(&t.store, "w", now + pause - 1).await.is_none());
            now += pause;
        }
        // Others pass it meanwhile.
        let other = queued_job(&t.store, dataset).await;
        let (job, lease) = claimed(&t.store, "w", now).await.unwrap();
        t.store.postpone(job.id, lease, "the disk is full", now).await.unwrap();
        assert_eq!(claimed(&t.store, "w", now).await.unwrap().0.id, other);
        let reasons = t.store.events(id, 0, 100).await.unwrap();
        assert!(reasons.last().unwrap().data.contains("the disk is full"));
    }

    both!(one_that_is_to_be_cancelled_does_not_wait);

    async fn one_that_is_to_be_cancelled_does_not_wait(t: Temp) {
        let dataset = ready_dataset(&t.store, "d").await;
        let id = queued_job(&t.store, dataset).await;
        let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
        t.store.request_cancel(id).await.unwrap();
        assert_eq!(t.store.postpone(id, lease, "the disk is full", 0).await.unwrap(), JobState::Cancelled);
        let waits = queued_job(&t.store, dataset).await;
        let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
        t.store.postpone(waits, lease, "the disk is full", 0).await.unwrap();
        let job = t.store.request_cancel(waits).await.unwrap();
        assert_eq!((job.state, job.waiting), (JobState::Cancelled, None));
    }
}
