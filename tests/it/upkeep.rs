//! `topgraft check` and `topgraft backup`, beside a running server.

use std::path::{Path, PathBuf};
use std::process::Output;

use image::ImageFormat;
use serde_json::Value;

use crate::jobs::quick;
use crate::pictures::encoded;
use crate::server::{Server, topgraft, weights};

fn run(data: &Path, args: &[&str]) -> Output {
    topgraft().args(args).arg("--data-dir").arg(data).env("TOPGRAFT_WEIGHTS", weights()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The JSON that a check says, and whether it found everything in order.
fn check(data: &Path, args: &[&str]) -> (Value, bool) {
    let output = run(data, &[&["check", "--json"], args].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (report, output.status.success())
}

fn damaged(report: &Value) -> Vec<&str> {
    report["damaged"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

/// Changes a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Some segment of bottleneck features.
fn segment(data: &Path) -> PathBuf {
    let shelves = std::fs::read_dir(data.join("cache/features")).unwrap().map(|shelf| shelf.unwrap().path());
    let mut files = shelves.flat_map(|shelf| std::fs::read_dir(shelf).unwrap().map(|file| file.unwrap().path()));
    files.find(|path| path.extension().is_some_and(|extension| extension == "segment")).unwrap()
}

fn predictions(server: &Server) -> Vec<Value> {
    let pictures = (0..3).map(|class| encoded(class, 40 + class, ImageFormat::Png));
    pictures.map(|picture| server.post("/predict", "image/png", &picture).expect(200)).collect()
}

#[test]
fn a_backup_of_a_running_server_is_a_data_folder_that_answers_the_same() {
    let server = Server::start();
    server.trained("toys", &quick());
    let parent = tempfile::tempdir().unwrap();
    for (name, flags) in [("copied", &[][..]), ("linked", &["--link"][..])] {
        let to = parent.path().join(name);
        let args = [&["backup", "--to", to.to_str().unwrap()], flags].concat();
        let backed_up = run(server.data_dir(), &args);
        assert!(backed_up.status.success(), "{}", text(&backed_up.stderr));
        let again = run(server.data_dir(), &args);
        assert!(!again.status.success() && text(&again.stderr).contains("isn't empty"), "{}", text(&again.stderr));
        let (report, good) = check(&to, &[]);
        assert!(good, "{report}");
        assert!(!to.join("cache").exists() && !to.join("checkpoints").exists());
    }
    let restored = Server::start_in(&parent.path().join("copied"), &[]);
    assert_eq!(predictions(&restored), predictions(&server));
    for path in
        ["/v1/datasets/toys", "/v1/datasets/toys/images?limit=500", "/v1/models/toys", "/v1/models/toys/report", "/v1/jobs"]
    {
        assert_eq!(restored.get(path).expect(200), server.get(path).expect(200), "{path}");
    }
    // And it goes on from there.
    let id = restored.submit("toys", "toys", &quick());
    assert_eq!(restored.finished(&id)["model"]["version"], 2, "{}", restored.log());
}

#[test]
fn a_check_names_what_is_damaged_and_repairs_what_can_be_computed_again() {
    let server = Server::start();
    let job = server.trained("toys", &quick());
    let data = server.data_dir();
    let (report, good) = check(data, &[]);
    assert!(good && damaged(&report).is_empty(), "{report}");
    let checked = |kind: &str| {
        let kinds = report["checked"].as_array().unwrap();
        kinds.iter().find(|checked| checked["kind"] == kind).unwrap()["things"].as_u64().unwrap()
    };
    assert_eq!(["database", "dataset", "version", "backbone"].map(checked), [1; 4]);
    assert!(checked("features") >= 1);

    flip(&segment(data));
    let (report, good) = check(data, &[]);
    assert_eq!((damaged(&report), good), (vec!["features"], false));
    let (report, good) = check(data, &["--repair"]);
    assert_eq!((damaged(&report), good), (vec!["features"], true));
    let aside = report["damaged"][0]["quarantined"].as_str().unwrap();
    assert!(Path::new(aside).exists() && aside.contains("quarantine"), "{aside}");
    assert!(check(data, &[]).1);

    let id = job["dataset"]["id"].as_str().unwrap();
    flip(&data.join("datasets").join(id).join("pictures.pack"));
    flip(&data.join("models/toys/1/weights.safetensors"));
    let (report, good) = check(data, &["--repair"]);
    assert_eq!((damaged(&report), good), (vec!["dataset", "version"], false), "{report}");
    assert!(report["damaged"][0]["reason"].as_str().unwrap().starts_with("1 of 24 pictures"), "{report}");
    let table = run(data, &["check"]);
    assert_eq!(table.status.code(), Some(1));
    assert!(text(&table.stdout).contains("toys version 1: "), "{}", text(&table.stdout));

    let nowhere = run(&data.join("nowhere"), &["check"]);
    assert!(!nowhere.status.success() && text(&nowhere.stderr).contains("--data-dir"), "{}", text(&nowhere.stderr));
}
