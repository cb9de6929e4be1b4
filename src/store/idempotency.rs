//! Answers that are remembered, so that a request which is sent again makes nothing twice: each is written in the transaction
//! that makes what it tells of.

use super::rows::Cells;
use super::sql::query;
use super::{Conflict, Store, StoreError, Tx, now};

/// A request that may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The client's key.
    pub key: String,
    /// Of what is asked for; the same key with another one is a mistake of the client's.
    pub fingerprint: String,
    /// Answers from before this moment are forgotten, [`crate::store::now`]'s kind of time.
    pub since: i64,
}

/// What a client was told of something that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Where the thing is.
    pub location: Option<String>,
    /// JSON text.
    pub body: String,
}

/// How to remember the answer to a request that makes a `T`.
pub struct Keep<'a, T> {
    /// The request.
    pub request: &'a RequestKey,
    /// Its answer, once the thing is made.
    pub answer: fn(&T) -> serde_json::Result<Answer>,
}

impl Store {
    /// What was answered under a key since a moment, and the fingerprint of what had been asked for.
    ///
    /// # Errors
    /// The database's own.
    pub async fn answer(&self, key: &str, since: i64) -> Result<Option<(String, Answer)>, StoreError> {
        let row = query("select * from idempotency where key = $1 and created_at >= $2")
            .bind(key)
            .bind(since)
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| {
            let row = Cells(&row);
            let answer = Answer { status: row.unsigned("status")?, location: row.get("location")?, body: row.get("body")? };
            Ok((row.get("fingerprint")?, answer))
        })
        .transpose()
    }

    /// Remembers the answer to a request that found its thing made already.
    ///
    /// # Errors
    /// [`Conflict::KeyInUse`].
    pub async fn remember<T>(&self, keep: Keep<'_, T>, made: &T) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        remember(&mut tx, Some(keep), made).await?;
        tx.commit().await
    }
}

/// Rows that another transaction is deleting are left to it.
const FORGET: &str = "delete from idempotency where key in
    (select key from idempotency where created_at < $1 /*pg for update skip locked*/)";

/// Remembers the answer to the request that made `made` in this transaction, if that is wanted; forgets those that are old.
///
/// # Errors
/// [`Conflict::KeyInUse`] if another request has had the key meanwhile: then nothing must be made.
pub(super) async fn remember<T>(tx: &mut Tx, keep: Option<Keep<'_, T>>, made: &T) -> Result<(), StoreError> {
    let Some(Keep { request, answer }) = keep else { return Ok(()) };
    let Answer { status, location, body } = answer(made).map_err(|error| StoreError::damaged("answer", error))?;
    query(FORGET).bind(request.since).execute(&mut *tx).await?;
    let entered = query(
        "insert into idempotency (key, fingerprint, status, location, body, created_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (key) do nothing",
    )
    .bind(&request.key)
    .bind(&request.fingerprint)
    .bind(i64::from(status))
    .bind(location)
    .bind(body)
    .bind(now())
    .execute(&mut *tx)
    .await?;
    if entered == 0 { Err(Conflict::KeyInUse.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::testing::{Temp, both, new_job, ready_dataset};
    use crate::store::{Job, JobFilter};

    fn request(key: &str) -> RequestKey {
        RequestKey { key: key.to_owned(), fingerprint: "f".to_owned(), since: 0 }
    }

    fn answer(job: &Job) -> serde_json::Result<Answer> {
        Ok(Answer { status: 202, location: Some(format!("/v1/jobs/{}", job.id)), body: serde_json::to_string(&job.id)? })
    }

    async fn insert(t: &Temp, dataset: Uuid, request: &RequestKey) -> Result<Job, StoreError> {
        t.store.insert_job(&new_job(dataset), Some(Keep { request, answer })).await
    }

    both!(an_answer_appears_with_what_was_made_and_only_then);

    async fn an_answer_appears_with_what_was_made_and_only_then(t: Temp) {
        let dataset = ready_dataset(&t.store, "d").await;
        assert!(insert(&t, Uuid::now_v7(), &request("k")).await.is_err());
        assert_eq!(t.store.answer("k", 0).await.unwrap(), None, "what came to nothing may be asked for again");
        let job = insert(&t, dataset, &request("k")).await.unwrap();
        let (fingerprint, told) = t.store.answer("k", 0).await.unwrap().unwrap();
        assert_eq!((fingerprint.as_str(), told), ("f", answer(&job).unwrap()));
        // Another process that had looked before the answer was there makes nothing either.
        let again = insert(&t, dataset, &request("k")).await;
        assert!(matches!(again, Err(StoreError::Conflict(Conflict::KeyInUse))));
        assert_eq!(t.store.jobs(&JobFilter::default(), None, 9).await.unwrap().items.len(), 1);
    }

    both!(old_answers_are_forgotten);

    async fn old_answers_are_forgotten(t: Temp) {
        let dataset = ready_dataset(&t.store, "d").await;
        insert(&t, dataset, &request("k")).await.unwrap();
        let later = RequestKey { since: now() + 1, ..request("k") };
        assert_eq!(t.store.answer("k", later.since).await.unwrap(), None);
        insert(&t, dataset, &later).await.unwrap();
        let kept: i64 = Cells(&query("select count(*) as kept from idempotency").fetch_one(&t.store.read).await.unwrap())
            .get("kept")
            .unwrap();
        assert_eq!(kept, 1);
    }
}
