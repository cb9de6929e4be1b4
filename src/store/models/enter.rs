//! Entering a version whose artifact is in place.

use uuid::Uuid;

use crate::names::Name;
use crate::store::jobs::{DatasetName, Job, Published};
use crate::store::sql::query;
use crate::store::{StoreError, Tx, now, rows};

/// Whose version it is that is entered.
pub(in crate::store) struct Owner<'a> {
    pub(in crate::store) model: &'a Name,
    /// The job that published it; none for one from elsewhere.
    pub(in crate::store) job: Option<Uuid>,
    pub(in crate::store) dataset: &'a DatasetName,
}

impl<'a> Owner<'a> {
    pub(in crate::store) fn job(job: &'a Job) -> Self {
        Self { model: &job.model, job: Some(job.id), dataset: &job.dataset }
    }
}

/// What giving versions of a model their numbers is called, for [`Tx::alone`].
pub(in crate::store) fn versions_of(model: &Name) -> String {
    format!("versions of {model}")
}

/// Enters a version whose artifact is in place, and its model if this is the first.
pub(in crate::store) async fn insert_version(tx: &mut Tx, owner: &Owner<'_>, published: &Published) -> Result<(), StoreError> {
    let now = now();
    query("insert into models (name, created_at) values ($1, $2) on conflict (name) do nothing")
        .bind(owner.model.as_str())
        .bind(now)
        .execute(&mut *tx)
        .await?;
    query(
        "insert into model_versions
         (model, version, job_id, dataset_id, dataset_name, accuracy, precision, classes, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(owner.model.as_str())
    .bind(published.version)
    .bind(owner.job.map(|job| job.to_string()))
    .bind(owner.dataset.id.to_string())
    .bind(owner.dataset.name.as_str())
    .bind(published.accuracy)
    .bind(rows::name(&published.precision)?)
    .bind(i64::from(published.classes))
    .bind(now)
    .execute(&mut *tx)
    .await?;
    Ok(())
}
