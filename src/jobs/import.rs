//! An artifact from another machine becomes a version here.

use std::path::Path;

use uuid::Uuid;

use crate::artifact::archive::{ArchiveError, unpack};
use crate::artifact::fit::{Ground, Misfit};
use crate::artifact::{ArtifactError, DatasetRef, MANIFEST};
use crate::config::Settings;
use crate::names::{InvalidName, Name};
use crate::storage::{Storage, StorageError};
use crate::store::{DatasetName, ImportedVersion, Store, StoreError};
use crate::vision::weights::{BodyWeights, WeightsError};

/// Why an artifact can't be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive isn't right.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The backbone's weights can't be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It runs on another backbone.
    #[error("{0}; give the weights that it was trained on with --weights")]
    Misfit(#[from] Misfit),
    /// Its name can't be one here.
    #[error("its model's name, {name:?}, can't be used here: it {error}; give another with --name")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        error: InvalidName,
    },
    /// The artifact can't be put in its place.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The database refused.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// The storage didn't take it.
    #[error("the storage: {0}")]
    Storage(#[from] StorageError),
}

/// Takes the artifact in the tar `archive` as the next version of `name`, or of the model that it was elsewhere: 1. unpack it
/// beside the models and check it; 2. see that it runs on the backbone here; 3. give it its place and enter it, both or neither.
/// A server may be running on the same data folder.
///
/// # Errors
/// [`ImportError`]; then no version is entered.
pub async fn import(
    archive: &Path,
    name: Option<Name>,
    settings: &Settings,
    (store, storage): (&Store, &Storage),
) -> Result<(Name, i64), ImportError> {
    let unpacked = unpack(archive, &settings.models_dir())?;
    let manifest = &unpacked.manifest;
    Ground::of(&BodyWeights::load(&settings.backbone())?).carries(manifest)?;
    let own = || manifest.model.parse().map_err(|error| ImportError::Name { name: manifest.model.clone(), error });
    let model = name.map_or_else(own, Ok)?;
    let imported = ImportedVersion {
        model: model.clone(),
        dataset: dataset(&manifest.dataset),
        accuracy: unpacked.report.accuracy().unwrap_or_default(),
        precision: manifest.precision,
        // Class names take megabytes before they are that many.
        classes: u32::try_from(manifest.classes.len()).unwrap_or(u32::MAX),
    };
    let place = async |version: i64| {
        let dest = settings.model_dir(&imported.model, version);
        unpacked.publish(&dest, imported.model.as_str(), version.unsigned_abs())?;
        Ok::<_, ImportError>(storage.keep_folder(&dest, MANIFEST).await?)
    };
    let version = store.import_version(&imported, place).await?;
    Ok((model, version))
}

/// The data set as the database names one. Trained without a server, it has no id, which is then all zeros, and any name, whose
/// characters that can't be in a name here become `-`; the manifest keeps what it was called.
fn dataset(elsewhere: &DatasetRef) -> DatasetName {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = elsewhere.name.chars().map(allowed).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = name.chars().take(Name::MAX_LEN).collect::<String>();
    // What is left of a name may be nothing.
    let name = name.parse().or_else(|_| "unnamed".parse());
    DatasetName { id: elsewhere.id.parse().unwrap_or(Uuid::nil()), name: name.expect("`unnamed` is a name") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_data_set_has_a_name_here() {
        let named = |id: &str, name: &str| {
            dataset(&DatasetRef { id: id.to_owned(), name: name.to_owned(), content_sha256: String::new() })
        };
        let id = "019ab0c4-0000-7000-8000-000000000001";
        assert_eq!(named(id, "flowers"), DatasetName { id: id.parse().unwrap(), name: "flowers".parse().unwrap() });
        assert_eq!(named("", ".my photos/é").name.as_str(), "my-photos--");
        assert_eq!(named("", "日本").name.as_str(), "unnamed");
        assert_eq!(named("x", &"a".repeat(99)), DatasetName { id: Uuid::nil(), name: "a".repeat(64).parse().unwrap() });
    }
}
