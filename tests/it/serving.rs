//! How predictions are served: admission, fairness, deadlines, many models, answers one can trust, metrics.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use image::ImageFormat;
use serde_json::{Value, json};

use crate::jobs::{SIDE, quick};
use crate::pictures::encoded;
use crate::server::Server;

/// A form with `count` pictures.
fn many(count: usize) -> Vec<(String, Vec<u8>)> {
    (0..count).map(|n| (format!("{n}.png"), encoded(n % 3, n, ImageFormat::Png))).collect()
}

fn send_many(server: &Server, count: usize) -> crate::server::Answer {
    let pictures = many(count);
    let parts: Vec<(&str, &[u8])> = pictures.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    server.post_files("/predict", &parts)
}

/// A sample's value in Prometheus's text.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until pictures of `request`, which is under way in another thread, wait for the device.
fn until_inside<T>(server: &Server, request: &thread::ScopedJoinHandle<'_, T>) {
    while metric(server, "topgraft_queue_pictures") == 0.0 {
        assert!(!request.is_finished(), "none of many pictures ever waited");
    }
}

#[test]
fn a_single_picture_overtakes_a_large_request_and_a_full_house_answers_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let picture = encoded(0, 3, ImageFormat::Png);
    let mut server = Server::start_in(dir.path(), &[]);
    server.trained("toys", &quick());
    thread::scope(|scope| {
        let large = scope.spawn(|| send_many(&server, 64));
        until_inside(&server, &large);
        server.post("/predict", "image/png", &picture).expect(200);
        assert!(!large.is_finished(), "a single picture waited for all of a large request");
        assert_eq!(large.join().unwrap().expect(200)["predictions"].as_array().unwrap().len(), 64);
    });
    assert_eq!(metric(&server, "topgraft_pictures_total{model=\"toys\",result=\"answered\"}"), 65.0);
    assert_eq!(server.stop(), Some(0));

    let server = Server::start_in(dir.path(), &["--predict-requests", "1"]);
    thread::scope(|scope| {
        let large = scope.spawn(|| send_many(&server, 64));
        until_inside(&server, &large);
        // More than fits a socket's buffers: whoever is still sending gets the answer too, not a broken connection.
        let refused = server.post("/predict", "image/png", &vec![0; 5 << 20]);
        assert!(refused.problem(429, "busy").contains("again"));
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(!large.is_finished(), "who was refused waited for it");
        large.join().unwrap().expect(200);
    });
    server.post("/predict", "image/png", &picture).expect(200);
}

#[test]
fn an_answer_that_would_come_too_late_is_not_computed() {
    let server = Server::start();
    server.trained("toys", &quick());
    let picture = encoded(0, 3, ImageFormat::Png);
    let ask = |deadline| {
        let headers = [("content-type", "image/png"), ("x-deadline-ms", deadline)];
        server.post_with("/predict", &headers, &picture)
    };
    let late = ask("1");
    assert!(late.problem(504, "deadline_passed").contains("deadline"));
    ask("never").problem(422, "invalid_field");
    ask("60000").expect(200);
}

#[test]
fn models_share_batches_and_each_gets_its_own_answers() {
    // Room for one model: every other answer needs one to be loaded again.
    let server = Server::start_with(&["--model-cache-bytes", "1000000"]);
    server.trained("first", &quick());
    let mut other = quick();
    other["seed"] = json!(7);
    other["fine_tune"]["epochs"] = json!(0);
    server.finished(&server.submit("toys", "second", &other));
    let ask = |model: &str, n: usize| -> Value {
        server.post(&format!("/v1/models/{model}/predict"), "image/png", &encoded(n % 3, n, ImageFormat::Png)).expect(200)
    };
    let alone: Vec<Value> = (0..8).map(|n| ask(["first", "second"][n % 2], n / 2)).collect();
    thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|n| scope.spawn(move || ask(["first", "second"][n % 2], n / 2))).collect();
        for (n, asked) in asked.into_iter().enumerate() {
            let (together, alone) = (asked.join().unwrap(), &alone[n]);
            assert_eq!(together["model"], alone["model"]);
            let p = |answer: &Value| answer["predictions"][0]["probabilities"]["red"].as_f64().unwrap();
            // Company in a batch changes the order of sums, no more.
            assert!((p(&together) - p(alone)).abs() < 5e-3, "{together} {alone}");
        }
    });
    assert!(metric(&server, "topgraft_model_evictions_total") >= 1.0);
    assert!(metric(&server, "topgraft_model_loads_total{result=\"loaded\"}") >= 8.0);
}

#[test]
fn while_an_alias_moves_every_answer_is_of_one_version_or_the_other() {
    let server = Server::start();
    server.trained("toys", &quick());
    let mut other = quick();
    other["seed"] = json!(7);
    server.finished(&server.submit("toys", "toys", &other));
    let picture = encoded(0, 1, ImageFormat::Png);
    let by = |address: &str| {
        let answer = server.post(address, "image/png", &picture).expect(200);
        (answer["model"]["version"].as_i64().unwrap(), answer["predictions"][0]["probability"].as_f64().unwrap())
    };
    let expected = [1, 2].map(|version| by(&format!("/v1/models/toys/versions/{version}/predict")));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for version in (1..=2).cycle().take(10) {
                server.put_json("/v1/models/toys/aliases/live", &json!({"version": version})).expect(200);
            }
            done.store(true, Ordering::Release);
        });
        let mut seen = 0;
        while !done.load(Ordering::Acquire) || seen == 0 {
            let answer = server.post("/v1/models/toys/aliases/live/predict", "image/png", &picture);
            if answer.status == 404 {
                continue;
            }
            let answer = answer.expect(200);
            let version = answer["model"]["version"].as_i64().unwrap();
            let p = answer["predictions"][0]["probability"].as_f64().unwrap();
            let (_, alone) = expected[version as usize - 1];
            assert!((p - alone).abs() < 1e-6, "version {version} said {p}, not {alone}");
            seen += 1;
        }
    });
}

#[test]
fn answers_say_how_far_they_can_be_trusted() {
    let server = Server::start();
    server.trained("toys", &quick());
    let report = server.get("/v1/models/toys/report").expect(200);
    let calibration = &report["calibration"];
    let temperature = calibration["temperature"].as_f64().unwrap();
    assert!((0.25..=4.0).contains(&temperature));
    assert!(calibration["ece_after"].as_f64().unwrap() <= 1.0 && calibration["bins"][0]["pictures"].as_u64().unwrap() >= 1);
    let manifest = server.get("/v1/models/toys/versions/1").expect(200)["manifest"].clone();
    assert_eq!(manifest["temperature"], calibration["temperature"]);

    let picture = encoded(1, 3, ImageFormat::Png);
    let ask =
        |query: &str| server.post(&format!("/predict?{query}"), "image/png", &picture).expect(200)["predictions"][0].clone();
    let (answer, raw) = (ask(""), ask("calibrated=false"));
    assert_eq!(answer["label"], raw["label"]);
    // p ∝ raw^(1/T), so the ratio of two classes goes from r to r^(1/T).
    let ratio = |answer: &Value| {
        let p = answer["probabilities"].as_object().unwrap();
        let mut p: Vec<f64> = p.values().map(|p| p.as_f64().unwrap()).collect();
        p.sort_by(f64::total_cmp);
        (p[2] / p[1]).ln()
    };
    assert!((ratio(&answer) - ratio(&raw) / temperature).abs() < 0.05 * ratio(&answer), "{answer} {raw} {temperature}");
    // Between the model's certainty and what nothing can reach: f32's next number below 1 rounds to it in decimals.
    let p = answer["probability"].as_f64().unwrap();
    let label = if p < 1.0 { Value::Null } else { answer["label"].clone() };
    assert_eq!(ask("threshold=1")["label"], label);
    assert!((0.0..=1.0).contains(&answer["outlier_score"].as_f64().unwrap()));

    let map = ask("explain=true")["heat_map"].clone();
    let rows: Vec<Vec<f64>> = serde_json::from_value(map).unwrap();
    // A cell is 16 pixels.
    let cells = SIDE as usize / 16;
    assert!(rows.len() == cells && rows.iter().all(|row| row.len() == cells));
    assert!(rows.iter().flatten().all(|value| (0.0..=1.0).contains(value)));
    assert!(ask("explain=png")["heat_map_png"].as_str().unwrap().starts_with("data:image/png;base64,iVBOR"));
    assert!(answer.get("heat_map").is_none());
    assert_eq!(server.post("/predict?explain=maybe", "image/png", &picture).status, 422);
}

#[test]
fn metrics_count_what_was_done() {
    let server = Server::start();
    server.trained("toys", &quick());
    server.post("/predict", "image/png", &encoded(0, 3, ImageFormat::Png)).expect(200);
    assert_eq!(server.post("/predict", "image/png", b"no picture").status, 422);
    let answer = server.get("/metrics");
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    for (name, least) in [
        ("topgraft_pictures_total{model=\"toys\",result=\"answered\"}", 1.0),
        ("topgraft_pictures_total{model=\"toys\",result=\"unusable_picture\"}", 1.0),
        ("topgraft_batch_pictures_count", 1.0),
        ("topgraft_prefix_seconds_bucket{le=\"30\"}", 1.0),
        ("topgraft_tail_seconds_count", 1.0),
        ("topgraft_decode_seconds_count", 1.0),
        ("topgraft_model_cache_bytes", 1e6),
        ("topgraft_jobs{state=\"succeeded\"}", 1.0),
        ("process_resident_memory_bytes", 1e7),
    ] {
        assert!(metric(&server, name) >= least, "{name}");
    }
    let text = answer.text();
    let requests = "topgraft_http_requests_total{route=\"/predict\",method=\"POST\",status=\"422\"} 1";
    assert!(text.contains(requests), "{text}");
}
