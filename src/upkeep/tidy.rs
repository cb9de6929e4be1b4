//! What a start finds: leavings of an interrupted run go, folders that nobody knows are put aside, and what is missing is told.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::{DELETED, UpkeepError, entries, name_of, put_aside};
use crate::artifact::MANIFEST;
use crate::config::Settings;
use crate::names::Name;
use crate::storage::{self, Storage};
use crate::store::{DatasetState, Store, StoreError};

/// Workers that are run elsewhere, and imports, may be writing just now: what changed within this time is left alone.
const GRACE: Duration = Duration::from_secs(3600);

/// Unfinished folders and files, by what their names begin with.
const UNFINISHED: [&str; 4] = [".publishing-", ".importing-", ".tmp", storage::UNFINISHED];

/// Removes what interrupted runs left, and puts aside what the database doesn't know of.
///
/// - Data sets: folders of deleted ones go, unknown ones are put aside.
/// - Trials: those of deleted sweeps go, unknown ones are put aside.
/// - Models: folders of versions that are neither entered nor reserved are put aside.
/// - Everywhere: files and folders that were being written, once they are an hour old, go.
///
/// Where files are kept elsewhere, the data folder has copies, and none of the first three is done: copies make room for others.
///
/// # Errors
/// The database's own; a folder that can't be read.
pub async fn tidy(settings: &Settings, store: &Store, storage: &Storage) -> Result<(), UpkeepError> {
    if storage.is_remote() {
        fetched(settings)?;
    } else {
        datasets(settings, store).await?;
        trials(settings, store).await?;
        models(settings, store).await?;
    }
    clear_unfinished(&settings.data_dir)
}

/// Ready data sets and published versions whose files aren't there, in words for people.
///
/// # Errors
/// The database's own; the storage's.
pub async fn missing(settings: &Settings, store: &Store, storage: &Storage) -> Result<Vec<String>, UpkeepError> {
    let mut missing = Vec::new();
    let mut kept = HashSet::new();
    if storage.is_remote() {
        for folder in [settings.datasets_dir(), settings.models_dir()] {
            kept.extend(storage.list(&folder).await?.into_iter().map(|file| folder.join(file.name)));
        }
    }
    let is_there = |path: PathBuf| if storage.is_remote() { kept.contains(&path) } else { path.is_file() };
    for dataset in store.all_datasets().await? {
        if dataset.state == DatasetState::Ready && !is_there(settings.pack(dataset.id)) {
            missing.push(format!("the pictures of dataset {}", dataset.name));
        }
    }
    for (model, version) in store.all_versions().await? {
        if !is_there(settings.model_dir(&model, version).join(MANIFEST)) {
            missing.push(format!("the artifact of {model} version {version}"));
        }
    }
    missing.iter().for_each(|what| tracing::error!(what, "missing: restore it from a backup"));
    Ok(missing)
}

/// Removes what was being fetched.
fn fetched(settings: &Settings) -> Result<(), UpkeepError> {
    let mut folders = vec![settings.uploads_dir()];
    for parent in [settings.datasets_dir(), settings.trials_dir(), settings.checkpoints_dir(), settings.features_dir()] {
        folders.extend(entries(&parent)?.iter().map(fs::DirEntry::path));
    }
    for model in entries(&settings.models_dir())? {
        folders.extend(entries(&model.path())?.iter().map(fs::DirEntry::path));
    }
    folders.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| clear_unfinished(folder))
}

async fn datasets(settings: &Settings, store: &Store) -> Result<(), UpkeepError> {
    for entry in entries(&settings.datasets_dir())? {
        let name = name_of(&entry);
        if name.starts_with(DELETED) {
            remove(&entry.path());
        } else if Uuid::parse_str(&name).is_ok() && is_unknown(store.dataset(&name).await.map(drop))? {
            put_aside(settings, &entry.path(), "dataset");
        }
    }
    Ok(())
}

async fn trials(settings: &Settings, store: &Store) -> Result<(), UpkeepError> {
    for entry in entries(&settings.trials_dir())? {
        let Ok(id) = Uuid::parse_str(&name_of(&entry)) else { continue };
        match store.job(id).await {
            // Its sweep was deleted.
            Ok(job) if job.sweep.is_none() => remove(&entry.path()),
            other => {
                if is_unknown(other.map(drop))? {
                    put_aside(settings, &entry.path(), "trial");
                }
            }
        }
    }
    clear_unfinished(&settings.trials_dir())
}

async fn models(settings: &Settings, store: &Store) -> Result<(), UpkeepError> {
    for model in entries(&settings.models_dir())? {
        let Ok(name) = name_of(&model).parse::<Name>() else { continue };
        for version in entries(&model.path())? {
            let Ok(number) = name_of(&version).parse::<i64>() else { continue };
            if is_old(&version) && !store.knows_version(&name, number).await? {
                put_aside(settings, &version.path(), &format!("model-{name}"));
            }
        }
        clear_unfinished(&model.path())?;
    }
    clear_unfinished(&settings.models_dir())
}

/// Whether a look came to nothing.
fn is_unknown(found: Result<(), StoreError>) -> Result<bool, StoreError> {
    match found {
        Ok(()) => Ok(false),
        Err(StoreError::NotFound(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Removes what was being written in a folder, long ago.
fn clear_unfinished(dir: &Path) -> Result<(), UpkeepError> {
    for entry in entries(dir)? {
        let name = name_of(&entry);
        if !UNFINISHED.iter().any(|begin| name.starts_with(begin)) || !is_old(&entry) {
            continue;
        }
        remove(&entry.path());
    }
    Ok(())
}

/// Removes what nobody will use again. What can't be removed is in nobody's way, and is tried again at the next start.
fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => tracing::info!(path = %path.display(), "what an interrupted run left is removed"),
        Err(error) => tracing::warn!(path = %path.display(), %error, "what an interrupted run left can't be removed"),
    }
}

/// Whether it last changed before the grace; what can't be told is taken for new.
fn is_old(entry: &fs::DirEntry) -> bool {
    let changed = entry.metadata().and_then(|metadata| metadata.modified());
    changed.ok().and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > GRACE)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::store::testing::{Temp, claimed, queued_job, ready_dataset, temp};

    fn settings(t: &Temp) -> Settings {
        Settings { data_dir: t.dir.path().to_owned(), ..Settings::default() }
    }

    fn here(settings: &Settings) -> Storage {
        Storage::open(None, &settings.data_dir, 0).unwrap()
    }

    fn folder(path: &Path) -> PathBuf {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("a"), "x").unwrap();
        path.to_owned()
    }

    fn old(path: &Path) {
        fs::File::open(path).unwrap().set_modified(SystemTime::now() - 2 * GRACE).unwrap();
    }

    fn aside(settings: &Settings) -> Vec<String> {
        let mut names: Vec<_> = entries(&settings.quarantine_dir()).unwrap().iter().map(name_of).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn the_known_stays_the_deleted_goes_and_the_unknown_is_put_aside() {
        let t = temp().await;
        let settings = settings(&t);
        let known = ready_dataset(&t.store, "d").await;
        let (stranger, gone) = (Uuid::now_v7(), Uuid::now_v7());
        let stays = [folder(&settings.dataset_dir(known)), folder(&settings.datasets_dir().join("notes"))];
        let deleted = folder(&super::super::deleted(&settings.datasets_dir(), gone));
        let unknown = folder(&settings.dataset_dir(stranger));
        // A job that was no trial when it ended, and one that never was.
        let job = queued_job(&t.store, known).await;
        let of_no_sweep = folder(&settings.trial_dir(job));
        let of_no_job = folder(&settings.trial_dir(stranger));

        tidy(&settings, &t.store, &here(&settings)).await.unwrap();
        assert!(stays.iter().all(|path| path.exists()));
        assert!([deleted, unknown, of_no_sweep, of_no_job].iter().all(|path| !path.exists()));
        let [dataset, trial] = &aside(&settings)[..] else { panic!("{:?}", aside(&settings)) };
        assert!(dataset.starts_with(&format!("dataset-{stranger}-")) && trial.starts_with(&format!("trial-{stranger}-")));
        assert!(settings.quarantine_dir().join(dataset).join("a").exists(), "with all that was in it");
        tidy(&settings, &t.store, &here(&settings)).await.unwrap();
        assert_eq!(aside(&settings).len(), 2);
    }

    #[tokio::test]
    async fn versions_that_somebody_may_be_writing_are_left_alone() {
        let t = temp().await;
        let settings = settings(&t);
        let dataset = ready_dataset(&t.store, "d").await;
        queued_job(&t.store, dataset).await;
        let (job, lease) = claimed(&t.store, "w", 0).await.unwrap();
        assert_eq!(t.store.reserve_version(job.id, lease).await.unwrap(), 1);
        let version = |number| settings.model_dir(&job.model, number);
        let (reserved, unknown, new) = (folder(&version(1)), folder(&version(2)), folder(&version(3)));
        let writing = folder(&settings.models_dir().join("flowers/.publishing-x"));
        let abandoned = folder(&settings.models_dir().join(".importing-x"));
        let left = settings.data_dir.join(".tmpAbCdEf");
        fs::write(&left, "x").unwrap();
        [&reserved, &unknown, &abandoned, &left].into_iter().for_each(|path| old(path));

        tidy(&settings, &t.store, &here(&settings)).await.unwrap();
        assert!([reserved, new, writing].iter().all(|path| path.exists()));
        assert!([unknown, abandoned, left].iter().all(|path| !path.exists()));
        assert!(matches!(&aside(&settings)[..], [one] if one.starts_with("model-flowers-2-")));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let t = temp().await;
        let settings = settings(&t);
        let dataset = ready_dataset(&t.store, "d").await;
        queued_job(&t.store, dataset).await;
        let (job, lease) = claimed(&t.store, "w", 0).await.unwrap();
        let version = t.store.reserve_version(job.id, lease).await.unwrap();
        let precision = crate::vision::precision::Precision::F32;
        let published = crate::store::Published { version, accuracy: 0.5, precision, classes: 2 };
        t.store.succeed(job.id, lease, &published).await.unwrap();
        let expected = ["the pictures of dataset d", "the artifact of flowers version 1"];
        assert_eq!(missing(&settings, &t.store, &here(&settings)).await.unwrap(), expected);
        folder(&settings.dataset_dir(dataset));
        fs::write(settings.pack(dataset), "x").unwrap();
        fs::write(folder(&settings.model_dir(&job.model, 1)).join(MANIFEST), "{}").unwrap();
        assert!(missing(&settings, &t.store, &here(&settings)).await.unwrap().is_empty());
    }
}
