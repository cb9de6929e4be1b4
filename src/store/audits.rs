//! Audits of data sets and what they found.
//!
//! One that runs is a lease, as a job is, and every write of its worker shows the token. It keeps nothing that couldn't be found again:
//! one whose worker is lost begins anew.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::news::WORK;
use super::rows::{Cells, held, json, signed};
use super::sql::{Row, Value, insert_rows, query};
use super::{Claim, Failure, Missing, Page, Store, StoreError, Tx, datasets, now};
use crate::dataset::audit::{AuditSummary, Finding, FindingKind};

/// What an audit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditState {
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// What it found can be looked at.
    Ready,
    /// It came to nothing; its error says why.
    Failed,
}

/// An audit of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// The data set.
    pub dataset: Uuid,
    /// What it is.
    pub state: AuditState,
    /// How far it is, 0 to 1.
    pub progress: f64,
    /// What it came to, once it is ready.
    pub summary: Option<AuditSummary>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
}

fn audit(row: &Row) -> Result<Audit, StoreError> {
    let row = Cells(row);
    let message = row.get::<Option<String>>("error_message")?.unwrap_or_default();
    Ok(Audit {
        dataset: row.id("dataset_id")?,
        state: row.named("state")?,
        progress: row.get("progress")?,
        summary: row.json_or_none("summary")?,
        error: row.get::<Option<String>>("error_code")?.map(|code| Failure { code, message }),
        created_at: row.time("created_at")?,
        finished_at: row.time_or_none("finished_at")?,
    })
}

impl Store {
    /// Asks for an audit. One that waits, runs or is ready stays as it is: a ready data set never changes.
    ///
    /// # Errors
    /// [`Missing::Dataset`]; [`Conflict::DatasetIngesting`](super::Conflict::DatasetIngesting);
    /// [`Conflict::DatasetFailed`](super::Conflict::DatasetFailed).
    pub async fn request_audit(&self, dataset: Uuid) -> Result<Audit, StoreError> {
        let mut tx = self.begin().await?;
        datasets::ready(&mut tx, dataset).await?;
        query("delete from dataset_audits where dataset_id = $1 and state = 'failed'")
            .bind(dataset.to_string())
            .execute(&mut tx)
            .await?;
        query(
            "insert into dataset_audits (dataset_id, state, created_at) values ($1, 'queued', $2) on conflict (dataset_id) do nothing",
        )
        .bind(dataset.to_string())
        .bind(now())
        .execute(&mut tx)
        .await?;
        let row =
            query("select * from dataset_audits where dataset_id = $1").bind(dataset.to_string()).fetch_one(&mut tx).await?;
        tx.notify(WORK).await?;
        tx.commit().await?;
        audit(&row)
    }

    /// A data set's audit.
    ///
    /// # Errors
    /// [`Missing::Audit`].
    pub async fn audit_of(&self, dataset: Uuid) -> Result<Audit, StoreError> {
        let row = query("select * from dataset_audits where dataset_id = $1")
            .bind(dataset.to_string())
            .fetch_optional(&self.read)
            .await?;
        audit(&row.ok_or(Missing::Audit)?)
    }

    /// What an audit found, from after `after`; of one kind if it is given. Each with its number.
    ///
    /// # Errors
    /// The database's own.
    pub async fn findings(
        &self,
        dataset: Uuid,
        kind: Option<FindingKind>,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Page<(u64, Finding)>, StoreError> {
        let rows = query(
            "select finding, body from dataset_findings where dataset_id = $1 and finding > $2
             and (cast($3 as text) is null or kind = $3) order by finding limit $4",
        )
        .bind(dataset.to_string())
        .bind(after.map_or(-1, signed))
        .bind(kind.map(FindingKind::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.read)
        .await?;
        let finding = |row: &Row| Ok::<_, StoreError>((Cells(row).unsigned("finding")?, Cells(row).json("body")?));
        Ok(Page::of(rows.iter().map(finding).collect::<Result<_, _>>()?, limit))
    }

    /// Claims the audit that waits longest, for which those of lost workers wait again; one that has lost `max_attempts` fails.
    ///
    /// # Errors
    /// The database's own.
    pub async fn claim_audit(&self, claim: &Claim<'_>) -> Result<Option<Uuid>, StoreError> {
        // Idle workers ask all the time, and a look needs no lock.
        let waiting = query(
            "select 1 from dataset_audits where state = 'queued' or (state = 'running' and lease_expires_at < $1) limit 1",
        )
        .bind(claim.now)
        .fetch_optional(&self.read)
        .await?;
        if waiting.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        query(
            "update dataset_audits set state = 'queued', lease = null, losses = losses + 1
             where state = 'running' and lease_expires_at < $1",
        )
        .bind(claim.now)
        .execute(&mut tx)
        .await?;
        query(
            "update dataset_audits set state = 'failed', error_code = 'worker_lost', finished_at = $1,
             error_message = 'its worker was lost again and again: ask for the audit once more when the server is well'
             where state = 'queued' and losses >= $2",
        )
        .bind(claim.now)
        .bind(i64::from(claim.max_attempts))
        .execute(&mut tx)
        .await?;
        let row = query(
            "update dataset_audits set state = 'running', progress = 0, lease = $1, lease_expires_at = $2
             where dataset_id = (select dataset_id from dataset_audits where state = 'queued' order by created_at, dataset_id limit 1
                 /*pg for update skip locked*/) returning dataset_id",
        )
        .bind(claim.lease.to_string())
        .bind(claim.now.saturating_add(claim.lease_ms))
        .fetch_optional(&mut tx)
        .await?;
        tx.commit().await?;
        row.as_ref().map(|row| Cells(row).id("dataset_id")).transpose()
    }

    /// Says that the worker is alive, and asks whether the claim holds. It doesn't once the data set is deleted.
    ///
    /// # Errors
    /// The database's own.
    pub async fn audit_heartbeat(&self, dataset: Uuid, lease: Uuid, now: i64, lease_ms: i64) -> Result<bool, StoreError> {
        let beat =
            query("update dataset_audits set lease_expires_at = $3 where dataset_id = $1 and state = 'running' and lease = $2");
        let beat = beat.bind(dataset.to_string()).bind(lease.to_string()).bind(now.saturating_add(lease_ms));
        Ok(beat.execute(&self.write).await? == 1)
    }

    /// Notes how far an audit is.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn record_audit_progress(&self, dataset: Uuid, lease: Uuid, progress: f64) -> Result<(), StoreError> {
        let query = query("update dataset_audits set progress = $3 where dataset_id = $1 and state = 'running' and lease = $2");
        held(query.bind(dataset.to_string()).bind(lease.to_string()).bind(progress).execute(&self.write).await?)
    }

    /// The audit is over: what it found appears.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn finish_audit(
        &self,
        dataset: Uuid,
        lease: Uuid,
        summary: &AuditSummary,
        findings: &[Finding],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let updated = query(
            "update dataset_audits set state = 'ready', progress = 1, summary = $3, finished_at = $4, lease = null
             where dataset_id = $1 and state = 'running' and lease = $2",
        )
        .bind(dataset.to_string())
        .bind(lease.to_string())
        .bind(json(summary)?)
        .bind(now())
        .execute(&mut tx)
        .await?;
        held(updated)?;
        insert(&mut tx, dataset, findings).await?;
        tx.commit().await
    }

    /// The audit came to nothing, and would again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn fail_audit(&self, dataset: Uuid, lease: Uuid, failure: &Failure) -> Result<(), StoreError> {
        let query = query(
            "update dataset_audits set state = 'failed', error_code = $3, error_message = $4, finished_at = $5, lease = null
             where dataset_id = $1 and state = 'running' and lease = $2",
        );
        let query =
            query.bind(dataset.to_string()).bind(lease.to_string()).bind(&failure.code).bind(&failure.message).bind(now());
        held(query.execute(&self.write).await?)
    }

    /// The worker stops in good order, or waits for the machine: the audit goes back to the queue, and nothing is counted.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn release_audit(&self, dataset: Uuid, lease: Uuid) -> Result<(), StoreError> {
        let query = query(
            "update dataset_audits set state = 'queued', lease = null where dataset_id = $1 and state = 'running' and lease = $2",
        );
        held(query.bind(dataset.to_string()).bind(lease.to_string()).execute(&self.write).await?)
    }
}

async fn insert(tx: &mut Tx, dataset: Uuid, findings: &[Finding]) -> Result<(), StoreError> {
    let dataset = dataset.to_string();
    let row = |(number, finding): (u64, &Finding)| -> Result<[Value; 4], StoreError> {
        Ok([(&dataset).into(), signed(number).into(), finding.kind.as_str().into(), json(finding)?.into()])
    };
    let rows: Vec<_> = (0..).zip(findings).map(row).collect::<Result<_, _>>()?;
    insert_rows(tx, "insert into dataset_findings (dataset_id, finding, kind, body)", &rows).await
}
