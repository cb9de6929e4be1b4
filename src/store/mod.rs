//! The database. sqlx lives here only, and none of its types leaves.
//!
//! Written in the SQL that SQLite and PostgreSQL share; what is SQLite's alone is in this file. Each family of tables has its
//! file, and every statement about jobs is in `jobs/`.
//!
//! Writes take one connection, so that those of a process queue up in order instead of colliding; other processes (the
//! workers) are waited for. Every write is a transaction begun with the intention to write: what it read is still true when
//! it writes.

pub mod audit;
pub mod audits;
pub mod datasets;
mod error;
pub mod events;
mod idempotency;
pub mod jobs;
pub mod keys;
pub mod models;
mod rows;
pub mod state;
pub mod sweeps;
#[cfg(test)]
pub(crate) mod testing;
mod upkeep;
pub mod webhooks;

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlSafeStr, Sqlite, Transaction};

pub use audit::{AuditEntry, NewAuditEntry};
pub use audits::{Audit, AuditState};
pub use datasets::{Dataset, DatasetState, Image, NewDataset, Rejection};
pub use error::{Conflict, Missing, OverQuota, StoreError};
pub use events::Event;
pub use idempotency::{Answer, Keep, RequestKey};
pub use jobs::{
    Claim, DatasetName, Failure, Heartbeat, Job, JobFilter, NewJob, Published, Reserved, StateEvent, Trial, TrialResult,
    Waiting,
};
pub use keys::{Allowance, ApiKey, NewApiKey};
pub use models::{ImportedVersion, Model, ModelSummary, ModelVersion, Want};
pub use state::{EventKind, JobState};
pub use sweeps::{NewSweep, Submitted, Sweep, SweepState, TrialCounts};
pub use webhooks::{Delivery, DeliveryOutcome, DeliveryStatus, WebhookState};

/// Connections that read, each a thread of its own.
const READERS: u32 = 4;

/// How long to wait for another process's write. The longest one commits a data set's 200,000 pictures.
const BUSY: Duration = Duration::from_secs(20);

/// A transaction that writes.
type Tx = Transaction<'static, Sqlite>;

/// A handle on the database; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    read: SqlitePool,
    write: SqlitePool,
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
    /// Opens the database, which is made if it isn't there, and brings its tables up to date.
    ///
    /// # Errors
    /// A file that can't be opened or isn't a database; one made by a newer version.
    pub async fn open(database: &Path) -> Result<Self, StoreError> {
        let parent = database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        tokio::fs::create_dir_all(parent).await.map_err(StoreError::io)?;
        let options = SqliteConnectOptions::new()
            .filename(database)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Wal)
            // An epoch with a row is never lost, not even to a power cut; NORMAL could lose the last commits of a WAL. It
            // costs one fsync a commit, and there are a few commits a second.
            .synchronous(SqliteSynchronous::Full);
        // Server and workers may start together. Turning a new file to WAL doesn't wait for whoever else is at it, whatever the
        // timeout, and sqlx takes no lock for migrations on SQLite: a lock file covers both.
        let lock = lock(database.with_extension("lock")).await?;
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            // A full disk makes SQLite roll back by itself. sqlx then believes the connection to be in a transaction for good and
            // would begin no other on it: such a one is replaced.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        migrate(&write).await?;
        drop(lock);
        let read = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.pragma("query_only", "on")).await?;
        Ok(Self { read, write })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It doesn't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select count(*) from models").execute(&self.read).await?;
        Ok(())
    }

    /// Closes every connection; handles that remain answer with errors.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// Lets the database grow to so many pages, or no further than it is, as a full disk would.
    #[cfg(test)]
    pub(crate) async fn limit_pages(&self, pages: u32) {
        // A connection that takes this one's place is limited too.
        let options = self.write.connect_options().as_ref().clone();
        self.write.set_connect_options(options.pragma("max_page_count", pages.to_string()));
        let limit = sqlx::AssertSqlSafe(format!("pragma max_page_count = {pages}"));
        sqlx::query(limit).execute(&self.write).await.unwrap();
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        // SQLite's own: a deferred transaction that has read would fail, not wait, when it wants to write.
        Ok(self.write.begin_with("begin immediate").await?)
    }
}

/// The file at `path`, locked until it is dropped; waits for whoever holds it.
async fn lock(path: PathBuf) -> Result<File, StoreError> {
    let lock = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    lock.await.map_err(StoreError::database)?.map_err(StoreError::io)
}

/// Brings the tables up to date.
async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let migrations = [
        (1, "init", include_str!("../../migrations/0001_init.sql")),
        (2, "features", include_str!("../../migrations/0002_features.sql")),
        (3, "sweeps", include_str!("../../migrations/0003_sweeps.sql")),
        (4, "resume", include_str!("../../migrations/0004_resume.sql")),
        (5, "access", include_str!("../../migrations/0005_access.sql")),
        (6, "idempotency", include_str!("../../migrations/0006_idempotency.sql")),
        (7, "webhooks", include_str!("../../migrations/0007_webhooks.sql")),
        (8, "duplicates", include_str!("../../migrations/0008_duplicates.sql")),
        (9, "audits", include_str!("../../migrations/0009_audits.sql")),
    ];
    let migrations = migrations.into_iter().map(|(number, name, sql)| {
        Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect()).run(pool).await.map_err(StoreError::database)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opens_what_it_made_and_refuses_what_is_no_database() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let (first, second) = tokio::join!(Store::open(&path), Store::open(&path));
        let store = first.unwrap();
        second.unwrap().ping().await.unwrap();
        let refused = sqlx::query("delete from models").execute(&store.read).await;
        assert!(refused.is_err(), "readers can't write");
        store.close().await;
        assert!(store.ping().await.is_err());
        std::fs::write(dir.path().join("b.db"), "x".repeat(5000)).unwrap();
        assert!(matches!(Store::open(&dir.path().join("b.db")).await, Err(StoreError::Database(_))));
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
