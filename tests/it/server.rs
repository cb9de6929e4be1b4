//! The real server as a process, and a plain client.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use crate::answer::Answer;
use crate::answer::answer;

/// Longest that a test waits for anything: a bound for failures, not a measure.
const PATIENCE: Duration = Duration::from_secs(240);

/// The backbone's weights.
pub fn weights() -> PathBuf {
    let path = std::env::var_os("TOPGRAFT_TEST_WEIGHTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("data/weights/vgg16.safetensors"), PathBuf::from);
    assert!(path.exists(), "no ImageNet weights in {}: run the tests with `make test`", path.display());
    path
}

/// The binary, with logging as tests want it, and one thread an operation, unless its flags say otherwise: tests run side by side, and
/// several threads of each, which wait for each other, would take turns on the same cores.
pub fn topgraft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topgraft"));
    command.env("RUST_LOG", "info,sqlx=warn,topgraft::api=warn").env("TOPGRAFT_THREADS", "1");
    command
}

/// A running server with a data folder of its own.
pub struct Server {
    child: Child,
    pub address: String,
    dir: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with further flags.
    pub fn start_with(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(dir.path(), flags);
        server.dir = Some(dir);
        server
    }

    /// A server on a folder that somebody else keeps.
    pub fn start_in(path: &Path, flags: &[&str]) -> Self {
        Self::start_among(path, flags, &[])
    }

    /// The same, with environment variables.
    pub fn start_among(path: &Path, flags: &[&str], variables: &[(&str, String)]) -> Self {
        let log = File::options().create(true).append(true).open(path.join("server.log")).unwrap();
        let mut child = topgraft()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(path)
            .arg("--weights")
            .arg(weights())
            .args(flags)
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let address = address.unwrap_or_else(|| panic!("the server said {line:?}; its log: {}", log_of(path)));
        let server = Self { child, address, dir: None, path: path.to_owned() };
        wait_for("readiness", || (server.get("/readyz").status == 200).then_some(()));
        server
    }

    pub fn data_dir(&self) -> &Path {
        &self.path
    }

    pub fn log(&self) -> String {
        log_of(&self.path)
    }

    /// Its address without the scheme.
    pub fn host(&self) -> &str {
        self.address.strip_prefix("http://").unwrap()
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to stop and waits; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.ended()
    }

    /// Asks the server to stop.
    pub fn terminate(&self) {
        signal(self.child.id(), "TERM");
    }

    /// Waits for its end; the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Process ids of its workers.
    pub fn workers(&self) -> Vec<u32> {
        let parent = self.child.id();
        let processes = std::fs::read_dir("/proc").unwrap();
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| parent_of(*id) == Some(parent)).collect()
    }

    pub fn get(&self, path: &str) -> Answer {
        answer(agent().get(format!("{}{path}", self.address)).call().unwrap())
    }

    pub fn get_as(&self, path: &str, accept: &str) -> Answer {
        answer(agent().get(format!("{}{path}", self.address)).header("accept", accept).call().unwrap())
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = agent().get(format!("{}{path}", self.address));
        answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).call().unwrap())
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.delete_with(path, &[])
    }

    pub fn delete_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = agent().delete(format!("{}{path}", self.address));
        answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).call().unwrap())
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.post_with(path, &[("content-type", content_type)], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = agent().post(format!("{}{path}", self.address));
        answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send(body).unwrap())
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    pub fn put_json(&self, path: &str, body: &Value) -> Answer {
        let request = agent().put(format!("{}{path}", self.address)).header("content-type", "application/json");
        answer(request.send(body.to_string().as_bytes()).unwrap())
    }

    /// Posts file parts as a browser would.
    pub fn post_files(&self, path: &str, files: &[(&str, &[u8])]) -> Answer {
        self.post_files_for(path, "*/*", files)
    }

    /// The same, accepting an answer of this media type.
    pub fn post_files_for(&self, path: &str, accept: &str, files: &[(&str, &[u8])]) -> Answer {
        const BOUNDARY: &str = "topgraft-test-boundary";
        let mut body = Vec::new();
        for (name, bytes) in files {
            let head = format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
                 content-type: application/octet-stream\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        self.post_with(path, &[("content-type", &content_type), ("accept", accept)], &body)
    }

    /// Uploads an archive and waits until it is ready or failed.
    pub fn dataset(&self, name: &str, archive: &[u8]) -> Value {
        let accepted = self.post(&format!("/v1/datasets?name={name}"), "application/zip", archive);
        accepted.expect(202);
        self.settled_dataset(name)
    }

    /// Waits until a data set is ready or failed.
    pub fn settled_dataset(&self, name: &str) -> Value {
        wait_for("the data set", || {
            let dataset = self.get(&format!("/v1/datasets/{name}")).expect(200);
            (dataset["state"] != "ingesting").then_some(dataset)
        })
    }

    /// Submits a job; its id.
    pub fn submit(&self, dataset: &str, model: &str, recipe: &Value) -> String {
        let job = self.post_json("/v1/jobs", &json!({"dataset": dataset, "model": model, "recipe": recipe})).expect(202);
        job["id"].as_str().unwrap().to_owned()
    }

    pub fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).expect(200)
    }

    /// Waits until a job is over; the job.
    pub fn finished(&self, id: &str) -> Value {
        wait_for("the job", || {
            let job = self.job(id);
            (job["state"] != "queued" && job["state"] != "running").then_some(job)
        })
    }

    /// Uploads a small data set and trains `model` on it; the finished job.
    pub fn trained(&self, model: &str, recipe: &Value) -> Value {
        let dataset = self.dataset("toys", &crate::pictures::zip(&crate::pictures::entries(3, 8)));
        assert_eq!(dataset["state"], "ready", "{dataset}");
        let job = self.finished(&self.submit("toys", model, recipe));
        assert_eq!(job["state"], "succeeded", "{job}\n{}", self.log());
        job
    }

    /// A job's server-sent events after `last`, read until the server ends them or `enough` says so: (id, kind, data).
    pub fn events(&self, id: &str, last: u64, mut enough: impl FnMut(&str, &Value) -> bool) -> Vec<(u64, String, Value)> {
        let request = agent().get(format!("{}/v1/jobs/{id}/events", self.address)).header("last-event-id", last.to_string());
        let response = request.call().unwrap();
        assert_eq!(response.status(), 200);
        let (mut events, mut seq, mut kind, mut data) = (Vec::new(), 0, String::new(), String::new());
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.unwrap();
            if let Some(value) = line.strip_prefix("id:") {
                seq = value.trim().parse().unwrap();
            } else if let Some(value) = line.strip_prefix("event:") {
                kind = value.trim().to_owned();
            } else if let Some(value) = line.strip_prefix("data:") {
                data = value.trim().to_owned();
            } else if line.is_empty() && !data.is_empty() {
                let value: Value = serde_json::from_str(&data).unwrap();
                data.clear();
                let last = enough(&kind, &value);
                events.push((seq, kind.clone(), value));
                if last {
                    break;
                }
            }
        }
        events
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is what was wanted. Killed, it takes its workers along through their pipes.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("server log:\n{}", self.log());
        }
        drop(self.dir.take());
    }
}

/// Sends a signal.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(status.success(), "kill -{name} {process}");
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The fourth field of /proc/ID/stat, after the name in brackets; none for a process that is gone or a zombie.
fn parent_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok())?
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

fn log_of(path: &Path) -> String {
    std::fs::read_to_string(path.join("server.log")).unwrap_or_default()
}
