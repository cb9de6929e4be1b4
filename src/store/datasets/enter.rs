//! Data sets come: their rows, and how their reading ends.

use uuid::Uuid;

use super::{CLASSES, Dataset, NewDataset, class, content, dataset};
use crate::dataset::{Ingested, Rejected};
use crate::store::rows::signed;
use crate::store::sql::query;
use crate::store::{Failure, Keep, Missing, Store, StoreError, Tx, idempotency, keys, now};

impl Store {
    /// Enters a data set whose archive is there and is about to be read.
    ///
    /// # Errors
    /// [`Conflict::DatasetNameTaken`](crate::store::Conflict::DatasetNameTaken);
    /// [`Conflict::KeyInUse`](crate::store::Conflict::KeyInUse); [`StoreError::OverQuota`].
    pub async fn insert_dataset(&self, new: &NewDataset, keep: Option<Keep<'_, Dataset>>) -> Result<Dataset, StoreError> {
        let mut tx = self.begin().await?;
        let dataset = insert(&mut tx, new).await?;
        idempotency::remember(&mut tx, keep, &dataset).await?;
        tx.commit().await?;
        Ok(dataset)
    }

    /// Enters a data set that was made of another, ready at once.
    ///
    /// # Errors
    /// As [`Store::insert_dataset`].
    pub async fn insert_revision(
        &self,
        new: &NewDataset,
        ingested: &Ingested,
        keep: Option<Keep<'_, Dataset>>,
    ) -> Result<Dataset, StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, new).await?;
        finish(&mut tx, new.id, ingested).await?;
        let row = query("select * from datasets where id = $1").bind(new.id.to_string()).fetch_one(&mut tx).await?;
        let mut dataset = dataset(&row)?;
        let classes = query(CLASSES).bind(new.id.to_string()).fetch_all(&mut tx).await?;
        dataset.classes = classes.iter().map(class).collect::<Result<_, _>>()?;
        idempotency::remember(&mut tx, keep, &dataset).await?;
        tx.commit().await?;
        Ok(dataset)
    }

    /// Ingestion is over: classes, pictures and rejections appear, and the data set is ready.
    ///
    /// # Errors
    /// [`Missing::Dataset`] if it isn't being ingested; [`StoreError::OverQuota`] if its pictures are more than its key may have.
    pub async fn finish_dataset(&self, id: Uuid, ingested: &Ingested) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        finish(&mut tx, id, ingested).await?;
        tx.commit().await
    }

    /// Ingestion came to nothing.
    ///
    /// # Errors
    /// [`Missing::Dataset`] if it isn't being ingested.
    pub async fn fail_dataset(&self, id: Uuid, failure: &Failure, rejected: &[Rejected]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let updated = query(
            "update datasets set state = 'failed', error_code = $2, error_message = $3, rejected = $4, finished_at = $5
             where id = $1 and state = 'ingesting'",
        )
        .bind(id.to_string())
        .bind(&failure.code)
        .bind(&failure.message)
        .bind(signed(rejected.len() as u64))
        .bind(now())
        .execute(&mut tx)
        .await?;
        one(updated)?;
        content::insert_rejections(&mut tx, id, rejected).await?;
        tx.commit().await
    }
}

/// A row of a data set that is being read, if its key may have it.
async fn insert(tx: &mut Tx, new: &NewDataset) -> Result<Dataset, StoreError> {
    if let Some(allowance) = &new.allowance {
        keys::refuse_bytes(tx, allowance, new.bytes).await?;
    }
    let row = query(
        "insert into datasets (id, name, state, bytes, archive_sha256, created_at, key_id)
         values ($1, $2, 'ingesting', $3, $4, $5, $6) returning *",
    )
    .bind(new.id.to_string())
    .bind(new.name.as_str())
    .bind(signed(new.bytes))
    .bind(&new.archive_sha256)
    .bind(now())
    .bind(new.allowance.map(|allowance| allowance.key.to_string()))
    .fetch_one(&mut *tx)
    .await?;
    dataset(&row)
}

/// Makes a data set that is being read ready.
async fn finish(tx: &mut Tx, id: Uuid, ingested: &Ingested) -> Result<(), StoreError> {
    let stored = ingested.images.iter().map(|image| image.bytes).sum();
    keys::refuse_pictures(tx, id, stored).await?;
    let updated = query(
        "update datasets set state = 'ready', images = $2, rejected = $3, content_sha256 = $4, finished_at = $5,
         stored_bytes = $6 where id = $1 and state = 'ingesting'",
    )
    .bind(id.to_string())
    .bind(signed(ingested.images.len() as u64))
    .bind(signed(ingested.rejected.len() as u64))
    .bind(&ingested.content_sha256)
    .bind(now())
    .bind(signed(stored))
    .execute(&mut *tx)
    .await?;
    one(updated)?;
    content::insert_classes(tx, id, ingested).await?;
    content::insert_images(tx, id, &ingested.images).await?;
    content::insert_rejections(tx, id, &ingested.rejected).await
}

fn one(rows: u64) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(Missing::Dataset.into()) }
}
