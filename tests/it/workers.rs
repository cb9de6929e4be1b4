//! Worker processes come and go; jobs and predictions don't mind.

use image::ImageFormat;
use serde_json::json;

use crate::jobs::{endless, quick};
use crate::pictures::encoded;
use crate::server::{Server, signal, wait_for};

#[test]
fn a_killed_worker_comes_back_and_its_job_goes_on() {
    let server = Server::start();
    server.trained("toys", &quick());
    let mut recipe = quick();
    recipe["warm_up"]["epochs"] = json!(200);
    let id = server.submit("toys", "toys", &recipe);
    server.events(&id, 0, |kind, _| kind == "epoch");
    let [worker] = server.workers()[..] else { panic!("not one worker: {:?}", server.workers()) };
    signal(worker, "KILL");
    // Predictions go on while there is no worker.
    let picture = encoded(1, 2, ImageFormat::Png);
    assert_eq!(server.post("/predict", "image/png", &picture).expect(200)["predictions"][0]["label"], "green");
    let again = wait_for("another worker", || server.workers().first().copied().filter(|id| *id != worker));
    assert_ne!(again, worker);
    let job = server.finished(&id);
    assert_eq!((&job["state"], &job["attempts"]), (&"succeeded".into(), &2.into()), "{job}");
    // Each epoch is there once.
    let epochs = server.get(&format!("/v1/jobs/{id}/epochs")).expect(200);
    assert_eq!(epochs.as_array().or_else(|| epochs["items"].as_array()).unwrap().len(), 202);
    let workers = server.get("/readyz").expect(200)["workers"].clone();
    assert_eq!((&workers["alive"], &workers["restarts"]), (&1.into(), &1.into()), "{workers}");
}

#[test]
fn a_job_that_loses_its_worker_again_and_again_fails_with_the_cause() {
    let server = Server::start_with(&["--max-attempts", "1"]);
    server.dataset("toys", &crate::pictures::zip(&crate::pictures::entries(2, 4)));
    let id = server.submit("toys", "toys", &endless());
    server.events(&id, 0, |kind, _| kind == "epoch");
    signal(server.workers()[0], "KILL");
    let job = server.finished(&id);
    assert_eq!((&job["state"], &job["error"]["code"]), (&"failed".into(), &"worker_lost".into()), "{job}");
    assert!(job["error"]["message"].as_str().unwrap().contains("signal 9"), "{job}");
}

#[test]
fn a_stopped_server_takes_its_worker_along_and_gives_the_job_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(dir.path(), &[]);
    server.dataset("toys", &crate::pictures::zip(&crate::pictures::entries(2, 4)));
    let id = server.submit("toys", "toys", &endless());
    server.events(&id, 0, |kind, _| kind == "epoch");
    let worker = server.workers()[0];
    assert_eq!(server.stop(), Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists());
    let idle = Server::start_in(dir.path(), &["--workers", "0"]);
    let job = idle.job(&id);
    assert_eq!((&job["state"], &job["attempts"]), (&"queued".into(), &0.into()), "{job}");
}
