//! Models: their versions, published by jobs or brought from elsewhere, and the aliases that point at them.

mod enter;
mod import;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::jobs::DatasetName;
use super::rows::Cells;
use super::sql::{Row, query};
use super::{Missing, Page, Store, StoreError, Tx};
use crate::names::Name;
use crate::vision::precision::Precision;
pub(super) use enter::{Owner, insert_version, versions_of};
pub use import::ImportedVersion;

/// The alias that names a model's default version; without it, the newest is.
pub const PRODUCTION: &str = "production";

/// A published version.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// The model.
    pub model: Name,
    /// The version, 1 and up.
    pub version: i64,
    /// The job that published it; none for one from elsewhere.
    pub job: Option<Uuid>,
    /// What it was trained on.
    pub dataset: DatasetName,
    /// Accuracy on the validation pictures.
    pub accuracy: f64,
    /// Arithmetic of its backbone.
    pub precision: Precision,
    /// How many classes it tells apart.
    pub classes: u32,
    /// When it was published.
    pub created_at: DateTime<Utc>,
}

/// A model with all that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: Name,
    /// When its first version was published.
    pub created_at: DateTime<Utc>,
    /// Its versions, newest first.
    pub versions: Vec<ModelVersion>,
    /// Aliases and the versions that they point at.
    pub aliases: BTreeMap<String, i64>,
}

/// A model in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSummary {
    /// Its name.
    pub name: Name,
    /// When its first version was published.
    pub created_at: DateTime<Utc>,
    /// Its newest version.
    pub newest: i64,
    /// How many versions there are.
    pub versions: u64,
    /// Aliases and the versions that they point at.
    pub aliases: BTreeMap<String, i64>,
}

/// Which version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The one that the alias [`PRODUCTION`] points at, else the newest.
    Default,
    /// This one.
    Version(i64),
    /// The one that this alias points at.
    Alias(Name),
}

fn version(row: &Row) -> Result<ModelVersion, StoreError> {
    let row = Cells(row);
    Ok(ModelVersion {
        model: row.parsed("model")?,
        version: row.get("version")?,
        job: row.id_or_none("job_id")?,
        dataset: DatasetName { id: row.id("dataset_id")?, name: row.parsed("dataset_name")? },
        accuracy: row.get("accuracy")?,
        precision: row.named("precision")?,
        classes: row.unsigned("classes")?,
        created_at: row.time("created_at")?,
    })
}

/// A version, as it is in this transaction.
pub(super) async fn version_in(tx: &mut Tx, name: &Name, number: i64) -> Result<ModelVersion, StoreError> {
    let row = query("select * from model_versions where model = $1 and version = $2")
        .bind(name.as_str())
        .bind(number)
        .fetch_optional(&mut *tx)
        .await?;
    version(&row.ok_or(Missing::Version)?)
}

impl Store {
    /// Models by name, from after `after`.
    ///
    /// # Errors
    /// The database's own.
    pub async fn models(&self, after: Option<&Name>, limit: u32) -> Result<Page<ModelSummary>, StoreError> {
        let rows = query(
            "select m.name, m.created_at, max(v.version) as newest, count(*) as versions
             from models m join model_versions v on v.model = m.name
             where m.name > $1 group by m.name, m.created_at order by m.name limit $2",
        )
        .bind(after.map_or("", Name::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.read)
        .await?;
        let mut summaries = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Cells(row);
            let name: Name = row.parsed("name")?;
            summaries.push(ModelSummary {
                aliases: self.aliases(&name).await?,
                created_at: row.time("created_at")?,
                newest: row.get("newest")?,
                versions: row.unsigned("versions")?,
                name,
            });
        }
        Ok(Page::of(summaries, limit))
    }

    /// A model with its versions and aliases.
    ///
    /// # Errors
    /// [`Missing::Model`].
    pub async fn model(&self, name: &Name) -> Result<Model, StoreError> {
        let row = query("select created_at from models where name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.read)
            .await?
            .ok_or(Missing::Model)?;
        let versions = query("select * from model_versions where model = $1 order by version desc")
            .bind(name.as_str())
            .fetch_all(&self.read)
            .await?;
        Ok(Model {
            name: name.clone(),
            created_at: Cells(&row).time("created_at")?,
            versions: versions.iter().map(version).collect::<Result<_, _>>()?,
            aliases: self.aliases(name).await?,
        })
    }

    async fn aliases(&self, name: &Name) -> Result<BTreeMap<String, i64>, StoreError> {
        let rows = query("select alias, version from model_aliases where model = $1")
            .bind(name.as_str())
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(Cells).map(|row| Ok((row.get("alias")?, row.get("version")?))).collect()
    }

    /// The version that is meant.
    ///
    /// # Errors
    /// [`Missing::Model`], [`Missing::Version`], [`Missing::Alias`].
    pub async fn resolve(&self, name: &Name, want: &Want) -> Result<ModelVersion, StoreError> {
        let wanted = match want {
            Want::Default => query(
                "select v.* from model_versions v
                 left join model_aliases a on a.model = v.model and a.version = v.version and a.alias = $2
                 where v.model = $1 order by case when a.alias is null then 1 else 0 end, v.version desc limit 1",
            )
            .bind(name.as_str())
            .bind(PRODUCTION),
            Want::Version(version) => {
                query("select * from model_versions where model = $1 and version = $2").bind(name.as_str()).bind(*version)
            }
            Want::Alias(alias) => query(
                "select v.* from model_versions v join model_aliases a on a.model = v.model and a.version = v.version
                 where v.model = $1 and a.alias = $2",
            )
            .bind(name.as_str())
            .bind(alias.as_str()),
        };
        if let Some(row) = wanted.fetch_optional(&self.read).await? {
            return version(&row);
        }
        let model = query("select 1 from models where name = $1").bind(name.as_str()).fetch_optional(&self.read).await?;
        Err(match (model, want) {
            (None, _) | (_, Want::Default) => Missing::Model,
            (_, Want::Version(_)) => Missing::Version,
            (_, Want::Alias(_)) => Missing::Alias,
        }
        .into())
    }

    /// Points an alias at a version; where it pointed before, if anywhere, it no longer does.
    ///
    /// # Errors
    /// [`Missing::Model`], [`Missing::Version`].
    pub async fn put_alias(&self, name: &Name, alias: &Name, version: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let put = query(
            "insert into model_aliases (model, alias, version)
             select model, $2, version from model_versions where model = $1 and version = $3
             on conflict (model, alias) do update set version = excluded.version",
        )
        .bind(name.as_str())
        .bind(alias.as_str())
        .bind(version)
        .execute(&mut tx)
        .await?;
        if put == 0 {
            let model = query("select 1 from models where name = $1").bind(name.as_str()).fetch_optional(&mut tx).await?;
            return Err(if model.is_some() { Missing::Version } else { Missing::Model }.into());
        }
        tx.commit().await
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// [`Missing::Alias`].
    pub async fn delete_alias(&self, name: &Name, alias: &Name) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let deleted = query("delete from model_aliases where model = $1 and alias = $2")
            .bind(name.as_str())
            .bind(alias.as_str())
            .execute(&mut tx)
            .await?;
        if deleted == 0 {
            return Err(Missing::Alias.into());
        }
        tx.commit().await
    }
}

#[cfg(test)]
mod tests;
