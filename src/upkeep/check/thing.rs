//! What there is to check, and how each kind is.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Kind;
use crate::artifact::{self, fit};
use crate::config::Settings;
use crate::dataset::ImageRecord;
use crate::dataset::pack::Pack;
use crate::hex::hex;
use crate::names::Name;
use crate::storage::{Local, Storage, StorageError};
use crate::store::{DatasetState, Store, StoreError};
use crate::training::{CheckpointError, SegmentState, feature_segments, verify_checkpoint, verify_segment};
use crate::upkeep::{UpkeepError, entries, name_of};
use crate::vision::weights::BodyWeights;

/// A thing to check.
pub(super) struct Thing {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    what: What,
}

enum What {
    Database,
    Dataset(Uuid),
    /// Of this model and version, if it is published.
    Artifact(Option<(Name, i64)>),
    Backbone,
    Checkpoint,
    Segment,
}

impl Thing {
    /// Makes it local, if it is one that is kept for several machines.
    pub(super) async fn fetch(&self, storage: &Storage) -> Result<Option<Local>, StorageError> {
        let fetched = match &self.what {
            _ if !storage.is_remote() => return Ok(None),
            What::Dataset(_) => storage.fetch(&self.path).await,
            What::Artifact(_) => storage.fetch_folder(&self.path).await,
            What::Database | What::Backbone | What::Checkpoint | What::Segment => return Ok(None),
        };
        match fetched {
            // A look says so.
            Err(StorageError::NotFound { .. } | StorageError::Damaged { .. }) => Ok(None),
            fetched => fetched.map(Some),
        }
    }
}

/// What came of a look at a thing.
pub(super) enum State {
    Whole,
    /// It went since it was listed.
    Gone,
    Damaged(String),
}

/// All that there is to check.
pub(super) async fn things(settings: &Settings, store: &Store) -> Result<Vec<Thing>, UpkeepError> {
    let thing = |kind, name: String, path: PathBuf, what| Thing { kind, name, bytes: size(&path), path, what };
    // A server's database takes no room here.
    let database = settings.database();
    let mut things = vec![thing(Kind::Database, database.to_string(), settings.database_file(), What::Database)];
    for dataset in store.all_datasets().await? {
        if dataset.state == DatasetState::Ready {
            let name = format!("{} ({})", dataset.name, dataset.id);
            things.push(thing(Kind::Dataset, name, settings.pack(dataset.id), What::Dataset(dataset.id)));
        }
    }
    for (model, version) in store.all_versions().await? {
        let (name, dir) = (format!("{model} version {version}"), settings.model_dir(&model, version));
        things.push(thing(Kind::Version, name, dir, What::Artifact(Some((model, version)))));
    }
    for trial in store.succeeded_trials().await? {
        things.push(thing(Kind::Trial, trial.to_string(), settings.trial_dir(trial), What::Artifact(None)));
    }
    let backbone = settings.backbone();
    things.push(thing(Kind::Backbone, backbone.display().to_string(), backbone, What::Backbone));
    for job in entries(&settings.checkpoints_dir())? {
        for state in entries(&job.path())? {
            let name = name_of(&state);
            if name.ends_with(".safetensors") && !name.starts_with('.') {
                things.push(thing(Kind::Checkpoint, format!("{} {name}", name_of(&job)), state.path(), What::Checkpoint));
            }
        }
    }
    let features = settings.features_dir();
    let segments = feature_segments(&features)
        .map_err(|error| UpkeepError::Io { path: features.clone(), source: std::io::Error::other(error.to_string()) })?;
    things.extend(segments.into_iter().map(|path| {
        let name = path.strip_prefix(&features).unwrap_or(&path).display().to_string();
        thing(Kind::Features, name, path, What::Segment)
    }));
    Ok(things)
}

/// Looks at a thing.
pub(super) async fn look(thing: &Thing, store: &Store) -> Result<State, UpkeepError> {
    let state = match &thing.what {
        What::Database => of_faults(store.faults().await),
        What::Dataset(id) => match store.all_images(*id).await {
            Ok(images) => of(pictures(&thing.path, images)),
            Err(error) => return Err(error.into()),
        },
        What::Artifact(published) => of(artifact(&thing.path, published.as_ref())),
        What::Backbone => of(BodyWeights::load(&thing.path).map(drop).map_err(|error| error.to_string())),
        What::Checkpoint => match verify_checkpoint(&thing.path) {
            Err(CheckpointError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => State::Gone,
            checked => of(checked.map_err(|error| error.to_string())),
        },
        What::Segment => match verify_segment(&thing.path) {
            Ok(SegmentState::Whole) => State::Whole,
            Ok(SegmentState::Gone) => State::Gone,
            Ok(SegmentState::Damaged(reason)) => State::Damaged(reason.to_owned()),
            Err(error) => State::Damaged(error.to_string()),
        },
    };
    if !matches!(state, State::Damaged(_)) {
        return Ok(state);
    }
    // Whatever was deleted while it was read is no loss.
    let gone = match &thing.what {
        What::Dataset(id) => is_gone(store.dataset(&id.to_string()).await.map(drop))?,
        What::Artifact(Some((model, version))) => !store.knows_version(model, *version).await?,
        What::Artifact(None) => !store.succeeded_trials().await?.iter().any(|trial| trial.to_string() == thing.name),
        _ => false,
    };
    Ok(if gone { State::Gone } else { state })
}

fn of(checked: Result<(), String>) -> State {
    checked.map_or_else(State::Damaged, |()| State::Whole)
}

fn of_faults(faults: Result<Vec<String>, StoreError>) -> State {
    match faults {
        Ok(faults) if faults.is_empty() => State::Whole,
        Ok(faults) => State::Damaged(faults.join("; ")),
        Err(error) => State::Damaged(error.to_string()),
    }
}

fn is_gone(found: Result<(), StoreError>) -> Result<bool, StoreError> {
    match found {
        Ok(()) => Ok(false),
        Err(StoreError::NotFound(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether each picture in the pack is the one that was accepted.
fn pictures(pack: &Path, mut images: Vec<ImageRecord>) -> Result<(), String> {
    let pack = Pack::open(pack).map_err(|error| format!("its pack: {error}"))?;
    // In the pack's order, so that it is read from front to back.
    images.sort_unstable_by_key(|image| image.offset);
    let mut others = images.iter().filter(|image| {
        let read = pack.read(image.offset, image.bytes);
        read.map_or(true, |bytes| hex(&Sha256::digest(bytes)) != image.sha256)
    });
    let Some(first) = others.next() else { return Ok(()) };
    let (path, more) = (&first.path, others.count());
    Err(format!("{} of {} pictures aren't those that were accepted, the first {path}", more + 1, images.len()))
}

/// Whether an artifact is whole, fits together and is whose it should be.
fn artifact(dir: &Path, published: Option<&(Name, i64)>) -> Result<(), String> {
    let manifest = artifact::manifest(dir).map_err(|error| error.to_string())?;
    if let Some((model, version)) = published
        && (manifest.model != model.as_str() || i64::try_from(manifest.version) != Ok(*version))
    {
        return Err(format!("its manifest is of {} version {}", manifest.model, manifest.version));
    }
    let tensors = artifact::tensors(dir, &manifest).map_err(|error| error.to_string())?;
    fit::learnt(&manifest, &tensors).map_err(|error| error.to_string())?;
    artifact::report(dir, &manifest).map(drop).map_err(|error| error.to_string())
}

/// Bytes of a file, or of the files in a folder; none of what isn't there.
fn size(path: &Path) -> u64 {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    match fs::read_dir(path) {
        Ok(files) => files.flatten().map(|file| length(&file.path())).sum(),
        Err(_) => length(path),
    }
}
