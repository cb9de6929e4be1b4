//! An artifact under another name: how a sweep's trial becomes a version.

use std::fs::{self, File};
use std::path::Path;

use super::publish::{beside, finish, write};
use super::{ArtifactError, MANIFEST, Manifest, REPORT, WEIGHTS, at, checked, manifest};

/// Copies the artifact in `source` to `dest` as a version of `model`: checks its files, writes beside, syncs and renames. The
/// weights and the report are links to the same bytes where the file system can; either folder may go without the other.
///
/// Calls for one `source` come one after the other, in other processes too. What lies in `dest` and is this artifact stays;
/// anything else there is an abandoned attempt's and is replaced. Returns the manifest in `dest`.
///
/// # Errors
/// The file system's refusals; a missing or damaged file.
pub fn republish(source: &Path, dest: &Path, model: &str, version: u64) -> Result<Manifest, ArtifactError> {
    let path = source.join(MANIFEST);
    let lock = File::open(&path).map_err(at(&path))?;
    lock.lock().map_err(at(&path))?;
    let original = manifest(source)?;
    if dest.exists() {
        match manifest(dest) {
            Ok(there) if there.files == original.files && there.model == model && there.version == version => return Ok(there),
            _ => fs::remove_dir_all(dest).map_err(at(dest))?,
        }
    }
    let beside = beside(dest)?;
    for name in [WEIGHTS, REPORT] {
        let bytes = checked(source, name, &original)?;
        let copy = beside.path().join(name);
        // What is linked was synced when it was written.
        if fs::hard_link(source.join(name), &copy).is_err() {
            write(&copy, &bytes)?;
        }
    }
    let published = Manifest { model: model.to_owned(), version, created_at: chrono::Utc::now(), ..original };
    finish(beside, dest, &published)?;
    // The lock goes with the file that holds it.
    drop(lock);
    Ok(published)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{NamedTensor, publish, report, tensors};
    use crate::report::{PhaseName, PhaseReport, Report, SplitSummary};

    fn trial(dir: &Path, bias: f32) -> Manifest {
        let manifest = crate::artifact::testing::manifest("flowers", 0);
        let tensor = NamedTensor { name: "head.output.bias".to_owned(), shape: vec![1], data: vec![bias] };
        let phases = vec![PhaseReport::new(PhaseName::WarmUp, 1, &manifest.classes, [(0, 0), (1, 1)])];
        let split = SplitSummary { train: 2, validation: 2, test: 0, seed: 42 };
        let report =
            Report { classes: manifest.classes.clone(), phases, test: None, split, calibration: None, predictions: Vec::new() };
        publish(dir, manifest, &[tensor], &report).unwrap()
    }

    #[test]
    fn a_copy_has_its_own_name_and_outlives_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let (source, dest) = (dir.path().join("trial"), dir.path().join("models/flowers/3"));
        let original = trial(&source, 0.5);
        // An abandoned attempt of another job.
        trial(&dest, 0.25);
        let copy = republish(&source, &dest, "flowers", 3).unwrap();
        assert_eq!((copy.version, &copy.files), (3, &original.files));
        assert_eq!(republish(&source, &dest, "flowers", 3).unwrap(), copy, "what is there stays");
        fs::remove_dir_all(&source).unwrap();
        assert_eq!(manifest(&dest).unwrap(), copy);
        assert_eq!(tensors(&dest, &copy).unwrap()[0].data, [0.5]);
        assert_eq!(report(&dest, &copy).unwrap().accuracy(), Some(1.0));
        let left = fs::read_dir(dest.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_damaged_is_not_published() {
        let dir = tempfile::tempdir().unwrap();
        let (source, dest) = (dir.path().join("trial"), dir.path().join("models/flowers/1"));
        trial(&source, 0.5);
        fs::write(source.join(WEIGHTS), "x").unwrap();
        assert!(matches!(republish(&source, &dest, "flowers", 1), Err(ArtifactError::Damaged { .. })));
        assert!(!dest.exists());
        fs::remove_dir_all(&source).unwrap();
        assert!(matches!(republish(&source, &dest, "flowers", 1), Err(ArtifactError::Io { .. })));
    }
}
