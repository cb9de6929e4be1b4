//! Disks that are full for a while: a clear answer, nothing half written, and everything goes on when there is room. Each folder
//! that fills up is a file system of its own, in memory; that takes the right to mount.

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::jobs::quick;
use crate::pictures::{entries, written, zip};
use crate::server::{Server, wait_for};

const MIB: u64 = 1 << 20;

/// A folder with a limit.
struct Disk(PathBuf);

impl Disk {
    /// None where nothing may be mounted.
    fn mount(dir: PathBuf, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(&dir).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(&dir).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                eprintln!("skipped: nothing can be mounted here: {other:?}");
                None
            }
        }
    }

    fn resize(&self, bytes: u64) {
        let option = format!("remount,size={bytes}");
        let output = Command::new("mount").args(["-o", &option]).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Leaves so many bytes free.
    fn leave(&self, bytes: u64) {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        self.resize((disk.f_blocks - disk.f_bfree) * disk.f_frsize + bytes);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server may have files open still. A folder that stays mounted goes with the machine.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// An archive of about 3 MB: noise doesn't compress.
fn noise() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut picture = || written(&RgbImage::from_fn(96, 80, |_, _| Rgb([next(), next(), next()])), ImageFormat::Png);
    let name = |n: usize| format!("noise/{}/{n:03}.png", if n.is_multiple_of(2) { "even" } else { "odd" });
    let entries: Vec<_> = (0..120).map(|n| (name(n), picture())).collect();
    zip(&entries)
}

/// Names of files and folders in a folder, those in its folders included.
fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            names.extend(self::names(&entry.path()));
        }
        names.push(entry.file_name().into_string().unwrap());
    }
    names
}

#[test]
fn an_upload_that_does_not_fit_leaves_nothing_and_is_taken_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(dir.path().join("uploads"), MIB) else { return };
    let server = Server::start_in(dir.path(), &["--workers", "0"]);
    let archive = noise();
    assert!(archive.len() as u64 > 2 * MIB);
    for path in ["/v1/datasets?name=noise", "/v1/datasets?name=again"] {
        let detail = server.post(path, "application/zip", &archive).problem(507, "storage_full");
        assert!(detail.contains("delete datasets"), "{detail}");
        assert!(names(&disk.0).is_empty());
    }
    assert!(server.get("/v1/datasets").expect(200)["items"].as_array().unwrap().is_empty());
    disk.resize(64 * MIB);
    let dataset = server.dataset("noise", &archive);
    assert_eq!((&dataset["state"], &dataset["images"]), (&"ready".into(), &120.into()), "{dataset}");
}

#[test]
fn an_archive_whose_pictures_do_not_fit_is_kept_and_read_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(dir.path().join("datasets"), MIB) else { return };
    let server = Server::start_in(dir.path(), &["--workers", "0"]);
    server.post("/v1/datasets?name=noise", "application/zip", &noise()).expect(202);
    let waits = wait_for("the data set to wait", || {
        let dataset = server.get("/v1/datasets/noise").expect(200);
        assert_eq!(dataset["state"], "ingesting", "{dataset}");
        dataset["waiting"].as_str().map(str::to_owned)
    });
    assert!(waits.contains("disk is full"), "{waits}");
    // Between two readings, nothing half written lies there.
    wait_for("the pack to go", || names(&disk.0).iter().all(|name| !name.contains("pack")).then_some(()));
    disk.resize(64 * MIB);
    let dataset = server.settled_dataset("noise");
    assert_eq!((&dataset["state"], &dataset["images"]), (&"ready".into(), &120.into()), "{dataset}");
}

/// Waits until the job waits for room; the job.
fn waiting(server: &Server, id: &str) -> Value {
    let job = wait_for("the job to wait", || {
        let job = server.job(id);
        assert_ne!(job["state"], "failed", "{job}\n{}", server.log());
        job.get("waiting").is_some().then_some(job)
    });
    assert!(job["waiting"]["reason"].as_str().unwrap().contains("disk is full"), "{job}");
    assert_eq!((&job["state"], &job["attempts"]), (&"queued".into(), &0.into()), "{job}");
    job
}

/// Waits until the job is taken up again.
fn taken_up(server: &Server, id: &str) {
    wait_for("the job to be taken up", || server.job(id).get("waiting").is_none().then_some(()));
}

#[test]
fn a_job_waits_for_room_wherever_it_runs_out_and_then_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let disk = |folder: &str, bytes| Disk::mount(dir.path().join(folder), bytes);
    // Features are kept only where a gigabyte stays free beside them; nothing of it is used.
    let Some(features) = disk("cache/features", 3 << 30) else { return };
    let Some(checkpoints) = disk("checkpoints", MIB) else { return };
    let Some(models) = disk("models", 64 << 10) else { return };
    let server = Server::start_in(dir.path(), &[]);
    server.dataset("toys", &zip(&entries(3, 8)));
    let mut recipe = quick();
    recipe["augmentation"] = json!({"views": 12});
    let id = server.submit("toys", "toys", &recipe);

    server.events(&id, 0, |kind, _| kind == "features");
    features.leave(MIB);
    waiting(&server, &id);
    assert!(names(&features.0).iter().all(|name| !name.starts_with(".writing-")), "{:?}", names(&features.0));
    features.resize(3 << 30);
    taken_up(&server, &id);

    waiting(&server, &id);
    assert!(names(&checkpoints.0).iter().all(|name| !name.starts_with('.')), "{:?}", names(&checkpoints.0));
    checkpoints.resize(512 * MIB);
    taken_up(&server, &id);

    waiting(&server, &id);
    let told = server.get(&format!("/v1/jobs/{id}/epochs")).expect(200);
    assert_eq!(told.as_array().or_else(|| told["items"].as_array()).unwrap().len(), 5, "only the artifact has no room");
    assert!(names(&models.0).iter().all(|name| name == "toys"), "{:?}", names(&models.0));
    models.resize(512 * MIB);

    let job = server.finished(&id);
    assert_eq!((&job["state"], &job["attempts"]), (&"succeeded".into(), &1.into()), "{job}\n{}", server.log());
    let events = server.events(&id, 0, |_, _| false);
    let epochs: Vec<_> = events.iter().filter(|(_, kind, _)| kind == "epoch").map(|(_, _, data)| &data["epoch"]).collect();
    assert_eq!(epochs, [1, 2, 3, 1, 2], "each epoch was told once");
    let reasons = events.iter().filter(|(_, kind, data)| kind == "state" && data["state"] == "queued");
    assert_eq!(reasons.filter(|(_, _, data)| data.get("reason").is_some()).count(), 3);
    assert_eq!(events.iter().filter(|(_, kind, _)| kind == "restarted").count(), 0);
}
