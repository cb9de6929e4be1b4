//! Data sets: one row each, and their classes, pictures and rejections, which appear together when ingestion is over.

mod content;
mod enter;
mod reading;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use content::{Image, Rejection};
pub use reading::Reader;

use super::jobs::Failure;
use super::rows::Cells;
use super::sql::{Row, query};
use super::{Allowance, Conflict, Missing, Page, Store, StoreError, Tx};
use crate::dataset::ClassCount;
use crate::names::Name;

/// What a data set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatasetState {
    /// Its archive is being read.
    Ingesting,
    /// It can be trained on and never changes.
    Ready,
    /// Nothing usable was in the archive; its error says why.
    Failed,
}

impl std::str::FromStr for DatasetState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ingesting" => Ok(Self::Ingesting),
            "ready" => Ok(Self::Ready),
            "failed" => Ok(Self::Failed),
            other => Err(format!("{other:?} is no state of a dataset")),
        }
    }
}

/// A data set that is about to be read.
#[derive(Debug, Clone)]
pub struct NewDataset {
    /// Its id, UUIDv7: their order is creation order.
    pub id: Uuid,
    /// Its name, which no other has.
    pub name: Name,
    /// Length of the uploaded archive.
    pub bytes: u64,
    /// The uploaded archive's SHA-256.
    pub archive_sha256: String,
    /// The key that it came with, and what that one may have.
    pub allowance: Option<Allowance>,
}

/// A data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: DatasetState,
    /// Its accepted pictures.
    pub images: u64,
    /// Length of the uploaded archive.
    pub bytes: u64,
    /// The uploaded archive's SHA-256.
    pub archive_sha256: Option<String>,
    /// SHA-256 over classes and pictures, once it is ready.
    pub content_sha256: Option<String>,
    /// How many entries were rejected.
    pub rejected: u64,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Class names in order, with their pictures; a class's number is its place here.
    pub classes: Vec<ClassCount>,
    /// When its archive had arrived.
    pub created_at: DateTime<Utc>,
    /// When ingestion was over.
    pub finished_at: Option<DateTime<Utc>>,
}

fn dataset(row: &Row) -> Result<Dataset, StoreError> {
    let row = Cells(row);
    let error = row.get::<Option<String>>("error_code")?;
    let message = row.get::<Option<String>>("error_message")?.unwrap_or_default();
    Ok(Dataset {
        id: row.id("id")?,
        name: row.parsed("name")?,
        state: row.parsed("state")?,
        images: row.unsigned("images")?,
        bytes: row.unsigned("bytes")?,
        archive_sha256: row.get("archive_sha256")?,
        content_sha256: row.get("content_sha256")?,
        rejected: row.unsigned("rejected")?,
        error: error.map(|code| Failure { code, message }),
        classes: Vec::new(),
        created_at: row.time("created_at")?,
        finished_at: row.time_or_none("finished_at")?,
    })
}

/// A data set's classes in order.
const CLASSES: &str = "select name, images from dataset_classes where dataset_id = $1 order by class";

fn class(row: &Row) -> Result<ClassCount, StoreError> {
    let row = Cells(row);
    Ok(ClassCount { name: row.get("name")?, images: row.unsigned("images")? })
}

impl Store {
    /// The data set with this id or, if there is none, with this name.
    ///
    /// # Errors
    /// [`Missing::Dataset`].
    pub async fn dataset(&self, id_or_name: &str) -> Result<Dataset, StoreError> {
        let row =
            query("select * from datasets where id = $1 or name = $1 order by case when id = $1 then 0 else 1 end limit 1")
                .bind(id_or_name)
                .fetch_optional(&self.read)
                .await?
                .ok_or(Missing::Dataset)?;
        let mut dataset = dataset(&row)?;
        let rows = query(CLASSES).bind(dataset.id.to_string()).fetch_all(&self.read).await?;
        dataset.classes = rows.iter().map(class).collect::<Result<_, _>>()?;
        Ok(dataset)
    }

    /// Data sets, newest first, from before `before`.
    ///
    /// # Errors
    /// The database's own.
    pub async fn datasets(&self, before: Option<Uuid>, limit: u32) -> Result<Page<Dataset>, StoreError> {
        let before = before.unwrap_or(Uuid::max()).to_string();
        let rows = query("select * from datasets where id < $1 order by id desc limit $2")
            .bind(&before)
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.read)
            .await?;
        let mut datasets = rows.iter().map(dataset).collect::<Result<Vec<_>, _>>()?;
        let rows = query(
            "select c.dataset_id, c.name, c.images from dataset_classes c
             join (select id from datasets where id < $1 order by id desc limit $2) d on d.id = c.dataset_id
             order by c.dataset_id, c.class",
        )
        .bind(&before)
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.read)
        .await?;
        for row in &rows {
            let id = Cells(row).id("dataset_id")?;
            if let Some(dataset) = datasets.iter_mut().find(|dataset| dataset.id == id) {
                dataset.classes.push(class(row)?);
            }
        }
        Ok(Page::of(datasets, limit))
    }

    /// Data sets whose ingestion isn't over, oldest first.
    ///
    /// # Errors
    /// The database's own.
    pub async fn ingesting_datasets(&self) -> Result<Vec<Dataset>, StoreError> {
        let rows = query("select * from datasets where state = 'ingesting' order by id").fetch_all(&self.read).await?;
        rows.iter().map(dataset).collect()
    }

    /// Deletes a data set's rows. Finished jobs and published versions go on showing its name. Answers its content's hash if
    /// no other data set has that content: what was computed from it has lost its use.
    ///
    /// # Errors
    /// [`Missing::Dataset`]; [`Conflict::DatasetIngesting`]; [`Conflict::DatasetInUse`].
    pub async fn delete_dataset(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        let mut tx = self.begin().await?;
        if state(&mut tx, id).await?.1 == DatasetState::Ingesting {
            return Err(Conflict::DatasetIngesting.into());
        }
        let row = query("select count(*) as jobs from jobs where dataset_id = $1 and state in ('queued', 'running')")
            .bind(id.to_string())
            .fetch_one(&mut tx)
            .await?;
        let jobs = Cells(&row).unsigned("jobs")?;
        if jobs > 0 {
            return Err(Conflict::DatasetInUse { jobs }.into());
        }
        let gone = query(
            "select content_sha256 from datasets where id = $1 and not exists
             (select 1 from datasets other where other.content_sha256 = datasets.content_sha256 and other.id <> $1)",
        )
        .bind(id.to_string())
        .fetch_optional(&mut tx)
        .await?;
        let gone = gone.map(|row| Cells(&row).get::<Option<String>>("content_sha256")).transpose()?.flatten();
        query("delete from datasets where id = $1").bind(id.to_string()).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

/// A data set's name and state, as they are until the transaction ends.
async fn state(tx: &mut Tx, id: Uuid) -> Result<(Name, DatasetState), StoreError> {
    let row = query("select name, state from datasets where id = $1 /*pg for update*/")
        .bind(id.to_string())
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Missing::Dataset)?;
    let row = Cells(&row);
    Ok((row.parsed("name")?, row.parsed("state")?))
}

/// The name of a data set that can be trained on, and until the transaction ends.
pub(super) async fn ready(tx: &mut Tx, id: Uuid) -> Result<Name, StoreError> {
    let (name, state) = state(tx, id).await?;
    match Conflict::of_dataset(state) {
        Some(conflict) => Err(conflict.into()),
        None => Ok(name),
    }
}
