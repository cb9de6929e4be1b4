//! Features that several workers compute for one job. Every statement about that is in this file.
//!
//! A job takes the turn for its rows, offers what it misses in shards, and takes one after the other; workers without work of their own
//! claim shards under leases, as they do jobs. A turn is worth something only while its job runs under the same lease: that of an
//! attempt that was lost is nobody's, and so are its shards.

#[cfg(test)]
mod tests;

use uuid::Uuid;

use super::jobs::holds;
use super::news::WORK;
use super::rows::{Cells, held, json};
use super::sql::{Value, insert_rows, query};
use super::{Claim, Store, StoreError, Tx};

/// Arithmetics that a worker may compute in, at most: a precision each.
const ARITHMETICS: usize = 4;

/// Gives back claimed shards, those under a condition, that were lost so many times more.
macro_rules! give_back {
    ($lost:literal, $condition:literal) => {
        concat!(
            "update feature_shards set state = 'queued', worker = null, lease = null, lease_expires_at = null, losses = losses + ",
            $lost,
            " where state = 'running' and ",
            $condition
        )
    };
}

/// A shard that a worker has claimed to help a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedShard {
    /// The job.
    pub job: Uuid,
    /// Its number.
    pub shard: u32,
    /// Which of the job's samples, as they were offered.
    pub samples: String,
    /// The arithmetic that the job computes in.
    pub arithmetic: String,
}

/// How a job's shards stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardStanding {
    /// What helpers have finished since the last time: a shard's number and the segments that hold its rows.
    pub finished: Vec<(u32, Vec<String>)>,
    /// How many nobody has finished yet.
    pub open: u64,
}

impl Store {
    /// Takes the turn to compute `features`, which the job has until [`Store::end_extraction`] or until it loses its lease; false while
    /// another job has it.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn begin_extraction(&self, job: Uuid, lease: Uuid, features: &str, arithmetic: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        holds(&mut tx, job, lease).await?;
        // An earlier attempt's too.
        query(
            "delete from extractions where not exists (select 1 from jobs where jobs.id = extractions.job_id
             and jobs.state = 'running' and jobs.lease = extractions.lease)",
        )
        .execute(&mut tx)
        .await?;
        let begun = query(
            "insert into extractions (job_id, features, arithmetic, lease) values ($1, $2, $3, $4) on conflict do nothing",
        )
        .bind(job.to_string())
        .bind(features)
        .bind(arithmetic)
        .bind(lease.to_string())
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(begun == 1)
    }

    /// Offers a job's shards, each a number and samples, to all workers.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], also if the job hasn't the turn.
    pub async fn offer_shards(&self, job: Uuid, lease: Uuid, shards: &[(u32, String)]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        has_turn(&mut tx, job, lease).await?;
        let id = job.to_string();
        let row = |(shard, samples): &(u32, String)| -> [Value; 3] { [(&id).into(), i64::from(*shard).into(), samples.into()] };
        let rows: Vec<_> = shards.iter().map(row).collect();
        insert_rows(&mut tx, "insert into feature_shards (job_id, shard, samples)", &rows).await?;
        tx.notify(WORK).await?;
        tx.commit().await
    }

    /// The next shard that nobody has, for the job itself; those of lost helpers come again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], also if the job hasn't the turn.
    pub async fn take_shard(&self, job: Uuid, lease: Uuid, now: i64) -> Result<Option<u32>, StoreError> {
        let mut tx = self.begin().await?;
        has_turn(&mut tx, job, lease).await?;
        let lost = query(give_back!("1", "job_id = $1 and lease_expires_at < $2")).bind(job.to_string()).bind(now);
        lost.execute(&mut tx).await?;
        let row = query(
            "update feature_shards set state = 'running', lease = $2 where job_id = $1 and shard = (
                 select shard from feature_shards where job_id = $1 and state = 'queued' order by shard limit 1
                 /*pg for update skip locked*/) returning shard",
        )
        .bind(job.to_string())
        .bind(lease.to_string())
        .fetch_optional(&mut tx)
        .await?;
        tx.commit().await?;
        row.as_ref().map(|row| Cells(row).unsigned("shard")).transpose()
    }

    /// Notes that the job itself has computed a shard.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], also if the job hasn't the shard.
    pub async fn collect_shard(&self, job: Uuid, lease: Uuid, shard: u32) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        has_turn(&mut tx, job, lease).await?;
        let collected = query(
            "update feature_shards set state = 'collected' where job_id = $1 and shard = $2 and state = 'running' and lease = $3",
        );
        let collected = collected.bind(job.to_string()).bind(i64::from(shard)).bind(lease.to_string());
        held(collected.execute(&mut tx).await?)?;
        tx.commit().await
    }

    /// Asks how a job's shards stand. What is told as finished isn't told again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], also if the job hasn't the turn.
    pub async fn shard_standing(&self, job: Uuid, lease: Uuid) -> Result<ShardStanding, StoreError> {
        let mut tx = self.begin().await?;
        has_turn(&mut tx, job, lease).await?;
        let rows = query(
            "update feature_shards set state = 'collected' where job_id = $1 and state = 'done' returning shard, segments",
        )
        .bind(job.to_string())
        .fetch_all(&mut tx)
        .await?;
        let finished =
            rows.iter().map(|row| Ok::<_, StoreError>((Cells(row).unsigned("shard")?, Cells(row).json("segments")?)));
        let finished = finished.collect::<Result<_, _>>()?;
        // Those that were finished between the two statements are told the next time.
        let row =
            query("select count(*) as open from feature_shards where job_id = $1 and state in ('queued', 'running', 'done')")
                .bind(job.to_string())
                .fetch_one(&mut tx)
                .await?;
        tx.commit().await?;
        Ok(ShardStanding { finished, open: Cells(&row).unsigned("open")? })
    }

    /// Gives the turn back. Whoever still computes one of the shards learns it from the next heartbeat.
    ///
    /// # Errors
    /// The database's own.
    pub async fn end_extraction(&self, job: Uuid, lease: Uuid) -> Result<(), StoreError> {
        query("delete from extractions where job_id = $1 and lease = $2")
            .bind(job.to_string())
            .bind(lease.to_string())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Claims a shard of a job that runs and computes in one of these arithmetics; of the job `of` alone, if it is given. One that a
    /// helper has lost before isn't given to another.
    ///
    /// # Errors
    /// The database's own.
    pub async fn claim_shard(
        &self,
        claim: &Claim<'_>,
        arithmetics: &[String],
        of: Option<Uuid>,
    ) -> Result<Option<ClaimedShard>, StoreError> {
        // Idle workers ask all the time, and a look needs no lock.
        if query("select 1 from extractions limit 1").fetch_optional(&self.read).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        let mut find = query(
            "select shards.job_id, shards.shard, shards.samples, extractions.arithmetic from feature_shards shards
             join extractions on extractions.job_id = shards.job_id
             join jobs on jobs.id = shards.job_id and jobs.state = 'running' and jobs.lease = extractions.lease
             where shards.state = 'queued' and shards.losses = 0 and jobs.lease_expires_at >= $1
             and (cast($2 as text) is null or shards.job_id = $2) and extractions.arithmetic in ($3, $4, $5, $6)
             order by shards.job_id, shards.shard limit 1 /*pg for update of shards skip locked*/",
        )
        .bind(claim.now)
        .bind(of.map(|job| job.to_string()));
        for number in 0..ARITHMETICS {
            find = find.bind(arithmetics.get(number).map(String::as_str));
        }
        let Some(found) = find.fetch_optional(&mut tx).await? else { return Ok(None) };
        let found = Cells(&found);
        let claimed = ClaimedShard {
            job: found.id("job_id")?,
            shard: found.unsigned("shard")?,
            samples: found.get("samples")?,
            arithmetic: found.get("arithmetic")?,
        };
        query(
            "update feature_shards set state = 'running', worker = $3, lease = $4, lease_expires_at = $5
             where job_id = $1 and shard = $2",
        )
        .bind(claimed.job.to_string())
        .bind(i64::from(claimed.shard))
        .bind(claim.worker)
        .bind(claim.lease.to_string())
        .bind(claim.now.saturating_add(claim.lease_ms))
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(Some(claimed))
    }

    /// Says that the helper is alive, and asks whether its claim holds. It doesn't once the job is over.
    ///
    /// # Errors
    /// The database's own.
    pub async fn shard_heartbeat(
        &self,
        (job, shard): (Uuid, u32),
        lease: Uuid,
        now: i64,
        lease_ms: i64,
    ) -> Result<bool, StoreError> {
        let beat = query(
            "update feature_shards set lease_expires_at = $4 where job_id = $1 and shard = $2 and state = 'running' and lease = $3",
        );
        let beat = beat.bind(job.to_string()).bind(i64::from(shard)).bind(lease.to_string());
        Ok(beat.bind(now.saturating_add(lease_ms)).execute(&self.write).await? == 1)
    }

    /// The helper has computed its shard: these segments hold the rows.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn finish_shard(&self, (job, shard): (Uuid, u32), lease: Uuid, segments: &[String]) -> Result<(), StoreError> {
        let finish = query(
            "update feature_shards set state = 'done', segments = $4, lease_expires_at = null
             where job_id = $1 and shard = $2 and state = 'running' and lease = $3",
        );
        let finish = finish.bind(job.to_string()).bind(i64::from(shard)).bind(lease.to_string()).bind(json(&segments)?);
        held(finish.execute(&self.write).await?)
    }

    /// The helper goes, and its shard back. If it came to nothing, no other helper gets it.
    ///
    /// # Errors
    /// [`StoreError::LostLease`].
    pub async fn release_shard(&self, (job, shard): (Uuid, u32), lease: Uuid, lost: bool) -> Result<(), StoreError> {
        let release = query(give_back!("$4", "job_id = $1 and shard = $2 and lease = $3"));
        let release = release.bind(job.to_string()).bind(i64::from(shard)).bind(lease.to_string()).bind(i64::from(lost));
        held(release.execute(&self.write).await?)
    }
}

/// Gives back what a worker helped with whose process has ended: one shard at most.
pub(super) async fn release_shards(tx: &mut Tx, worker: &str) -> Result<(), StoreError> {
    query(give_back!("1", "worker = $1")).bind(worker).execute(tx).await.map(drop)
}

/// Whether a job runs under this lease and has the turn. No other does until the transaction ends.
async fn has_turn(tx: &mut Tx, job: Uuid, lease: Uuid) -> Result<(), StoreError> {
    holds(tx, job, lease).await?;
    let turn = query("select 1 from extractions where job_id = $1 and lease = $2").bind(job.to_string());
    turn.bind(lease.to_string()).fetch_optional(&mut *tx).await?.map(drop).ok_or(StoreError::LostLease)
}
