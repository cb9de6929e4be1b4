//! Connections to either database, and transactions on them.

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use super::query;
use crate::store::StoreError;

/// Connections to a database; clones share them.
#[derive(Debug, Clone)]
pub(in crate::store) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction that writes. What it has read and means to rely on, it has locked.
pub(in crate::store) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// The channel of PostgreSQL on which processes hear of each other's writes.
pub(in crate::store) const CHANNEL: &str = "topgraft";

impl Pool {
    /// Begins a transaction that writes.
    pub(in crate::store) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            // SQLite's own: a deferred transaction that has read would fail, not wait, when it wants to write.
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin_with("begin immediate").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    pub(in crate::store) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub(in crate::store) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Waits until no other transaction does what `what` names, and keeps others from it until this one ends: for what no row stands
    /// for. On SQLite this is so anyway.
    pub(in crate::store) async fn alone(&mut self, what: &str) -> Result<(), StoreError> {
        if let Self::Postgres(_) = self {
            query("select pg_advisory_xact_lock(hashtextextended($1, 0))").bind(what).execute(self).await?;
        }
        Ok(())
    }

    /// Tells other processes, once this is committed, that there is news of `topic`. On SQLite they look by themselves.
    pub(in crate::store) async fn notify(&mut self, topic: &str) -> Result<(), StoreError> {
        if let Self::Postgres(_) = self {
            query("select pg_notify($1, $2)").bind(CHANNEL).bind(topic).execute(self).await?;
        }
        Ok(())
    }
}
