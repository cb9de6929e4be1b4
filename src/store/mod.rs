//! The database. sqlx lives here only, and none of its types leaves.
//!
//! SQLite's or PostgreSQL's, whichever [`Database`] names; statements are in the SQL that they share ([`sql`]). Each family of tables has
//! its file, and every statement about jobs is in `jobs/`.
//!
//! On SQLite, writes take one connection, so that those of a process queue up in order instead of colliding; other processes (the
//! workers) are waited for. Every write is a transaction begun with the intention to write: what it read is still true when
//! it writes. On PostgreSQL writers go on beside each other, and a transaction locks the rows whose reading it relies on. It locks them
//! in one order, so that no two wait for each other: data sets, jobs by their ids, extractions and their shards, sweeps, keys.

pub mod audit;
pub mod audits;
pub mod datasets;
mod error;
pub mod events;
pub mod extractions;
mod idempotency;
pub mod jobs;
pub mod keys;
pub mod models;
mod news;
mod open;
mod place;
mod rows;
mod sql;
pub mod state;
pub mod sweeps;
#[cfg(test)]
pub(crate) mod testing;
mod upkeep;
pub mod webhooks;

pub use audit::{AuditEntry, NewAuditEntry};
pub use audits::{Audit, AuditState};
pub use datasets::{Dataset, DatasetState, Image, NewDataset, Reader, Rejection};
pub use error::{Conflict, Missing, OverQuota, StoreError};
pub use events::Event;
pub use extractions::{ClaimedShard, ShardStanding};
pub use idempotency::{Answer, Keep, RequestKey};
pub use jobs::{
    Claim, DatasetName, Failure, Heartbeat, Job, JobFilter, NewJob, Published, Reserved, StateEvent, Trial, TrialResult,
    Waiting,
};
pub use keys::{Allowance, ApiKey, NewApiKey};
pub use models::{ImportedVersion, Model, ModelSummary, ModelVersion, Want};
pub use news::News;
pub use place::{Database, InvalidPostgresUrl, PostgresUrl};
pub use state::{EventKind, JobState};
pub use sweeps::{NewSweep, Submitted, Sweep, SweepState, TrialCounts};
pub use webhooks::{Delivery, DeliveryOutcome, DeliveryStatus, WebhookState};

use news::Ears;
use sql::{Pool, Tx, query};

/// A handle on the database; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    read: Pool,
    write: Pool,
    /// Where the database tells of what others wrote.
    ears: Option<Ears>,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether more follow the last one.
    pub more: bool,
}

impl<T> Page<T> {
    /// From a query that asked for one more than `limit`.
    fn of(mut items: Vec<T>, limit: u32) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// Milliseconds since 1970, the database's clock.
#[must_use]
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

impl Store {
    /// Whether the database answers.
    ///
    /// # Errors
    /// It doesn't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        query("select count(*) from models").execute(&self.read).await?;
        Ok(())
    }

    /// Closes every connection; handles that remain answer with errors.
    pub async fn close(&self) {
        if let Some(ears) = &self.ears {
            ears.close();
        }
        self.read.close().await;
        self.write.close().await;
    }

    /// Lets the database grow to so many pages, or no further than it is, as a full disk would. SQLite only.
    #[cfg(test)]
    pub(crate) async fn limit_pages(&self, pages: u32) {
        let Pool::Sqlite(write) = &self.write else { panic!("PostgreSQL has no such limit") };
        // A connection that takes this one's place is limited too.
        let options = write.connect_options().as_ref().clone();
        write.set_connect_options(options.pragma("max_page_count", pages.to_string()));
        let limit = sqlx::AssertSqlSafe(format!("pragma max_page_count = {pages}"));
        sqlx::query(limit).execute(write).await.unwrap();
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.write.begin().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opens_what_it_made_and_refuses_what_is_no_database() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("a.db").into();
        let (first, second) = tokio::join!(Store::open(&database), Store::open(&database));
        let store = first.unwrap();
        second.unwrap().ping().await.unwrap();
        let refused = query("delete from models").execute(&store.read).await;
        assert!(refused.is_err(), "readers can't write");
        store.close().await;
        assert!(store.ping().await.is_err());
        std::fs::write(dir.path().join("b.db"), "x".repeat(5000)).unwrap();
        assert!(matches!(Store::open(&dir.path().join("b.db").into()).await, Err(StoreError::Database(_))));
    }

    /// SQLite rolls back by itself when the disk is full, which must not keep later writes from beginning.
    #[tokio::test]
    async fn after_a_full_disk_writes_go_on() {
        let t = testing::temp().await;
        let dataset = testing::ready_dataset(&t.store, "d").await;
        t.store.limit_pages(1).await;
        let mut refused = 0;
        // The first few find room in the file's last pages.
        while refused < 5 {
            let model = "flowers".parse().unwrap();
            let new = NewJob { model, ..testing::new_job(dataset) };
            if let Err(error) = t.store.insert_job(&new, None).await {
                assert!(matches!(error, StoreError::Full) && error.is_passing(), "{error:?}");
                refused += 1;
            }
        }
        t.store.limit_pages(1 << 30).await;
        testing::queued_job(&t.store, dataset).await;
    }
}
