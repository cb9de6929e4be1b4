use super::*;
use crate::artifact::testing::{manifest as described, tensors as learnt};
use crate::artifact::{NamedTensor, publish};
use crate::report::{PhaseName, PhaseReport, SplitSummary};

/// The files of a small artifact in `dir`.
fn artifact(dir: &Path) -> Manifest {
    let mut manifest = described("flowers", 7);
    manifest.unfreeze_from = "none".parse().unwrap();
    manifest.preprocessing.input_size = 32;
    let tensors = learnt(&manifest, 4);
    write(dir, manifest, &tensors)
}

fn write(dir: &Path, manifest: Manifest, tensors: &[NamedTensor]) -> Manifest {
    let phases = vec![PhaseReport::new(PhaseName::WarmUp, 1, &manifest.classes, [(0, 0), (1, 1)])];
    let split = SplitSummary { train: 2, validation: 2, test: 0, seed: 42 };
    let report =
        Report { classes: manifest.classes.clone(), phases, test: None, split, calibration: None, predictions: Vec::new() };
    publish(dir, manifest, tensors, &report).unwrap()
}

/// The archive of `dir` as a file.
fn archived(dir: &Path, file: &Path) -> PathBuf {
    let mut out = File::create(file).unwrap();
    for piece in pieces(dir).unwrap() {
        match piece {
            Piece::Bytes(bytes) => out.write_all(&bytes).unwrap(),
            Piece::File(mut file, bytes) => assert_eq!(io::copy(&mut file, &mut out).unwrap(), bytes),
        }
    }
    file.to_owned()
}

/// A tar of these entries, with further changes to the last one's header.
fn tar_of(file: &Path, entries: &[(&str, &[u8])], change: impl Fn(&mut tar::Header)) -> PathBuf {
    let mut tar = tar::Builder::new(File::create(file).unwrap());
    for (place, (name, bytes)) in entries.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        // Set by hand: the library refuses paths that lead out.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        if place + 1 == entries.len() {
            change(&mut header);
        }
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap();
    file.to_owned()
}

#[test]
fn what_was_archived_is_published_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there/models"));
    let original = artifact(&here);
    let file = archived(&here, &dir.path().join("a.tar"));
    assert_eq!(fs::read(&file).unwrap(), fs::read(archived(&here, &dir.path().join("b.tar"))).unwrap(), "the same bytes");
    assert_eq!(fs::metadata(&file).unwrap().len() % BLOCK, 0);

    let unpacked = unpack(&file, &there).unwrap();
    assert_eq!((&unpacked.manifest, unpacked.report.accuracy()), (&original, Some(1.0)));
    let dest = there.join("trees/2");
    fs::create_dir_all(&dest).unwrap();
    fs::write(dest.join("abandoned"), "x").unwrap();
    unpacked.publish(&dest, "trees", 2).unwrap();
    let published = manifest(&dest).unwrap();
    assert_eq!((published.model.as_str(), published.version, &published.files), ("trees", 2, &original.files));
    assert_eq!(fs::read(dest.join(WEIGHTS)).unwrap(), fs::read(here.join(WEIGHTS)).unwrap());
    assert!(report(&dest, &published).is_ok() && !dest.join("abandoned").exists());
    assert_eq!(fs::read_dir(&there).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn other_archives_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (here, file, models) = (dir.path().join("here"), dir.path().join("x.tar"), dir.path().join("models"));
    artifact(&here);
    let [manifest, weights, report] = [MANIFEST, WEIGHTS, REPORT].map(|name| fs::read(here.join(name)).unwrap());
    let all: [(&str, &[u8]); 3] = [(MANIFEST, &manifest), (WEIGHTS, &weights), (REPORT, &report)];
    let refused = |file: &Path| {
        let error = unpack(file, &models).unwrap_err().to_string();
        assert_eq!(fs::read_dir(&models).unwrap().count(), 0, "{error}");
        error
    };
    let plain = |_: &mut tar::Header| ();
    assert!(unpack(&tar_of(&file, &all, plain), &models).is_ok());
    for (entries, part) in [
        (&all[..2], "it has no report.json"),
        (&[all[0], all[1], all[2], all[2]][..], "report.json twice"),
        (&[all[0], all[1], ("../report.json", &report)][..], r#"an entry "../report.json""#),
        (&[all[0], all[1], all[2], ("notes.txt", b"x")][..], r#"an entry "notes.txt""#),
        (&[all[0], all[1], (REPORT, b"{}")][..], "its checksum is not the manifest's"),
        (&[(MANIFEST, b"{\"format\": 2}" as &[u8]), all[1], all[2]][..], "is of format 2"),
    ] {
        let error = refused(&tar_of(&file, entries, plain));
        assert!(error.contains(part), "{error}");
    }
    let link = tar_of(&file, &all, |header| header.set_entry_type(tar::EntryType::Symlink));
    assert!(refused(&link).contains(r#"an entry "report.json""#));
    let huge = tar_of(&file, &all, |header| header.set_size(1 << 40));
    assert!(refused(&huge).contains("more than"));
    let whole = fs::read(archived(&here, &file)).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(&file).contains("isn't an artifact's tar"));
    fs::write(&file, "not a tar").unwrap();
    assert!(refused(&file).contains("isn't an artifact's tar"));
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("here");
    let mut manifest = described("flowers", 1);
    manifest.unfreeze_from = "none".parse().unwrap();
    let small = NamedTensor { name: "head.hidden.bias".to_owned(), shape: vec![1], data: vec![0.0] };
    write(&here, manifest, &[small]);
    let file = archived(&here, &dir.path().join("a.tar"));
    let error = unpack(&file, &dir.path().join("models")).unwrap_err();
    assert!(matches!(error, ArchiveError::Misfit(Misfit::Missing(_))), "{error}");
}
