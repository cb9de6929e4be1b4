//! A stop loses no request and no epoch.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use image::ImageFormat;
use serde_json::Value;

use crate::jobs::{endless, quick};
use crate::pictures::{encoded, entries, zip};
use crate::raw::{Raw, request};
use crate::resume::epochs;
use crate::server::{Server, signal, wait_for};

/// A request to classify `count` pictures.
fn predict(server: &Server, count: usize) -> Vec<u8> {
    let mut form = Vec::new();
    for n in 0..count {
        let head = format!("--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{n}.png\"\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(&encoded(n % 3, n, ImageFormat::Png));
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--x--\r\n");
    request(server.host(), "POST /predict", &[("content-type", "multipart/form-data; boundary=x")], &form)
}

#[test]
fn what_was_asked_is_answered_and_the_job_goes_on_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let patient = ["--drain-seconds", "200", "--predict-deadline-ms", "200000", "--stop-seconds", "200"];
    let mut server = Server::start_in(dir.path(), &patient);
    server.trained("toys", &quick());
    let id = server.submit("toys", "endless", &endless());
    server.events(&id, 0, |kind, _| kind == "epoch");
    let ask = predict(&server, 16);
    let mut asked: Vec<Raw> = (0..4).map(|_| Raw::connect(server.host())).collect();
    asked.iter_mut().for_each(|raw| raw.send(&ask));
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    for raw in &mut asked {
        let reply = raw.reply();
        assert_eq!(reply.status, 200, "{}\n{}", reply.text(), server.log());
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(answer["predictions"].as_array().unwrap().len(), 16);
    }

    let mut idle = Server::start_in(dir.path(), &["--workers", "0"]);
    let job = idle.job(&id);
    assert_eq!((&job["state"], &job["attempts"]), (&"queued".into(), &0.into()), "{job}");
    let before = epochs(&idle, &id);
    assert!(!before.is_empty());
    assert_eq!(idle.stop(), Some(0));

    let server = Server::start_in(dir.path(), &[]);
    let after = wait_for("another epoch", || Some(epochs(&server, &id)).filter(|after| after.len() > before.len()));
    assert_eq!(&after[..before.len()], before.as_slice());
    let numbers: Vec<u64> = after.iter().map(|epoch| epoch["epoch"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=after.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_worker_that_does_not_end_in_time_is_killed_and_its_job_queued() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(dir.path(), &["--stop-seconds", "1"]);
    server.dataset("toys", &zip(&entries(2, 4)));
    let id = server.submit("toys", "toys", &endless());
    server.events(&id, 0, |kind, _| kind == "epoch");
    signal(server.workers()[0], "STOP");
    assert_eq!(server.stop(), Some(0));
    let idle = Server::start_in(dir.path(), &["--workers", "0"]);
    assert_eq!(idle.job(&id)["state"], "queued");
}

#[test]
fn a_server_that_is_about_to_stop_says_so_and_goes_on_answering() {
    let mut server = Server::start_with(&["--workers", "0", "--lame-duck-ms", "200000"]);
    let ask = request(server.host(), "GET /healthz", &[], b"");
    let mut kept = Raw::connect(server.host());
    let reply = kept.ask(&ask);
    assert_eq!((reply.status, reply.header("connection")), (200, None));
    server.terminate();
    let told = wait_for("it to say so", || {
        let answer = server.get("/readyz");
        (answer.status == 503).then(|| answer.json())
    });
    assert_eq!((&told["ready"], &told["reason"]), (&false.into(), &"stopping".into()), "{told}");
    let reply = kept.ask(&ask);
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(Raw::connect(server.host()).ask(&ask).status, 200, "others may come for as long");
    // Whoever can't wait says so again.
    server.terminate();
    assert_eq!(server.ended(), Some(130));
}

#[test]
fn who_honours_readiness_loses_no_request_while_one_server_follows_another() {
    let flags = ["--workers", "0", "--lame-duck-ms", "4000"];
    let (mut first, second) = (Server::start_with(&flags), Server::start_with(&flags));
    let hosts = [first.host().to_owned(), second.host().to_owned()];
    let (done, answered) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let ready = |host: &str| {
        let raw = Raw::try_connect(host);
        raw.is_ok_and(|mut raw| raw.ask(&request(host, "GET /readyz", &[], b"")).status == 200)
    };
    let until = |server: usize, count| {
        wait_for("answers", || (answered[server].load(Ordering::Acquire) >= count).then_some(()));
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let place = hosts.iter().position(|host| ready(host)).expect("one of them is always ready");
                    let host = &hosts[place];
                    let reply = Raw::connect(host).ask(&request(host, "GET /v1/jobs", &[], b""));
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    answered[place].fetch_add(1, Ordering::Release);
                    // Each connection keeps a port busy for a minute, and there are only so many.
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        until(0, 50);
        assert_eq!(first.stop(), Some(0));
        let so_far = answered[1].load(Ordering::Acquire);
        until(1, so_far + 50);
        done.store(true, Ordering::Release);
    });
}
