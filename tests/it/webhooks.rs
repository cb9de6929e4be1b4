//! Webhooks from a real server to a real receiver. What a receiver is shown to do in the documentation is what is done here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use topgraft::store::Store;

use crate::pictures::{entries, zip};
use crate::server::{Server, topgraft, wait_for};

const PRIVATE: [&str; 4] = ["--workers", "0", "--webhook-allow-private", "true"];
const DOCUMENTATION: &str = include_str!("../../docs/webhooks.md");

/// Answers every request with 204 and hands it on: its header fields, in lower case, and its body.
struct Hook {
    url: String,
    got: Receiver<(Vec<(String, String)>, String)>,
}

impl Hook {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, got) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut reader = BufReader::new(&stream);
                let mut fields = Vec::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.split_once(": ") else {
                        if line.trim().is_empty() {
                            break;
                        }
                        continue;
                    };
                    fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                let length = fields.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
                let mut body = String::new();
                reader.take(length).read_to_string(&mut body).unwrap();
                (&stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                if sender.send((fields, body)).is_err() {
                    return;
                }
            }
        });
        Self { url, got }
    }

    fn next(&self) -> (Vec<(String, String)>, String) {
        self.got.recv_timeout(Duration::from_secs(60)).expect("the webhook is called")
    }
}

/// Submits a job with a webhook; its id.
fn submit(server: &Server, url: &str) -> String {
    server.dataset("toys", &zip(&entries(2, 2)));
    let job = server.post_json("/v1/jobs", &json!({"dataset": "toys", "model": "m", "webhook": {"url": url}})).expect(202);
    job["id"].as_str().unwrap().to_owned()
}

/// The secret, as an operator gets it for a receiver.
fn secret(server: &Server) -> String {
    let output = topgraft().args(["webhooks", "secret", "--data-dir"]).arg(server.data_dir()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs the documentation's check of a message; whether it accepts it.
fn accepted(secret: &str, fields: &[(String, String)], body: &str) -> bool {
    let (_, rest) = DOCUMENTATION.split_once("```python\n").expect("the documentation shows a check");
    let (check, _) = rest.split_once("```").unwrap();
    let fields: serde_json::Map<_, _> =
        fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let program = format!(
        "{check}\nimport json, sys\nsecret, headers, body = json.load(sys.stdin)\n\
         sys.exit(0 if verified(secret, headers, body.encode()) else 3)\n"
    );
    let python = std::env::var_os("TOPGRAFT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(python).args(["-c", &program]).stdin(Stdio::piped()).spawn().unwrap();
    let input = json!([secret, fields, body]).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    match child.wait().unwrap().code() {
        Some(0) => true,
        Some(3) => false,
        other => panic!("the documentation's check ended with {other:?}"),
    }
}

#[test]
fn a_cancelled_job_calls_its_webhook_and_the_documentation_tells_how_to_check_it() {
    let (server, hook) = (Server::start_with(&PRIVATE), Hook::listen());
    let id = submit(&server, &hook.url);
    assert_eq!(server.job(&id)["webhook"], json!({"url": hook.url, "state": "pending", "attempts": 0}));
    server.post(&format!("/v1/jobs/{id}/cancel"), "application/json", b"").expect(200);
    let (fields, body) = hook.next();
    let message: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&message["type"], &message["data"]["id"]), (&"job.cancelled".into(), &id.as_str().into()));
    assert_eq!(server.get(message["data"]["link"].as_str().unwrap()).expect(200)["id"], id);
    wait_for("the outcome", || (server.job(&id)["webhook"]["state"] == "delivered").then_some(()));
    assert!(server.get("/metrics").text().contains("topgraft_webhook_deliveries_total{result=\"delivered\"} 1"));

    let secret = secret(&server);
    assert!(accepted(&secret, &fields, &body));
    assert!(!accepted(&secret, &fields, &body.replace("cancelled", "succeeded")), "a body that was changed");
    let mut old = fields.clone();
    old.iter_mut().filter(|(name, _)| name == "webhook-timestamp").for_each(|field| field.1 = "1614265330".to_owned());
    assert!(!accepted(&secret, &old, &body), "an old message, or one dated anew");
    assert!(!accepted("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &fields, &body), "another sender");
}

#[test]
fn an_end_is_told_by_the_server_that_starts_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::listen();
    let mut server = Server::start_in(dir.path(), &PRIVATE);
    let id = submit(&server, &hook.url);
    assert_eq!(server.stop(), Some(0));
    // What a worker does when it ends a job and there is no server.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&dir.path().join("topgraft.db").into()).await.unwrap();
        store.request_cancel(id.parse().unwrap()).await.unwrap();
        store.close().await;
    });
    assert!(hook.got.try_recv().is_err());
    let server = Server::start_in(dir.path(), &PRIVATE);
    let (fields, body) = hook.next();
    assert!(fields.contains(&("webhook-id".to_owned(), id.clone())), "{fields:?}");
    assert!(accepted(&secret(&server), &fields, &body), "the secret is that of the first start");
}

#[test]
fn a_private_receiver_is_not_called_unless_the_settings_permit_it() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::listen();
    let mut server = Server::start_in(dir.path(), &PRIVATE);
    // A name, which says nothing of where it leads.
    let id = submit(&server, &hook.url.replace("127.0.0.1", "localhost"));
    assert_eq!(server.stop(), Some(0));
    let server = Server::start_in(dir.path(), &["--workers", "0"]);
    let refused = server.post_json("/v1/jobs", &json!({"dataset": "toys", "model": "m", "webhook": {"url": hook.url}}));
    assert!(refused.problem(422, "invalid_field").contains("webhook.url"));
    server.post(&format!("/v1/jobs/{id}/cancel"), "application/json", b"").expect(200);
    let error = wait_for("the refusal", || server.job(&id)["webhook"]["last_error"].as_str().map(str::to_owned));
    assert!(error.contains("webhook_allow_private"), "{error}");
    assert!(hook.got.try_recv().is_err());
}
