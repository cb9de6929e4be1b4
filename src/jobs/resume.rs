//! Going on where an earlier attempt was, and clearing away what nobody will go on from.

use std::io::ErrorKind;
use std::path::Path;

use uuid::Uuid;

use super::context::Context;
use super::execute::{ExecuteError, Input};
use crate::config::Settings;
use crate::report::Epoch;
use crate::storage::StorageError;
use crate::store::{Missing, Store, StoreError};
use crate::training::{Checkpoint, Checkpoints, Place, Plan, TrainingData};

/// The state after the last epoch that was recorded. If that isn't to be had, what was recorded is forgotten and the job begins
/// anew.
pub fn checkpoints(input: &Input, plan: &Plan<'_>, data: &TrainingData) -> Result<Checkpoints, ExecuteError> {
    let Input { context: Context { settings, store, storage, runtime, .. }, job, lease, .. } = input;
    let dir = settings.checkpoint_dir(job.id);
    let Some(&Epoch { phase, epoch, .. }) = runtime.block_on(store.epochs(job.id))?.last() else {
        return Ok(Checkpoints { dir, resume: None });
    };
    let place = Place { phase, epoch };
    // Another machine may have been at the job: what is here is of an attempt before that. What isn't there begins anew.
    let fetched = match storage.is_remote() {
        true => {
            remove(&dir);
            match runtime.block_on(storage.fetch(&dir.join(place.file()))) {
                Err(StorageError::NotFound { .. } | StorageError::Damaged { .. }) => None,
                fetched => Some(fetched?),
            }
        }
        false => None,
    };
    let opened = Checkpoint::open(&dir, place, plan, data);
    drop(fetched);
    let resume = match opened {
        Ok(checkpoint) => {
            tracing::info!(job = %job.id, %phase, epoch, "going on after the last epoch");
            Some(checkpoint)
        }
        Err(error) => {
            tracing::warn!(job = %job.id, %error, "the job begins anew");
            runtime.block_on(store.restart(job.id, *lease))?;
            None
        }
    };
    Ok(Checkpoints { dir, resume })
}

/// Removes the states of jobs that are over or gone.
///
/// # Errors
/// The database's own; a folder that can't be removed is told to the log and tried again the next time.
pub async fn clear(settings: &Settings, store: &Store) -> Result<(), StoreError> {
    let Ok(entries) = std::fs::read_dir(settings.checkpoints_dir()) else { return Ok(()) };
    for entry in entries.flatten() {
        let Some(job) = entry.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok()) else { continue };
        match store.job(job).await {
            Ok(job) if !job.state.is_terminal() => {}
            Ok(_) | Err(StoreError::NotFound(Missing::Job)) => remove(&entry.path()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn remove(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(dir = %dir.display(), %error, "checkpoints that nobody needs couldn't be removed");
    }
}
