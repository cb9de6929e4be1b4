//! Sweeps: submitting, the leaderboard, publishing.

use image::ImageFormat;
use serde_json::{Value, json};

use crate::pictures::{encoded, entries, zip};
use crate::server::{Server, wait_for};

#[test]
fn a_sweep_ranks_its_trials_and_publishes_the_best() {
    let server = Server::start();
    server.dataset("toys", &zip(&entries(3, 6)));
    let base = json!({"preset": "classic", "batch_size": 8, "warm_up": {"epochs": 2}, "fine_tune": {"epochs": 0}});
    let with = |units: u32, rate: f64| {
        let mut recipe = base.clone();
        recipe["head"] = json!({"units": units});
        recipe["warm_up"]["optimizer"] = json!({"learning_rate": rate});
        recipe
    };
    // The last one's step is too small to learn anything.
    let recipes = [with(32, 1e-3), with(16, 1e-3), with(32, 1e-9)];
    let submitted = server.post_json("/v1/sweeps", &json!({"dataset": "toys", "model": "toys", "recipes": recipes}));
    let sweep = submitted.expect(202);
    let uri = submitted.location.unwrap();
    server.delete("/v1/datasets/toys").problem(409, "dataset_in_use");
    let done = wait_for("the sweep", || {
        let sweep = server.get(&uri).expect(200);
        (sweep["state"] != "queued" && sweep["state"] != "running").then_some(sweep)
    });
    assert_eq!((&done["state"], &done["trials"]["succeeded"]), (&"done".into(), &3.into()), "{done}\n{}", server.log());
    let board = done["leaderboard"].as_array().unwrap();
    assert_eq!(board.iter().map(|trial| trial["rank"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    let place = |trial: &Value| (-trial["accuracy"].as_f64().unwrap(), trial["loss"].as_f64().unwrap());
    assert!(board.is_sorted_by(|one, other| place(one) <= place(other)), "{done}");
    assert_eq!(board[2]["differs"], json!({"head.units": 32, "warm_up.optimizer.learning_rate": 1e-9}), "{done}");
    assert!(board.iter().all(|trial| trial["epochs"] == 2 && trial["seconds"].as_f64().unwrap() > 0.0));
    assert_eq!(done["best"], board[0]["job"]);
    // Each is a job with all that jobs have, and has the accuracy of its last report.
    let best = board[0]["job"].as_str().unwrap();
    assert_eq!(server.job(best)["sweep"], sweep["id"]);
    assert_eq!(server.get(&format!("/v1/jobs/{best}/report")).expect(200)["phases"][0]["accuracy"], board[0]["accuracy"]);

    server.get("/v1/models/toys").problem(404, "model_not_found");
    let publish = || server.post_json(&format!("{uri}/publish"), &json!({}));
    let published = publish();
    assert_eq!(published.expect(201)["job"], best);
    assert_eq!(published.location.as_deref(), Some("/v1/models/toys/versions/1"));
    assert_eq!(publish().expect(200)["version"], 1);
    assert_eq!(server.delete(&uri).status, 204);
    let answer = server.post("/predict", "image/png", &encoded(0, 1, ImageFormat::Png)).expect(200);
    assert_eq!(answer["model"], json!({"name": "toys", "version": 1}));
    crate::predict::parity(&server, "toys", "/v1/models/toys/versions/1", 1e-3);
}
