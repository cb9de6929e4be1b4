//! Versions that no job of this database published.

use super::{Owner, insert_version, versions_of};
use crate::names::Name;
use crate::store::jobs::{DatasetName, Published};
use crate::store::rows::Cells;
use crate::store::sql::query;
use crate::store::{Store, StoreError};
use crate::vision::precision::Precision;

/// A version from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedVersion {
    /// The model that it becomes a version of.
    pub model: Name,
    /// What it was trained on, elsewhere.
    pub dataset: DatasetName,
    /// Accuracy on the validation pictures.
    pub accuracy: f64,
    /// Arithmetic of its backbone.
    pub precision: Precision,
    /// How many classes it tells apart.
    pub classes: u32,
}

impl Store {
    /// Enters a version from elsewhere as its model's next; answers which.
    ///
    /// `place` puts its artifact into the folder of that version. It is called while no other process can write, so keep it
    /// short: the number is nobody else's, and nobody sees the version before its artifact. If it fails, nothing is entered.
    /// Whatever lies in the folder already is an abandoned attempt's.
    ///
    /// # Errors
    /// The database's own; `place`'s.
    pub async fn import_version<E: From<StoreError>>(
        &self,
        imported: &ImportedVersion,
        place: impl AsyncFnOnce(i64) -> Result<(), E>,
    ) -> Result<i64, E> {
        let mut tx = self.begin().await?;
        tx.alone(&versions_of(&imported.model)).await?;
        // A number may be reserved for a job that hasn't published yet.
        let row = query(
            "select 1 + max(version) as next from (
                 select coalesce(max(version), 0) as version from model_versions where model = $1
                 union all
                 select coalesce(max(version), 0) as version from jobs where model = $1
             ) taken",
        )
        .bind(imported.model.as_str())
        .fetch_one(&mut tx)
        .await?;
        let version: i64 = Cells(&row).get("next")?;
        let ImportedVersion { model, dataset, accuracy, precision, classes } = imported;
        let owner = Owner { model, job: None, dataset };
        let published = Published { version, accuracy: *accuracy, precision: *precision, classes: *classes };
        insert_version(&mut tx, &owner, &published).await?;
        place(version).await?;
        tx.commit().await?;
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::testing::{Temp, both, claimed, queued_job, ready_dataset};
    use crate::store::{Missing, Want};

    fn imported() -> ImportedVersion {
        ImportedVersion {
            model: "flowers".parse().unwrap(),
            dataset: DatasetName { id: Uuid::nil(), name: "elsewhere".parse().unwrap() },
            accuracy: 0.75,
            precision: Precision::Int8,
            classes: 3,
        }
    }

    both!(a_version_appears_after_its_artifact_and_under_nobody_elses_number);

    async fn a_version_appears_after_its_artifact_and_under_nobody_elses_number(t: Temp) {
        let failed = t.store.import_version(&imported(), async |_| Err(StoreError::LostLease)).await;
        assert!(matches!(failed, Err(StoreError::LostLease)));
        let flowers = imported().model;
        let missing = t.store.resolve(&flowers, &Want::Default).await;
        assert!(matches!(missing, Err(StoreError::NotFound(Missing::Model))), "nothing is left of it");

        let dataset = ready_dataset(&t.store, "d").await;
        let job = queued_job(&t.store, dataset).await;
        let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
        assert_eq!(t.store.reserve_version(job, lease).await.unwrap(), 1);
        let mut placed = None;
        let place = async |version| {
            placed = Some(version);
            Ok::<_, StoreError>(())
        };
        assert_eq!(t.store.import_version(&imported(), place).await.unwrap(), 2, "1 is reserved");
        assert_eq!(placed, Some(2));
        let version = t.store.resolve(&flowers, &Want::Version(2)).await.unwrap();
        assert_eq!((version.job, version.dataset, version.classes), (None, imported().dataset, 3));
        let published = Published { version: 1, accuracy: 0.9, precision: Precision::F32, classes: 2 };
        t.store.succeed(job, lease, &published).await.unwrap();
        assert_eq!(t.store.import_version(&imported(), async |_| Ok::<_, StoreError>(())).await.unwrap(), 3);
    }
}
