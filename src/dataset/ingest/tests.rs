//! Whole ingestions.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use sha2::Digest;
use tempfile::TempDir;

use super::*;
use crate::dataset::Rejected;
use crate::dataset::pack::Pack;
use crate::dataset::testing::{Files, gzip, laid_out, picture, saved, tar, zip};
use crate::vision::picture::PictureFormat;

struct Trial {
    folder: TempDir,
}

impl Trial {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn pack(&self) -> PathBuf {
        self.folder.path().join("pack")
    }

    fn run(&self, bytes: &[u8]) -> Result<Ingested, IngestFailure> {
        self.run_on(&saved(self.folder.path(), bytes))
    }

    fn run_on(&self, source: &Path) -> Result<Ingested, IngestFailure> {
        ingest(source, &self.pack(), &DatasetLimits::default(), &|_| {}, &AtomicBool::new(false))
    }

    /// The failure of ingesting `bytes`, which must leave nothing behind.
    #[track_caller]
    fn failure(&self, bytes: &[u8]) -> IngestFailure {
        let failure = self.run(bytes).unwrap_err();
        self.assert_clean();
        failure
    }

    #[track_caller]
    fn assert_clean(&self) {
        let mut names = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.all(|name| name == "upload"));
    }
}

fn two_classes() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("flowers/tulip/b.png", picture(4)),
        ("flowers/daisy/2.png", picture(2)),
        ("flowers/tulip/a.png", picture(3)),
        ("flowers/daisy/notes.jpg", b"this is text".to_vec()),
        ("flowers/daisy/1.png", picture(1)),
    ]
}

fn paths(ingested: &Ingested) -> Vec<&str> {
    ingested.images.iter().map(|image| image.path.as_str()).collect()
}

fn reasons(rejected: &[Rejected]) -> Vec<(&str, &str)> {
    rejected.iter().map(|r| (r.path.as_str(), r.reason.as_str())).collect()
}

#[test]
fn pictures_are_packed_in_order_and_the_rest_is_rejected_with_reasons() {
    let trial = Trial::new();
    let ingested = trial.run(&zip(&two_classes())).unwrap();
    assert_eq!(ingested.classes, ["daisy", "tulip"]);
    assert_eq!(
        paths(&ingested),
        ["flowers/daisy/1.png", "flowers/daisy/2.png", "flowers/tulip/a.png", "flowers/tulip/b.png"]
    );
    let [rejected] = ingested.rejected.as_slice() else { panic!("{:?}", ingested.rejected) };
    assert_eq!(rejected.path, "flowers/daisy/notes.jpg");
    assert!(rejected.reason.starts_with("not a picture") && rejected.reason.ends_with("looks like text"));

    let pack = Pack::open(&trial.pack()).unwrap();
    for (image, number) in ingested.images.iter().zip(1..) {
        let bytes = pack.read(image.offset, image.bytes).unwrap();
        assert_eq!(bytes, picture(number));
        let sha: [u8; 32] = sha2::Sha256::digest(&bytes).into();
        assert_eq!(image.sha256, sha.map(|byte| format!("{byte:02x}")).concat());
        assert_eq!((image.format, image.width, image.height), (PictureFormat::Png, 9, 7));
        assert_eq!(image.class, u32::from(number > 2));
    }
    assert_eq!(ingested.images.iter().map(|image| image.bytes).sum::<u64>(), pack.length());
}

#[test]
fn the_result_is_the_same_every_time() {
    let names: Vec<String> = (0..60).map(|i| format!("{}/{i}.png", ["daisy", "rose", "tulip"][i % 3])).collect();
    let files: Vec<_> = names.iter().zip(0u8..).map(|(name, i)| (name.as_str(), picture(i / 2))).collect();
    let trial = Trial::new();
    let bytes = tar(&files);
    let first = trial.run(&bytes).unwrap();
    for _ in 0..10 {
        assert_eq!(trial.run(&bytes).unwrap(), first);
    }
}

#[test]
fn equal_content_has_an_equal_hash_whatever_holds_it() {
    let mut files = two_classes();
    let expected = Trial::new().run(&zip(&files)).unwrap().content_sha256;
    files.reverse();
    assert_eq!(Trial::new().run(&gzip(&tar(&files))).unwrap().content_sha256, expected);
    let renamed = vec![
        ("x/daisy/9.png", picture(1)),
        ("y/daisy/0.png", picture(2)),
        ("tulip/0.png", picture(4)),
        ("tulip/1.png", picture(3)),
    ];
    let trial = Trial::new();
    assert_eq!(trial.run_on(&laid_out(trial.folder.path(), &renamed)).unwrap().content_sha256, expected);
    let mut moved = renamed;
    moved[0].0 = "x/tulip/9.png";
    moved.push(("daisy/8.png", picture(8)));
    assert_ne!(Trial::new().run(&zip(&moved)).unwrap().content_sha256, expected);
}

#[test]
fn a_class_of_two_parents_is_one_class() {
    let files: &Files<'_> = &[
        ("train/daisy/1.png", picture(1)),
        ("val/daisy/1.png", picture(2)),
        ("train/tulip/1.png", picture(3)),
        ("val/tulip/1.png", picture(4)),
    ];
    let ingested = Trial::new().run(&zip(files)).unwrap();
    assert_eq!(ingested.classes, ["daisy", "tulip"]);
    assert_eq!(ingested.images.iter().map(|image| image.class).collect::<Vec<_>>(), [0, 0, 1, 1]);
}

#[test]
fn what_comes_twice_is_taken_once() {
    let mut files = two_classes();
    files.remove(3);
    files.push(("daisy/again.png", picture(1)));
    files.push(("tulip/1 too.png", picture(1)));
    let ingested = Trial::new().run(&zip(&files)).unwrap();
    assert_eq!(reasons(&ingested.rejected), [("daisy/again.png", "same picture as flowers/daisy/1.png")]);
    assert_eq!(ingested.images.len(), 5, "the same bytes in two classes are both kept");

    // The library that writes zips refuses a second entry of a name, so it gets it afterwards.
    let mut bytes = zip(&[("a/1.png", picture(1)), ("a/2.png", picture(2)), ("a/3.png", picture(3)), ("b/1.png", picture(4)), ("b/2.png", picture(5))]);
    for at in 0..bytes.len() - 7 {
        if &bytes[at..at + 7] == b"a/3.png" {
            bytes[at + 2] = b'1';
        }
    }
    for bytes in [bytes, tar(&[("a/1.png", picture(1)), ("a/2.png", picture(2)), ("a/1.png", picture(3)), ("b/1.png", picture(4)), ("b/2.png", picture(5))])] {
        let ingested = Trial::new().run(&bytes).unwrap();
        assert_eq!(ingested.images[0].sha256, Trial::new().run(&bytes).unwrap().images[0].sha256);
        let [rejected] = ingested.rejected.as_slice() else { panic!("{:?}", ingested.rejected) };
        assert!(rejected.path == "a/1.png" && rejected.reason.contains("earlier entry of the same path"));
    }
}

#[test]
fn too_little_to_learn_from_is_refused_with_what_was_found() {
    let failure = Trial::new().failure(&zip(&[("daisy/1.jpg", b"text".to_vec()), ("2.png", picture(2))]));
    assert_eq!((failure.error.code(), failure.rejected.len()), ("no_pictures", 2));
    let message = failure.to_string();
    assert!(message.contains("daisy/1.jpg: not a picture") && message.contains("2.png: it is in no folder"), "{message}");

    let failure = Trial::new().failure(&zip(&[("daisy/1.png", picture(1)), ("daisy/2.png", picture(2)), ("x/y", vec![])]));
    assert_eq!((failure.error.code(), failure.rejected.len()), ("too_few_classes", 1));
    assert!(failure.to_string().contains("all 2 pictures are in one folder, \"daisy\""), "{failure}");

    let mut files = two_classes();
    files.push(("rose/1.png", picture(9)));
    files.push(("rose/2.png", picture(9)));
    let failure = Trial::new().failure(&zip(&files));
    assert_eq!((failure.error.code(), failure.rejected.len()), ("class_too_small", 2));
    assert!(failure.to_string().ends_with("too small: \"rose\" has 1"), "{failure}");
}

#[test]
fn a_failure_half_way_leaves_nothing_behind_and_keeps_the_rejections() {
    let bytes = tar(&two_classes());
    let failure = Trial::new().failure(&bytes[..bytes.len() - 1024 - 512]);
    assert_eq!((failure.error.code(), failure.rejected.len()), ("broken_archive", 1));

    let trial = Trial::new();
    let source = saved(trial.folder.path(), &bytes);
    let nowhere = trial.folder.path().join("no such folder/pack");
    let failure =
        ingest(&source, &nowhere, &DatasetLimits::default(), &|_| {}, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(failure.error.code(), "dataset_io");
    assert!(!failure.error.is_senders());
    let failure = trial.run_on(&trial.folder.path().join("no such file")).unwrap_err();
    assert_eq!(failure.error.code(), "dataset_io");
    trial.assert_clean();
}

#[test]
fn it_stops_when_asked_and_leaves_nothing_behind() {
    let names: Vec<String> = (0..2000).map(|i| format!("daisy/{i}.png")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), picture(1))).collect();
    let trial = Trial::new();
    let source = saved(trial.folder.path(), &zip(&files));
    let (stop, calls) = (AtomicBool::new(false), Mutex::new(0));
    let progress = |_| {
        *calls.lock().unwrap() += 1;
        stop.store(true, Ordering::Relaxed);
    };
    let failure = ingest(&source, &trial.pack(), &DatasetLimits::default(), &progress, &stop).unwrap_err();
    assert_eq!(failure.error.code(), "stopped");
    assert!(*calls.lock().unwrap() < 2000);
    trial.assert_clean();
}

#[test]
fn progress_goes_forward_to_the_end() {
    let trial = Trial::new();
    let source = saved(trial.folder.path(), &zip(&two_classes()));
    let seen = Mutex::new(Vec::new());
    let progress = |p: IngestProgress| seen.lock().unwrap().push(p);
    ingest(&source, &trial.pack(), &DatasetLimits::default(), &progress, &AtomicBool::new(false)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by(|a, b| a.fraction <= b.fraction && a.accepted <= b.accepted && a.bytes <= b.bytes));
    let last = seen.last().unwrap();
    assert_eq!((last.accepted, last.rejected, last.fraction), (4, 1, 1.0));
}

#[test]
fn the_flowers_are_taken_whole_where_they_are_at_hand() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/flowers17.zip");
    if !source.exists() {
        return;
    }
    let ingested = Trial::new().run_on(&source).unwrap();
    assert_eq!((ingested.classes.len(), ingested.images.len()), (17, 1360));
    assert_eq!(ingested.rejected, []);
}
