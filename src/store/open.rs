//! Opening a database: connections, and tables brought up to date.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgPool, SqlSafeStr};

use super::news::Ears;
use super::sql::Pool;
use super::{Database, PostgresUrl, Store, StoreError};

/// Connections to SQLite that read, each a thread of its own.
const READERS: u32 = 4;

/// How long to wait for another process's write, and for a connection. The longest write commits a data set's 200,000 pictures.
const BUSY: Duration = Duration::from_secs(20);

/// How old a connection to PostgreSQL gets: a server behind a changed address is found again.
const LIFETIME: Duration = Duration::from_secs(600);

/// What SQLite's tables came from, before there was PostgreSQL.
const SQLITE: [(i64, &str, &str); 9] = [
    (1, "init", include_str!("../../migrations/sqlite/0001_init.sql")),
    (2, "features", include_str!("../../migrations/sqlite/0002_features.sql")),
    (3, "sweeps", include_str!("../../migrations/sqlite/0003_sweeps.sql")),
    (4, "resume", include_str!("../../migrations/sqlite/0004_resume.sql")),
    (5, "access", include_str!("../../migrations/sqlite/0005_access.sql")),
    (6, "idempotency", include_str!("../../migrations/sqlite/0006_idempotency.sql")),
    (7, "webhooks", include_str!("../../migrations/sqlite/0007_webhooks.sql")),
    (8, "duplicates", include_str!("../../migrations/sqlite/0008_duplicates.sql")),
    (9, "audits", include_str!("../../migrations/sqlite/0009_audits.sql")),
];

/// Where PostgreSQL begins: with the same tables.
const POSTGRES: [(i64, &str, &str); 1] = [(9, "init", include_str!("../../migrations/postgres/0009_init.sql"))];

/// What came later, to both.
const BOTH: [(i64, &str, &str); 2] = [
    (10, "readers", include_str!("../../migrations/0010_readers.sql")),
    (11, "extractions", include_str!("../../migrations/0011_extractions.sql")),
];

impl Store {
    /// Opens the database, whose file is made if it isn't there, and brings its tables up to date.
    ///
    /// # Errors
    /// A file that can't be opened or isn't a database; a server that doesn't answer or lets nobody in; tables made by a newer version.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        match database {
            Database::Sqlite(file) => open_sqlite(file).await,
            Database::Postgres { url, connections } => open_postgres(url, *connections).await,
        }
    }
}

async fn open_sqlite(file: &Path) -> Result<Store, StoreError> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tokio::fs::create_dir_all(parent).await.map_err(StoreError::io)?;
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .journal_mode(SqliteJournalMode::Wal)
        // An epoch with a row is never lost, not even to a power cut; NORMAL could lose the last commits of a WAL. It
        // costs one fsync a commit, and there are a few commits a second.
        .synchronous(SqliteSynchronous::Full);
    // Server and workers may start together. Turning a new file to WAL doesn't wait for whoever else is at it, whatever the
    // timeout, and sqlx takes no lock for migrations on SQLite: a lock file covers both.
    let lock = lock(file.with_extension("lock")).await?;
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        // A full disk makes SQLite roll back by itself. sqlx then believes the connection to be in a transaction for good and
        // would begin no other on it: such a one is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options.clone())
        .await?;
    migrator(&SQLITE).run(&write).await.map_err(StoreError::database)?;
    drop(lock);
    let read = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.pragma("query_only", "on")).await?;
    Ok(Store { read: Pool::Sqlite(read), write: Pool::Sqlite(write), ears: None })
}

async fn open_postgres(url: &PostgresUrl, connections: u32) -> Result<Store, StoreError> {
    let options: PgConnectOptions = url.secret().parse().map_err(StoreError::database)?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY)
        .max_lifetime(LIFETIME)
        .connect_with(options.application_name("topgraft"))
        .await?;
    // Asked first: whoever may only read and write rows can't even look whether to change tables the way sqlx does.
    let migrator = migrator(&POSTGRES);
    if !is_up_to_date(&migrator, &pool).await {
        // Whoever else is at it is waited for: sqlx takes a lock here.
        migrator.run(&pool).await.map_err(StoreError::database)?;
    }
    let ears = Ears::open(pool.clone());
    let pool = Pool::Postgres(pool);
    Ok(Store { read: pool.clone(), write: pool, ears: Some(ears) })
}

/// Whether the tables are those that the migrations make. Where there are none yet, they aren't.
async fn is_up_to_date(migrator: &Migrator, pool: &PgPool) -> bool {
    let done = sqlx::query_scalar::<_, i64>("select version from _sqlx_migrations where success order by version");
    let wanted: Vec<i64> = migrator.iter().map(|migration| migration.version).collect();
    done.fetch_all(pool).await.is_ok_and(|done| done == wanted)
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

/// What brings tables up to date that begin with `first`.
fn migrator(first: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = first.iter().chain(&BOTH).map(|&(number, name, sql)| {
        Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}
