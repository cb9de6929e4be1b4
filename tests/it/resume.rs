//! A job goes on where it was, whatever became of its worker.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use topgraft::training::{self, Checkpoints, Event, Observer, ObserverError, Place, TrainingError, verify_checkpoint};

use crate::jobs::SIDE;
use crate::pictures::{entries, zip};
use crate::server::{Server, signal, wait_for};
use crate::training::{Bench, recipe};

/// Optimisers, schedules and judges that remember: a moment and a mean square, a plateau, an average, the best epoch.
fn remembering() -> Value {
    json!({
        "preset": "classic",
        "batch_size": 8,
        "input_size": SIDE,
        "head": {"units": 32},
        "augmentation": {"views": 2},
        "mixup": 0.2,
        "shift": 0.2,
        "warm_up": {
            "epochs": 30,
            "optimizer": {"kind": "adamw", "learning_rate": 1e-4},
            "schedule": {"kind": "plateau", "patience": 2, "factor": 0.7},
            "ema_decay": 0.9,
            "patience": 1000
        },
        "fine_tune": {"epochs": 6, "optimizer": {"kind": "sgd", "learning_rate": 1e-4, "momentum": 0.9}, "ema_decay": 0.8}
    })
}

/// SHA-256 of the weights of a model's first version.
fn weights(server: &Server, model: &str) -> String {
    let manifest = std::fs::read(server.data_dir().join(format!("models/{model}/1/manifest.json"))).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    manifest["files"]["weights.safetensors"].as_str().unwrap().to_owned()
}

/// Each epoch's phase and number, in order, and all that it came to but how long it took.
pub fn epochs(server: &Server, id: &str) -> Vec<Value> {
    let epochs = server.get(&format!("/v1/jobs/{id}/epochs")).expect(200);
    let mut epochs = epochs.as_array().or_else(|| epochs["items"].as_array()).unwrap().clone();
    epochs.iter_mut().for_each(|epoch| drop(epoch.as_object_mut().unwrap().remove("seconds")));
    epochs
}

fn kinds(server: &Server, id: &str, wanted: &str) -> usize {
    server.events(id, 0, |_, _| false).iter().filter(|(_, kind, _)| kind == wanted).count()
}

/// Whom a kill strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Worker,
    /// The worker sees that it is alone, gives its job back and ends.
    Server,
    /// Nobody gives the job back: its lease runs out.
    Both,
}

/// Kills at once when the job is at an epoch; the server that goes on.
fn kill_at(server: Server, id: &str, (phase, epoch, victim): (&str, u64, Victim)) -> Server {
    let there = |kind: &str, data: &Value| {
        let at = data["epoch"].as_u64() >= Some(epoch) && (data["phase"] == phase || data["phase"] == "fine_tune");
        kind == "epoch" && at
    };
    server.events(id, 0, there);
    let [worker] = server.workers()[..] else { panic!("not one worker: {:?}", server.workers()) };
    if victim != Victim::Server {
        signal(worker, "KILL");
    }
    if victim == Victim::Worker {
        wait_for("another worker", || server.workers().first().copied().filter(|next| *next != worker));
        return server;
    }
    let dir = server.data_dir().to_owned();
    drop(server);
    Server::start_in(&dir, LEASE)
}

/// The shortest lease that may be set: what is waited for when both were killed.
const LEASE: &[&str] = &["--lease-seconds", "5"];

#[test]
fn a_job_killed_ten_times_ends_with_the_weights_of_one_that_was_left_alone() {
    use Victim::{Both, Server as Serving, Worker};
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(dir.path(), LEASE);
    server.dataset("toys", &zip(&entries(3, 8)));
    let whole = server.submit("toys", "whole", &remembering());
    assert_eq!(server.finished(&whole)["state"], "succeeded", "{}", server.log());
    let killed = server.submit("toys", "killed", &remembering());
    let kills = [
        ("warm_up", 1, Worker),
        ("warm_up", 4, Serving),
        ("warm_up", 8, Both),
        ("warm_up", 12, Worker),
        ("warm_up", 17, Worker),
        ("warm_up", 22, Serving),
        ("warm_up", 27, Worker),
        ("fine_tune", 1, Both),
        ("fine_tune", 2, Serving),
        ("fine_tune", 3, Worker),
    ];
    for kill in kills {
        server = kill_at(server, &killed, kill);
    }
    let job = server.finished(&killed);
    assert_eq!(job["state"], "succeeded", "{job}\n{}", server.log());
    let (there, expected) = (epochs(&server, &killed), epochs(&server, &whole));
    assert_eq!(there.len(), expected.len());
    for (there, expected) in there.iter().zip(&expected) {
        assert_eq!(there, expected, "after kills at {kills:?}");
    }
    assert_eq!((kinds(&server, &killed, "restarted"), kinds(&server, &killed, "report")), (0, 2));
    assert_eq!(weights(&server, "killed"), weights(&server, "whole"));
    // Nothing is kept of jobs that are over.
    let checkpoints = server.data_dir().join("checkpoints");
    wait_for("the checkpoints to go", || std::fs::read_dir(&checkpoints).unwrap().next().is_none().then_some(()));
}

#[test]
fn a_job_whose_checkpoint_is_damaged_begins_anew_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(dir.path(), &[]);
    server.dataset("toys", &zip(&entries(3, 8)));
    let mut recipe = remembering();
    recipe["warm_up"]["epochs"] = json!(100);
    let id = server.submit("toys", "toys", &recipe);
    server.events(&id, 0, |kind, data| kind == "epoch" && data["epoch"].as_u64() >= Some(3));
    assert_eq!(server.stop(), Some(0));
    let kept: Vec<_> =
        std::fs::read_dir(dir.path().join("checkpoints").join(&id)).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!kept.is_empty());
    for path in &kept {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let server = Server::start_in(dir.path(), &[]);
    let job = server.finished(&id);
    assert_eq!(job["state"], "succeeded", "{job}\n{}", server.log());
    let told: Vec<u64> = epochs(&server, &id).iter().map(|epoch| epoch["epoch"].as_u64().unwrap()).collect();
    assert_eq!(told, (1..=100).chain(1..=6).collect::<Vec<_>>());
    assert_eq!(kinds(&server, &id, "restarted"), 1);
}

/// Looks for the state of each epoch that it is told of, and stops the run after some.
struct Looking<'a> {
    dir: &'a Path,
    last: Option<PathBuf>,
    told: usize,
    stop: &'a AtomicBool,
}

impl Observer for Looking<'_> {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        if let Event::Epoch(epoch) = event {
            let state = self.dir.join(Place { phase: epoch.phase, epoch: epoch.epoch }.file());
            verify_checkpoint(&state).unwrap();
            self.last.iter().for_each(|before| assert!(before.exists(), "until the next is recorded"));
            (self.last, self.told) = (Some(state), self.told + 1);
            self.stop.store(self.told == 5, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn an_epoch_that_is_told_of_has_its_state_on_the_disk() {
    let bench = Bench::new(2, 4);
    let recipe = recipe(&json!({"warm_up": {"epochs": 10000}, "augmentation": {"views": 0}}));
    let dir = bench.features("states");
    let stop = AtomicBool::new(false);
    let mut looking = Looking { dir: &dir, last: None, told: 0, stop: &stop };
    let checkpoints = Checkpoints { dir: dir.clone(), resume: None };
    let plan = bench.plan(&bench.features("kept"), &recipe);
    let stopped = training::run(&plan, &bench.data, Some(&checkpoints), &mut looking, &stop);
    assert!(matches!(stopped, Err(TrainingError::Stopped)));
    // What was complete when the run was stopped was told, and nothing else is left.
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(left, [looking.last.unwrap()]);
    assert_eq!(looking.told, 5);
}
