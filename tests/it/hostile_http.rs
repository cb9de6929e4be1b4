//! Requests that no honest client sends. Each gets an answer that says so, or a closed connection; the server goes on, and
//! nothing is left of it.

mod cases;

use std::time::Duration;

use serde_json::Value;

use crate::raw::{Raw, Reply, request};
use crate::server::{Server, wait_for};
use cases::{Case, Then, all};

/// An answer is a problem that says so itself; what hyper refuses before anybody else sees it has a bare status.
fn check(case: &Case, reply: &Reply) {
    let Case { name, expected, .. } = case;
    assert!(expected.contains(&reply.status), "{name}: {} not in {expected:?}: {}", reply.status, reply.text());
    let is_bare = reply.body.is_empty() && matches!(reply.status, 0 | 400 | 414 | 431);
    if !is_bare {
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{name}: {reply:?}");
        let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{name}: {error} in {reply:?}"));
        assert_eq!(problem["status"], reply.status, "{name}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{name}: {problem}");
    }
}

#[test]
fn what_no_honest_client_sends_is_refused_and_leaves_nothing() {
    let limits = ["--workers", "0", "--header-seconds", "2", "--body-idle-seconds", "1"];
    let server = Server::start_with(&limits);
    let cases = all(&server);
    assert!(cases.len() > 130, "{} cases", cases.len());
    for case in &cases {
        let mut raw = Raw::connect(server.host());
        raw.send(&case.bytes);
        match case.then {
            Then::Wait => check(case, &raw.reply()),
            Then::HangUp => raw.hang_up(),
        }
        assert_eq!(server.get("/readyz").status, 200, "after {}", case.name);
    }
    let uploads = server.data_dir().join("uploads");
    wait_for("the uploads to go", || {
        let left = std::fs::read_dir(&uploads).map_or(0, Iterator::count);
        (left == 0).then_some(())
    });
    for list in ["/v1/datasets", "/v1/jobs", "/v1/sweeps"] {
        assert_eq!(server.get(list).expect(200)["items"], Value::Array(Vec::new()), "{list}");
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn connections_beyond_the_bound_wait_for_a_place() {
    let server = Server::start_with(&["--workers", "0", "--max-connections", "2"]);
    let (first, mut second, mut third) =
        (Raw::connect(server.host()), Raw::connect(server.host()), Raw::connect(server.host()));
    let ask = request(server.host(), "GET /healthz", &[], b"");
    third.send(&ask);
    assert!(third.is_silent(Duration::from_millis(500)), "it was served beside two others");
    second.send(&ask);
    assert_eq!(second.reply().status, 200);
    assert!(third.is_silent(Duration::from_millis(200)), "a connection that is kept has its place");
    first.hang_up();
    assert_eq!(third.reply().status, 200);
}

/// The rest of the body is read for a moment, so that a client that is still sending sees the answer.
#[test]
fn who_is_refused_in_the_midst_of_sending_gets_the_answer() {
    let server = Server::start_with(&["--workers", "0"]);
    let large = request(server.host(), "POST /nowhere", &[("content-type", "application/zip")], &vec![0u8; 6 << 20]);
    for _ in 0..5 {
        let mut raw = Raw::connect(server.host());
        raw.send(&large);
        assert_eq!(raw.reply().status, 404);
    }
}
