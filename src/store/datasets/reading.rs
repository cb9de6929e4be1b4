//! Who reads an archive: one server, for as long as it says that it is alive.

use uuid::Uuid;

use crate::store::sql::query;
use crate::store::{Store, StoreError};

/// A server that wants to read an archive, or goes on reading it.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// Its token, one for as long as its process lives.
    pub token: Uuid,
    /// The time, [`crate::store::now`].
    pub now: i64,
    /// How long its claim holds unless it is renewed, in milliseconds.
    pub claim_ms: i64,
}

impl Store {
    /// Whether other servers may be at this database: SQLite's file has one.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.ears.is_some()
    }

    /// Claims the reading of a data set's archive, or renews the claim; `false` if another server has it, or it has been read. With
    /// `inherit`, the claims of others don't count: they are known to be gone.
    ///
    /// # Errors
    /// The database's own.
    pub async fn claim_reading(&self, dataset: Uuid, reader: Reader, inherit: bool) -> Result<bool, StoreError> {
        // Who has just entered a data set is about to claim it.
        let claimed = query(
            "update datasets set reader = $2, reader_until = $3 where id = $1 and state = 'ingesting'
             and (reader = $2 or $5 = 1 or coalesce(reader_until, created_at + $6) < $4)",
        )
        .bind(dataset.to_string())
        .bind(reader.token.to_string())
        .bind(reader.now.saturating_add(reader.claim_ms))
        .bind(reader.now)
        .bind(i64::from(inherit))
        .bind(reader.claim_ms)
        .execute(&self.write)
        .await?;
        Ok(claimed == 1)
    }

    /// The server stops: what it hasn't read others may.
    ///
    /// # Errors
    /// The database's own.
    pub async fn release_readings(&self, token: Uuid) -> Result<(), StoreError> {
        query("update datasets set reader_until = 0 where reader = $1 and state = 'ingesting'")
            .bind(token.to_string())
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::now;
    use crate::store::testing::{Temp, both, ingested, new_dataset};

    both!(one_server_reads_and_another_takes_over);

    async fn one_server_reads_and_another_takes_over(t: Temp) {
        let dataset = t.store.insert_dataset(&new_dataset("d"), None).await.unwrap().id;
        let begun = now();
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let at = |token, after| Reader { token, now: begun + after, claim_ms: 1000 };
        let claim = async |reader, inherit| t.store.claim_reading(dataset, reader, inherit).await.unwrap();
        assert!(!claim(at(other, 0), false).await, "it is as good as its receiver's");
        assert!(!claim(at(one, 0), false).await, "whoever that is");
        assert!(claim(at(one, 0), true).await);
        assert!(!claim(at(other, 900), false).await);
        assert!(claim(at(one, 900), false).await, "it is alive");
        assert!(!claim(at(other, 1800), false).await);
        assert!(claim(at(other, 2000), false).await, "it is not");
        assert!(!claim(at(one, 2100), false).await);
        t.store.release_readings(other).await.unwrap();
        assert!(claim(at(one, 2100), false).await);
        t.store.finish_dataset(dataset, &ingested(4)).await.unwrap();
        assert!(!claim(at(one, 2200), true).await, "it has been read");
    }
}
