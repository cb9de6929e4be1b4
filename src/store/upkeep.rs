//! What looking after the data folder asks of the database: all that it knows of, whether it is whole, a copy of it.

use std::path::Path;

use uuid::Uuid;

use super::rows::Cells;
use super::sql::{Pool, query};
use super::{Dataset, Store, StoreError};
use crate::names::Name;

/// Data sets asked for at once.
const PAGE: u32 = 500;

impl Store {
    /// Every data set, newest first.
    ///
    /// # Errors
    /// The database's own.
    pub async fn all_datasets(&self) -> Result<Vec<Dataset>, StoreError> {
        let mut all: Vec<Dataset> = Vec::new();
        loop {
            let page = self.datasets(all.last().map(|dataset| dataset.id), PAGE).await?;
            all.extend(page.items);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// Every published version, by its model's name and its number.
    ///
    /// # Errors
    /// The database's own.
    pub async fn all_versions(&self) -> Result<Vec<(Name, i64)>, StoreError> {
        let rows = query("select model, version from model_versions order by model, version").fetch_all(&self.read).await?;
        rows.iter().map(Cells).map(|row| Ok((row.parsed("model")?, row.get("version")?))).collect()
    }

    /// The jobs whose artifacts are in the folder of trials.
    ///
    /// # Errors
    /// The database's own.
    pub async fn succeeded_trials(&self) -> Result<Vec<Uuid>, StoreError> {
        let rows = query("select id from jobs where state = 'succeeded' and sweep_id is not null order by id")
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(|row| Cells(row).id("id")).collect()
    }

    /// Whether a version is published, or reserved by somebody who may be writing its folder.
    ///
    /// # Errors
    /// The database's own.
    pub async fn knows_version(&self, model: &Name, version: i64) -> Result<bool, StoreError> {
        let known = query(
            "select 1 from model_versions where model = $1 and version = $2
             union all select 1 from jobs where model = $1 and version = $2 limit 1",
        )
        .bind(model.as_str())
        .bind(version)
        .fetch_optional(&self.read)
        .await?;
        Ok(known.is_some())
    }

    /// What is wrong with the database's file and with what its rows say of each other; nothing if it is whole.
    ///
    /// # Errors
    /// The database's own: then it is damaged beyond telling.
    pub async fn faults(&self) -> Result<Vec<String>, StoreError> {
        if let Pool::Postgres(_) = &self.read {
            // Its server keeps checksums, and lets no row lose its parent.
            return Ok(Vec::new());
        }
        // Both are SQLite's own.
        let rows = query("pragma integrity_check").fetch_all(&self.read).await?;
        let told = |row| Cells(row).get::<String>("integrity_check");
        let mut faults = rows.iter().map(told).collect::<Result<Vec<_>, _>>()?;
        faults.retain(|fault| fault != "ok");
        for row in &query("pragma foreign_key_check").fetch_all(&self.read).await? {
            let row = Cells(row);
            let (table, parent): (String, String) = (row.get("table")?, row.get("parent")?);
            faults.push(format!("a row of {table} refers to one of {parent} that isn't there"));
        }
        Ok(faults)
    }

    /// Writes the database as it is at this moment to a file that isn't there yet. Others go on reading and writing meanwhile. SQLite
    /// only: PostgreSQL has `pg_dump`.
    ///
    /// # Errors
    /// The database's own; a disk that is full.
    pub async fn snapshot(&self, to: &Path) -> Result<(), StoreError> {
        let Some(to) = to.to_str() else { return Err(StoreError::database(format!("{} isn't UTF-8", to.display()))) };
        // SQLite's own. Through the connection that writes: those that read may write nothing, not even elsewhere.
        query("vacuum into $1").bind(to).execute(&self.write).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::store::sql::query;
    use crate::store::testing::{queued_job, ready_dataset, temp};
    use crate::store::{JobFilter, Store};

    #[tokio::test]
    async fn a_snapshot_is_the_database_as_it_was() {
        let t = temp().await;
        let dataset = ready_dataset(&t.store, "d").await;
        let path = t.dir.path().join("copy.db");
        t.store.snapshot(&path).await.unwrap();
        queued_job(&t.store, dataset).await;
        let copy = Store::open(&path.as_path().into()).await.unwrap();
        assert_eq!(copy.all_datasets().await.unwrap(), t.store.all_datasets().await.unwrap());
        assert!(copy.jobs(&JobFilter::default(), None, 1).await.unwrap().items.is_empty());
        assert!(copy.faults().await.unwrap().is_empty());
        assert!(t.store.snapshot(&path).await.is_err(), "nothing is written over");
    }

    #[tokio::test]
    async fn rows_that_lost_their_parent_are_faults() {
        let t = temp().await;
        let dataset = ready_dataset(&t.store, "d").await;
        assert!(t.store.faults().await.unwrap().is_empty());
        query("pragma foreign_keys = off").execute(&t.store.write).await.unwrap();
        query("delete from datasets where id = $1").bind(dataset.to_string()).execute(&t.store.write).await.unwrap();
        let faults = t.store.faults().await.unwrap();
        assert!(faults.iter().any(|fault| fault.contains("dataset_images")), "{faults:?}");
    }
}
