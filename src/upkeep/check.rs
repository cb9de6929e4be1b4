//! Every byte that is kept, checked against what was written down of it.

mod thing;

use std::path::PathBuf;

use serde::Serialize;

use super::{UpkeepError, quarantine};
use crate::config::Settings;
use crate::storage::Storage;
use crate::store::Store;
use thing::{State, look, things};

/// A kind of thing that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The database's file, and that its rows agree.
    Database,
    /// A data set's pictures: each one's length and SHA-256.
    Dataset,
    /// A published version's artifact: checksums, tensors, manifest, report.
    Version,
    /// A trial's artifact.
    Trial,
    /// The backbone's weights.
    Backbone,
    /// The state of a job after an epoch.
    Checkpoint,
    /// A segment of bottleneck features: each row's checksum.
    Features,
}

impl Kind {
    /// Every kind, in the order of checking.
    pub const ALL: [Self; 7] =
        [Self::Database, Self::Dataset, Self::Version, Self::Trial, Self::Backbone, Self::Checkpoint, Self::Features];

    /// Whether it is computed again when it is gone.
    #[must_use]
    pub const fn is_recomputable(self) -> bool {
        matches!(self, Self::Checkpoint | Self::Features)
    }

    /// Its name in the summary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Dataset => "datasets",
            Self::Version => "versions",
            Self::Trial => "trials",
            Self::Backbone => "backbone",
            Self::Checkpoint => "checkpoints",
            Self::Features => "features",
        }
    }
}

/// Something that isn't what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Which one.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
    /// Where it was put, if it was put aside to be computed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<PathBuf>,
}

/// How much was checked of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The kind.
    pub kind: Kind,
    /// Things.
    pub things: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are damaged.
    pub damaged: u64,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// By kind.
    pub checked: Vec<Checked>,
    /// What is damaged.
    pub damaged: Vec<Finding>,
}

impl CheckReport {
    /// Whether anything is damaged that wasn't put aside.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.damaged.iter().any(|finding| finding.quarantined.is_none())
    }
}

/// Checks all that is kept, beside a running server or without one. `progress` is told the bytes done and the bytes there are.
/// With `repair`, what is damaged and can be computed again is put aside, so that it is.
///
/// What is kept elsewhere is fetched for it. Reads on the calling thread: not for a server.
///
/// # Errors
/// The database's own; the storage's; a folder that can't be read.
pub async fn check(
    settings: &Settings,
    (store, storage): (&Store, &Storage),
    repair: bool,
    progress: &mut dyn FnMut(Kind, u64, u64),
) -> Result<CheckReport, UpkeepError> {
    let things = things(settings, store).await?;
    let total = things.iter().map(|thing| thing.bytes).sum();
    let mut checked = Kind::ALL.map(|kind| Checked { kind, things: 0, bytes: 0, damaged: 0 });
    let (mut damaged, mut done) = (Vec::new(), 0);
    for thing in things {
        progress(thing.kind, done, total);
        let fetched = thing.fetch(storage).await?;
        let state = look(&thing, store).await?;
        drop(fetched);
        done += thing.bytes;
        let Some(tally) = checked.iter_mut().find(|tally| tally.kind == thing.kind) else { continue };
        let reason = match state {
            State::Gone => continue,
            State::Whole => None,
            State::Damaged(reason) => Some(reason),
        };
        tally.things += 1;
        tally.bytes += thing.bytes;
        if let Some(reason) = reason {
            tally.damaged += 1;
            let put_aside = repair && thing.kind.is_recomputable();
            let quarantined = if put_aside { Some(quarantine(settings, &thing.path, thing.kind.as_str())?) } else { None };
            damaged.push(Finding { kind: thing.kind, name: thing.name, reason, quarantined });
        }
    }
    Ok(CheckReport { checked: checked.to_vec(), damaged })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use uuid::Uuid;

    use super::*;
    use crate::store::testing::{ready_dataset, temp};

    fn settings(dir: &Path) -> Settings {
        Settings { data_dir: dir.to_owned(), ..Settings::default() }
    }

    fn found(report: &CheckReport, kind: Kind) -> Vec<&Finding> {
        report.damaged.iter().filter(|finding| finding.kind == kind).collect()
    }

    #[tokio::test]
    async fn what_is_damaged_is_named_and_only_what_can_be_computed_again_is_put_aside() {
        let t = temp().await;
        let settings = settings(t.dir.path());
        let dataset = ready_dataset(&t.store, "d").await;
        let checkpoint = settings.checkpoint_dir(Uuid::now_v7()).join("warm_up-1.safetensors");
        fs::create_dir_all(checkpoint.parent().unwrap()).unwrap();
        fs::write(&checkpoint, "half").unwrap();
        fs::create_dir_all(settings.dataset_dir(dataset)).unwrap();
        // As long as the rows say, and nothing of what they say.
        fs::write(settings.pack(dataset), [0; 40]).unwrap();

        let here = Storage::open(None, &settings.data_dir, 0).unwrap();
        let mut told = Vec::new();
        let report =
            check(&settings, (&t.store, &here), false, &mut |kind, done, total| told.push((kind, done, total))).await.unwrap();
        assert!(report.is_bad() && told.iter().all(|(_, done, total)| done <= total));
        let [pictures] = &found(&report, Kind::Dataset)[..] else { panic!("{report:?}") };
        assert!(pictures.reason.starts_with("4 of 4 pictures"), "{}", pictures.reason);
        let database = report.checked.iter().find(|checked| checked.kind == Kind::Database).unwrap();
        assert_eq!((database.things, database.damaged), (1, 0));
        assert!(checkpoint.exists());

        let repaired = check(&settings, (&t.store, &here), true, &mut |_, _, _| {}).await.unwrap();
        let [state] = &found(&repaired, Kind::Checkpoint)[..] else { panic!("{repaired:?}") };
        assert!(state.quarantined.as_ref().unwrap().exists() && !checkpoint.exists());
        assert!(settings.pack(dataset).exists() && repaired.is_bad(), "nobody can make pictures again");
        assert!(
            found(&check(&settings, (&t.store, &here), false, &mut |_, _, _| {}).await.unwrap(), Kind::Checkpoint).is_empty()
        );
    }
}
