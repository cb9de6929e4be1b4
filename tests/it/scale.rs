//! Machines that share a database and a bucket, and nothing else: each server here has a data folder of its own.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use image::{ImageFormat, Rgb};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::jobs::quick;
use crate::pictures::{encoded, entries, picture, written, zip};
use crate::postgres::database;
use crate::server::{Server, signal, wait_for};
use crate::team::rows;

/// What a job trains: epochs of the warm-up, and of the fine-tune phase.
const EPOCHS: [usize; 2] = [60, 2];

/// An S3 server.
struct Bucket {
    address: String,
    dir: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bucket {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bucket")).unwrap();
        let mut s3 = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        s3.set_auth(SimpleAuth::from_single("AKIATEST", "hunter2hunter2"));
        let s3 = s3.build();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let s3 = s3.clone();
                tokio::spawn(async move {
                    let ask = |request: hyper::Request<_>| {
                        let s3 = s3.clone();
                        async move { s3.call(request.map(s3s::Body::from)).await }
                    };
                    // A client that goes ends with an error.
                    let service = hyper::service::service_fn(ask);
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, dir, _runtime: runtime }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "AKIATEST".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "hunter2hunter2".to_owned()),
            ("AWS_ENDPOINT_URL", self.address.clone()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("TOPGRAFT_STORAGE", "s3://bucket/top/graft".to_owned()),
        ]
    }

    /// Whether nothing is kept below a folder; an object's folders are the server's own.
    fn is_empty(&self, folder: &str) -> bool {
        fn has_none(dir: &Path) -> bool {
            let Ok(entries) = std::fs::read_dir(dir) else { return true };
            entries.map(|entry| entry.unwrap().path()).all(|path| path.is_dir() && has_none(&path))
        }
        has_none(&self.dir.path().join("bucket/top/graft").join(folder))
    }
}

/// Kills the workers of the server that has the job, once it has told of an epoch; unless the job is over first.
fn kill_workers_of(job: &str, servers: &[&Server]) -> bool {
    servers[0].events(job, 0, |kind, _| kind == "epoch");
    let began = format!("job started job={job}");
    let Some(server) = servers.iter().find(|server| server.log().contains(&began)) else { return false };
    server.workers().into_iter().for_each(|worker| signal(worker, "KILL"));
    servers[0].job(job)["state"] != "succeeded"
}

fn predicted(server: &Server, model: &str) -> Value {
    let picture = encoded(1, 2, ImageFormat::Png);
    server.post(&format!("/v1/models/{model}/predict"), "image/png", &picture).expect(200)
}

/// `TOPGRAFT_TEST_JOBS=20` for more than fit into every run.
#[test]
fn jobs_outlive_workers_and_any_server_answers_for_any_model() {
    let Some(url) = database() else { return };
    let jobs: usize = std::env::var("TOPGRAFT_TEST_JOBS").map_or(5, |jobs| jobs.parse().unwrap());
    let bucket = Bucket::start();
    let machines = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let flags = ["--database", &url, "--workers", "2", "--lease-seconds", "5", "--threads", "1"];
    let start = |dir: &tempfile::TempDir| Server::start_among(dir.path(), &flags, &bucket.variables());
    let (one, other) = (start(&machines[0]), start(&machines[1]));
    let secrets = machines.each_ref().map(|dir| std::fs::read(dir.path().join("webhook-secret")).unwrap());
    assert_eq!(secrets[0], secrets[1], "they sign alike");
    let mode = std::fs::metadata(machines[1].path().join("webhook-secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    one.dataset("toys", &zip(&entries(3, 8)));
    let first = one.finished(&one.submit("toys", "first", &quick()));
    assert_eq!(first["state"], "succeeded", "{first}\n{}{}", one.log(), other.log());

    let mut recipe = quick();
    (recipe["warm_up"]["epochs"], recipe["fine_tune"]["epochs"]) = (json!(EPOCHS[0]), json!(EPOCHS[1]));
    let submit = |number: usize| [&one, &other][number % 2].submit("toys", "toys", &recipe);
    let ids: Vec<String> = (0..jobs).map(submit).collect();
    let (over, mut kills) = (AtomicBool::new(false), 0);
    let (answers, versions) = std::thread::scope(|scope| {
        // Predictions are answered throughout, by both.
        let ask = || {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                answers += [&one, &other].map(|server| predicted(server, "first")).len();
            }
            answers
        };
        let asking = scope.spawn(ask);
        for id in ids.iter().step_by(2) {
            kills += usize::from(kill_workers_of(id, &[&one, &other]));
        }
        let ended: Vec<Value> = ids.iter().map(|id| one.finished(id)).collect();
        over.store(true, Ordering::Relaxed);
        for (id, job) in ids.iter().zip(&ended) {
            assert_eq!(job["state"], "succeeded", "{job}\n{}{}", one.log(), other.log());
            let epochs = other.get(&format!("/v1/jobs/{id}/epochs")).expect(200);
            let epochs = epochs["items"].as_array().unwrap();
            let places: BTreeSet<_> =
                epochs.iter().map(|epoch| (epoch["phase"].to_string(), epoch["epoch"].as_u64())).collect();
            assert_eq!((epochs.len(), places.len()), (EPOCHS[0] + EPOCHS[1], EPOCHS[0] + EPOCHS[1]), "each once");
        }
        let versions: BTreeSet<_> = ended.iter().map(|job| job["model"]["version"].as_u64().unwrap()).collect();
        // A number is nobody's whose job lost its worker over publishing it.
        assert_eq!(versions.len(), jobs, "each job published once");
        (asking.join().unwrap(), versions)
    });
    assert!(kills > 0 && answers > 0);
    wait_for("the states of jobs that are over to go", || bucket.is_empty("checkpoints").then_some(()));
    assert!(bucket.is_empty("uploads"), "so do archives that have been read");

    // An alias that one moves has moved for the other.
    for version in versions.into_iter().take(2) {
        one.put_json("/v1/models/toys/aliases/production", &json!({"version": version})).expect(200);
        let moved = Instant::now();
        wait_for("the alias", || (predicted(&other, "toys")["model"]["version"] == version).then_some(()));
        assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    }

    // A machine is lost with all that was on it; a new one has all that it needs.
    let [lost, kept] = machines;
    drop((one, lost));
    let new = tempfile::tempdir().unwrap();
    let third = start(&new);
    assert_eq!(predicted(&third, "first"), predicted(&other, "first"));
    assert_eq!(third.get("/v1/datasets/toys/images/0").status, 200);
    assert_eq!(third.get("/v1/models/toys/report").expect(200), other.get("/v1/models/toys/report").expect(200));
    assert_eq!(third.get("/readyz").expect(200)["storage"]["missing"], json!([]));
    let again = third.finished(&third.submit("toys", "toys", &quick()));
    assert_eq!(again["state"], "succeeded", "{again}\n{}", third.log());
    assert_eq!(other.delete("/v1/datasets/toys").status, 204);
    wait_for("the pictures to go", || bucket.is_empty("datasets").then_some(()));
    drop(kept);
}

/// A picture like no other, in one of two classes.
fn numbered(number: usize) -> (String, Vec<u8>) {
    let class = number % 2;
    let mut picture = picture(class, number % 23);
    (0..16).for_each(|bit| picture.put_pixel(bit, 0, Rgb([if number >> bit & 1 == 1 { 255 } else { 0 }; 3])));
    (format!("many/{}/{number}.png", ["red", "green"][class]), written(&picture, ImageFormat::Png))
}

/// What a server's workers say of having helped a job: rows each time.
fn helped(server: &Server, job: &str) -> Vec<u64> {
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("helped to compute features") && line.contains(job));
    lines.map(|line| line.rsplit("rows=").next().unwrap().trim().parse().unwrap()).collect()
}

/// `TOPGRAFT_TEST_PICTURES=4000` for more than fit into every run.
#[test]
fn idle_workers_help_to_compute_features_and_no_row_is_computed_twice() {
    let Some(url) = database() else { return };
    let pictures: usize = std::env::var("TOPGRAFT_TEST_PICTURES").map_or(1040, |pictures| pictures.parse().unwrap());
    let bucket = Bucket::start();
    let machines = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let flags = ["--database", &url, "--workers", "2", "--threads", "1"];
    let start = |dir: &tempfile::TempDir| Server::start_among(dir.path(), &flags, &bucket.variables());
    let (one, other) = (start(&machines[0]), start(&machines[1]));
    one.dataset("many", &zip(&(0..pictures).map(numbered).collect::<Vec<_>>()));
    // Whoever isn't there yet can't help.
    wait_for("the workers", || {
        let ready = [&one, &other].map(|server| server.log().matches("worker ready").count());
        (ready == [2, 2]).then_some(())
    });
    let recipe = json!({
        "preset": "balanced", "head": {"units": 16}, "input_size": 160, "augmentation": {"views": 0}, "test_time_flip": false,
        "group_duplicates": false, "warm_up": {"epochs": 1}, "fine_tune": {"epochs": 0, "unfreeze_from": "block5_conv1"}
    });
    let id = one.submit("many", "many", &recipe);
    let job = other.finished(&id);
    assert_eq!(job["state"], "succeeded", "{job}\n{}{}", one.log(), other.log());
    let rows_of_all = job["features"]["rows"].as_u64().unwrap();
    assert_eq!(rows_of_all, pictures as u64);
    let by_helpers: Vec<u64> = [&one, &other].iter().flat_map(|server| helped(server, &id)).collect();
    // Of five shards a machine that is busy with other tests may leave little to the slowest.
    let helpers = if pictures < 4000 { 1 } else { 3 };
    assert!(by_helpers.iter().filter(|rows| **rows > 0).count() >= helpers, "{by_helpers:?}\n{}{}", one.log(), other.log());
    let sum: u64 = by_helpers.iter().sum();
    assert!(sum < rows_of_all, "{sum}");
    let kept = rows(&bucket.dir.path().join("bucket/top/graft/cache/features"));
    assert_eq!(kept.len() as u64, rows_of_all);
    assert!(kept.values().all(|count| *count == 1), "each once");

    // A machine that has none of them fetches them.
    let third_machine = tempfile::tempdir().unwrap();
    drop((one, other));
    let third = start(&third_machine);
    let again = third.finished(&third.submit("many", "many", &recipe));
    assert_eq!(again["state"], "succeeded", "{again}\n{}", third.log());
    assert_eq!(rows(&third_machine.path().join("cache/features")), kept);
    assert_eq!(rows(&bucket.dir.path().join("bucket/top/graft/cache/features")), kept, "nothing was computed");
    assert_eq!(third.delete("/v1/datasets/many").status, 204);
    wait_for("the features to go", || bucket.is_empty("cache/features").then_some(()));
}
