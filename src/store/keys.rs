//! Keys for the API, and what each may have.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::{Cells, json, signed};
use super::sql::{Row, query};
use super::{Missing, OverQuota, Store, StoreError, Tx, now};
use crate::access::{KeyId, Scopes, SecretHash};
use crate::names::Name;

/// How exactly a key's last use is noted, in milliseconds: not every request is to cost a write.
const LAST_USED_WITHIN: i64 = 60_000;

/// A key to enter.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Which it is.
    pub id: KeyId,
    /// What people call it. Two may have one name: the second can take the first one's place.
    pub name: Name,
    /// Of its secret.
    pub hash: SecretHash,
    /// What it is for.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// How many requests a minute it is good for.
    pub requests_per_minute: Option<u32>,
    /// How many bytes its data sets may take.
    pub max_stored_bytes: Option<u64>,
    /// How many of its jobs may be unfinished.
    pub max_queued_jobs: Option<u64>,
}

/// A key, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Which it is.
    pub id: KeyId,
    /// What people call it.
    pub name: Name,
    /// Of its secret.
    pub hash: SecretHash,
    /// What it is for.
    pub scopes: Scopes,
    /// How many requests a minute it is good for.
    pub requests_per_minute: Option<u32>,
    /// How many bytes its data sets may take.
    pub max_stored_bytes: Option<u64>,
    /// How many of its jobs may be unfinished.
    pub max_queued_jobs: Option<u64>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When somebody revoked it.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A key, and how much may be there that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Which key.
    pub key: KeyId,
    /// How many bytes its data sets may take.
    pub max_stored_bytes: Option<u64>,
    /// How many of its jobs may be unfinished.
    pub max_queued_jobs: Option<u64>,
}

impl ApiKey {
    /// Whether it ended by itself before `time`.
    #[must_use]
    pub fn is_expired(&self, time: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= time)
    }

    /// What it may have.
    #[must_use]
    pub const fn allowance(&self) -> Allowance {
        Allowance { key: self.id, max_stored_bytes: self.max_stored_bytes, max_queued_jobs: self.max_queued_jobs }
    }
}

fn key(row: &Row) -> Result<ApiKey, StoreError> {
    let row = Cells(row);
    Ok(ApiKey {
        id: row.parsed("id")?,
        name: row.parsed("name")?,
        hash: row.parsed("hash")?,
        scopes: row.json("scopes")?,
        requests_per_minute: row.unsigned_or_none("requests_per_minute")?,
        max_stored_bytes: row.unsigned_or_none("max_stored_bytes")?,
        max_queued_jobs: row.unsigned_or_none("max_queued_jobs")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_or_none("expires_at")?,
        revoked_at: row.time_or_none("revoked_at")?,
        last_used_at: row.time_or_none("last_used_at")?,
    })
}

impl Store {
    /// Enters a key.
    ///
    /// # Errors
    /// The database's own, as when the id is taken: one in four thousand million, and another key is as good.
    pub async fn insert_key(&self, new: &NewApiKey) -> Result<ApiKey, StoreError> {
        let mut tx = self.begin().await?;
        let row = query(
            "insert into api_keys (id, name, hash, scopes, requests_per_minute, max_stored_bytes, max_queued_jobs,
             created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning *",
        )
        .bind(new.id.to_string())
        .bind(new.name.as_str())
        .bind(new.hash.as_str())
        .bind(json(&new.scopes)?)
        .bind(new.requests_per_minute.map(i64::from))
        .bind(new.max_stored_bytes.map(signed))
        .bind(new.max_queued_jobs.map(signed))
        .bind(now())
        .bind(new.expires_at.map(|end| end.timestamp_millis()))
        .fetch_one(&mut tx)
        .await?;
        let key = key(&row)?;
        tx.commit().await?;
        Ok(key)
    }

    /// A key, whether or not it can still be used.
    ///
    /// # Errors
    /// [`Missing::Key`].
    pub async fn key(&self, id: KeyId) -> Result<ApiKey, StoreError> {
        let row = query("select * from api_keys where id = $1").bind(id.to_string()).fetch_optional(&self.read).await?;
        key(&row.ok_or(Missing::Key)?)
    }

    /// Every key that there has been, oldest first.
    ///
    /// # Errors
    /// The database's own.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = query("select * from api_keys order by created_at, id").fetch_all(&self.read).await?;
        rows.iter().map(key).collect()
    }

    /// Whether there is a key that can be used now.
    ///
    /// # Errors
    /// The database's own.
    pub async fn has_usable_key(&self) -> Result<bool, StoreError> {
        let query =
            query("select 1 from api_keys where revoked_at is null and (expires_at is null or expires_at > $1) limit 1");
        Ok(query.bind(now()).fetch_optional(&self.read).await?.is_some())
    }

    /// Revokes a key: from now on it is refused. Revoking twice is fine. What came with it stays.
    ///
    /// # Errors
    /// [`Missing::Key`].
    pub async fn revoke_key(&self, id: KeyId) -> Result<ApiKey, StoreError> {
        let mut tx = self.begin().await?;
        let row = query("update api_keys set revoked_at = coalesce(revoked_at, $2) where id = $1 returning *")
            .bind(id.to_string())
            .bind(now())
            .fetch_optional(&mut tx)
            .await?;
        let key = key(&row.ok_or(Missing::Key)?)?;
        tx.commit().await?;
        Ok(key)
    }

    /// Notes that a key was used at `time`, but not more than once a minute.
    ///
    /// # Errors
    /// The database's own.
    pub async fn touch_key(&self, id: KeyId, time: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        query("update api_keys set last_used_at = $2 where id = $1 and coalesce(last_used_at, 0) <= $3")
            .bind(id.to_string())
            .bind(time)
            .bind(time.saturating_sub(LAST_USED_WITHIN))
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// How many bytes the data sets of a key take: until its archive has been read, a data set takes what that does.
    ///
    /// # Errors
    /// The database's own.
    pub async fn stored_bytes(&self, id: KeyId) -> Result<u64, StoreError> {
        let row = query(STORED_BYTES).bind(id.to_string()).fetch_one(&self.read).await?;
        Cells(&row).unsigned("stored")
    }
}

/// A failed data set's archive is gone. A sum is numeric in PostgreSQL, hence the cast.
const STORED_BYTES: &str =
    "select cast(coalesce(sum(case state when 'failed' then 0 else coalesce(stored_bytes, bytes) end), 0)
                            as bigint) as stored from datasets where key_id = $1";

/// Keeps anybody else from having more under a key until the transaction ends.
async fn lock(tx: &mut Tx, key: KeyId) -> Result<(), StoreError> {
    query("select 1 from api_keys where id = $1 /*pg for update*/").bind(key.to_string()).fetch_optional(tx).await?;
    Ok(())
}

/// Refuses a data set of so many bytes beyond what its key's may take. Nobody else can come between.
pub(super) async fn refuse_bytes(tx: &mut Tx, allowance: &Allowance, bytes: u64) -> Result<(), StoreError> {
    let Some(most) = allowance.max_stored_bytes else { return Ok(()) };
    lock(tx, allowance.key).await?;
    let row = query(STORED_BYTES).bind(allowance.key.to_string()).fetch_one(&mut *tx).await?;
    let stored: u64 = Cells(&row).unsigned("stored")?;
    if stored.saturating_add(bytes) > most { Err(OverQuota::StoredBytes { stored, most }.into()) } else { Ok(()) }
}

/// The same for one that has been read, and whose pictures have turned out to take so many bytes. It isn't ready yet.
pub(super) async fn refuse_pictures(tx: &mut Tx, dataset: Uuid, bytes: u64) -> Result<(), StoreError> {
    let row = query("select k.*, d.bytes as archive from api_keys k join datasets d on d.key_id = k.id where d.id = $1")
        .bind(dataset.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(()) };
    let Some(most) = key(&row)?.max_stored_bytes else { return Ok(()) };
    let id: KeyId = Cells(&row).parsed("id")?;
    lock(tx, id).await?;
    let stored = query(STORED_BYTES).bind(id.to_string()).fetch_one(&mut *tx).await?;
    // The archive, which counted until now, goes.
    let others = Cells(&stored).unsigned::<u64>("stored")?.saturating_sub(Cells(&row).unsigned("archive")?);
    if others.saturating_add(bytes) > most { Err(OverQuota::StoredBytes { stored: others, most }.into()) } else { Ok(()) }
}

/// Refuses so many more unfinished jobs than a key may have.
pub(super) async fn refuse_jobs(tx: &mut Tx, allowance: &Allowance, asked: u64) -> Result<(), StoreError> {
    let Some(most) = allowance.max_queued_jobs else { return Ok(()) };
    lock(tx, allowance.key).await?;
    let row = query("select count(*) as jobs from jobs where key_id = $1 and state in ('queued', 'running')")
        .bind(allowance.key.to_string())
        .fetch_one(&mut *tx)
        .await?;
    let unfinished: u64 = Cells(&row).unsigned("jobs")?;
    let over = unfinished.saturating_add(asked) > most;
    if over { Err(OverQuota::UnfinishedJobs { unfinished, asked, most }.into()) } else { Ok(()) }
}
