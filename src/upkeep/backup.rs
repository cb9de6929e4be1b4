//! A copy of all that can't be computed again, taken beside a running server: the database as it is at a moment, and the files
//! that it knows of. Those never change once they are written, so they may be linked instead of copied.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{UpkeepError, at, entries};
use crate::config::Settings;
use crate::store::{DatasetState, Store};

/// How often a backup begins anew because something was deleted while it was taken.
const ATTEMPTS: usize = 5;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something already.
    #[error("{0} isn't empty: name a new folder")]
    NotEmpty(PathBuf),
    /// Again and again, a file that the database knows of wasn't there.
    #[error("{0} is missing: `topgraft check` says what else is")]
    Missing(PathBuf),
    /// The file system or the database refused.
    #[error(transparent)]
    Upkeep(#[from] UpkeepError),
}

impl From<crate::store::StoreError> for BackupError {
    fn from(error: crate::store::StoreError) -> Self {
        UpkeepError::from(error).into()
    }
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupSummary {
    /// Files beside the database.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are links to the same bytes.
    pub linked: u64,
}

/// Backs everything up to the folder `to`, which becomes a data folder of its own, whole or not at all: 1. the database; 2. of
/// what it knows, the data sets' pictures, archives that wait to be read, the versions' and trials' artifacts; 3. the backbone's
/// weights, if they are in the data folder. Caches and the states of jobs under way are left out.
///
/// With `link`, files are linked where both folders are on one file system: that takes no time and no room, and guards against
/// deletion, but not against a broken disk.
///
/// # Errors
/// [`BackupError`]; then nothing is left at `to`.
pub async fn backup(settings: &Settings, store: &Store, to: &Path, link: bool) -> Result<BackupSummary, BackupError> {
    if to.exists() && fs::read_dir(to).map_err(at(to))?.next().is_some() {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(at(parent))?;
    for _ in 1..ATTEMPTS {
        match attempt(settings, store, to, parent, link).await {
            // Most likely deleted since the snapshot; the next one doesn't know it any more.
            Err(BackupError::Missing(path)) => tracing::info!(path = %path.display(), "gone meanwhile: the backup begins anew"),
            outcome => return outcome,
        }
    }
    attempt(settings, store, to, parent, link).await
}

async fn attempt(
    settings: &Settings,
    store: &Store,
    to: &Path,
    parent: &Path,
    link: bool,
) -> Result<BackupSummary, BackupError> {
    let beside = tempfile::Builder::new().prefix(".backup-").tempdir_in(parent).map_err(at(parent))?;
    let copy = Settings { data_dir: beside.path().to_owned(), weights: None, ..settings.clone() };
    let database = copy.database_file();
    store.snapshot(&database).await?;
    let mut summary = BackupSummary::default();
    for path in files(settings, &database).await? {
        // All of them are in the data folder.
        let Ok(place) = path.strip_prefix(&settings.data_dir) else { continue };
        carry(&path, &beside.path().join(place), link, &mut summary)?;
    }
    sync(&database)?;
    sync_folders(beside.path())?;
    fs::rename(beside.path(), to).map_err(at(to))?;
    // Renamed away: the guard has nothing left to remove.
    let _ = beside.keep();
    sync(parent)?;
    Ok(summary)
}

/// The files that a snapshot of the database knows of.
async fn files(settings: &Settings, snapshot: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let store = Store::open(&snapshot.into()).await?;
    let mut files = Vec::new();
    for dataset in store.all_datasets().await? {
        match dataset.state {
            DatasetState::Ready => files.push(settings.pack(dataset.id)),
            DatasetState::Ingesting => files.push(settings.archive(dataset.id)),
            DatasetState::Failed => {}
        }
    }
    let versions = store.all_versions().await?;
    let mut folders: Vec<_> = versions.iter().map(|(model, version)| settings.model_dir(model, *version)).collect();
    folders.extend(store.succeeded_trials().await?.into_iter().map(|trial| settings.trial_dir(trial)));
    store.close().await;
    let lock = snapshot.with_extension("lock");
    fs::remove_file(&lock).map_err(at(&lock))?;
    for folder in folders {
        let artifact = entries(&folder)?;
        if artifact.is_empty() {
            return Err(BackupError::Missing(folder));
        }
        files.extend(artifact.iter().map(fs::DirEntry::path));
    }
    let backbone = settings.backbone();
    if backbone.starts_with(&settings.data_dir) && backbone.exists() {
        files.push(backbone);
    }
    Ok(files)
}

/// Links or copies a file, durably.
fn carry(from: &Path, to: &Path, link: bool, summary: &mut BackupSummary) -> Result<(), BackupError> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => BackupError::Missing(from.to_owned()),
        _ => at(to)(error).into(),
    };
    summary.files += 1;
    // A file that is linked was synced when it was written.
    if link && fs::hard_link(from, to).is_ok() {
        summary.linked += 1;
        summary.bytes += fs::metadata(to).map_err(at(to))?.len();
        return Ok(());
    }
    summary.bytes += fs::copy(from, to).map_err(refused)?;
    sync(to)?;
    Ok(())
}

fn sync(path: &Path) -> Result<(), UpkeepError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

/// Makes the names in a folder and in those below durable.
fn sync_folders(dir: &Path) -> Result<(), UpkeepError> {
    for entry in entries(dir)? {
        if entry.path().is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Temp, new_dataset, ready_dataset, temp};

    /// A ready data set with its pack, and one whose archive waits.
    async fn filled(t: &Temp) -> Settings {
        let settings = Settings { data_dir: t.dir.path().join("run"), ..Settings::default() };
        let ready = ready_dataset(&t.store, "d").await;
        fs::create_dir_all(settings.dataset_dir(ready)).unwrap();
        fs::write(settings.pack(ready), "pictures").unwrap();
        let waits = t.store.insert_dataset(&new_dataset("w"), None).await.unwrap().id;
        fs::create_dir_all(settings.uploads_dir()).unwrap();
        fs::write(settings.archive(waits), "archive").unwrap();
        fs::create_dir_all(settings.cache_dir()).unwrap();
        fs::write(settings.cache_dir().join("x"), "can be computed again").unwrap();
        settings
    }

    #[tokio::test]
    async fn a_backup_is_a_data_folder() {
        let t = temp().await;
        let settings = filled(&t).await;
        for (name, link) in [("copied", false), ("linked", true)] {
            let to = t.dir.path().join(name);
            fs::create_dir(&to).unwrap();
            let summary = backup(&settings, &t.store, &to, link).await.unwrap();
            assert_eq!(summary, BackupSummary { files: 2, bytes: 15, linked: if link { 2 } else { 0 } });
            let copy = Settings { data_dir: to.clone(), ..Settings::default() };
            let store = Store::open(&copy.database()).await.unwrap();
            let datasets = store.all_datasets().await.unwrap();
            assert_eq!(datasets, t.store.all_datasets().await.unwrap());
            assert_eq!(fs::read(copy.archive(datasets[0].id)).unwrap(), b"archive");
            assert_eq!(fs::read(copy.pack(datasets[1].id)).unwrap(), b"pictures");
            assert!(!copy.cache_dir().exists());
            let again = backup(&settings, &t.store, &to, link).await;
            assert!(matches!(again, Err(BackupError::NotEmpty(_))));
        }
    }

    #[tokio::test]
    async fn one_that_fails_leaves_nothing() {
        let t = temp().await;
        let settings = filled(&t).await;
        let pack = settings.pack(t.store.all_datasets().await.unwrap()[1].id);
        fs::remove_file(&pack).unwrap();
        let parent = t.dir.path().join("backups");
        let failed = backup(&settings, &t.store, &parent.join("one"), false).await;
        assert!(matches!(failed, Err(BackupError::Missing(path)) if path == pack));
        assert!(entries(&parent).unwrap().is_empty());
    }
}
