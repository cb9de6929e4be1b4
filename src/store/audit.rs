//! Who asked for which change, and how it was answered.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::Cells;
use super::sql::{Row, query};
use super::{Page, Store, StoreError, now};
use crate::access::KeyId;
use crate::names::Name;

/// An entry to append.
#[derive(Debug, Clone)]
pub struct NewAuditEntry {
    /// The key that it was asked with, and what that one was called.
    pub key: Option<(KeyId, Name)>,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
    /// The answer's status.
    pub status: u16,
    /// The request's id, to find it in the log.
    pub request_id: Option<String>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its id.
    pub id: Uuid,
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// The key that it was asked with, and what that one was called.
    pub key: Option<(KeyId, Name)>,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
    /// The answer's status.
    pub status: u16,
    /// The request's id, to find it in the log.
    pub request_id: Option<String>,
}

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let row = Cells(row);
    let key = match row.get::<Option<&str>>("key_id")? {
        Some(_) => Some((row.parsed("key_id")?, row.parsed("key_name")?)),
        None => None,
    };
    Ok(AuditEntry {
        id: row.id("id")?,
        at: row.time("at")?,
        key,
        method: row.get("method")?,
        path: row.get("path")?,
        status: row.unsigned("status")?,
        request_id: row.get("request_id")?,
    })
}

impl Store {
    /// Appends an entry.
    ///
    /// # Errors
    /// The database's own.
    pub async fn append_audit(&self, new: &NewAuditEntry) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        query(
            "insert into audit (id, at, key_id, key_name, method, path, status, request_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        // Made here, under the lock: the order of ids is the order of entries.
        .bind(Uuid::now_v7().to_string())
        .bind(now())
        .bind(new.key.as_ref().map(|(id, _)| id.to_string()))
        .bind(new.key.as_ref().map(|(_, name)| name.as_str()))
        .bind(&new.method)
        .bind(&new.path)
        .bind(i64::from(new.status))
        .bind(&new.request_id)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    /// Entries, newest first, from before `before`.
    ///
    /// # Errors
    /// The database's own.
    pub async fn audit(&self, before: Option<Uuid>, limit: u32) -> Result<Page<AuditEntry>, StoreError> {
        let rows = query("select * from audit where id < $1 order by id desc limit $2")
            .bind(before.unwrap_or(Uuid::max()).to_string())
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.read)
            .await?;
        Ok(Page::of(rows.iter().map(entry).collect::<Result<_, _>>()?, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Key;
    use crate::store::testing::{Temp, both};

    both!(entries_come_in_pages_newest_first);

    async fn entries_come_in_pages_newest_first(t: Temp) {
        let key = Some((Key::generate().unwrap().id(), "ci".parse().unwrap()));
        for status in [202, 403, 499] {
            let entry = NewAuditEntry {
                key: key.clone().filter(|_| status != 499),
                method: "POST".to_owned(),
                path: "/v1/jobs".to_owned(),
                status,
                request_id: (status == 202).then(|| "abc-1".to_owned()),
            };
            t.store.append_audit(&entry).await.unwrap();
        }
        let page = t.store.audit(None, 2).await.unwrap();
        assert_eq!(page.items.iter().map(|entry| entry.status).collect::<Vec<_>>(), [499, 403]);
        assert!(page.more && page.items[0].key.is_none() && page.items[1].key == key);
        let rest = t.store.audit(Some(page.items[1].id), 2).await.unwrap();
        assert_eq!((rest.items[0].request_id.as_deref(), rest.items.len(), rest.more), (Some("abc-1"), 1, false));
    }
}
