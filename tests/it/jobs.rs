//! Submitting, following and cancelling jobs.

use serde_json::{Value, json};

use crate::pictures::{entries, zip};
use crate::server::{Server, wait_for};

/// Pixels a side that tests train with: half the work of the preset's 224.
pub const SIDE: u32 = 160;

/// A recipe that trains the toys in seconds.
pub fn quick() -> Value {
    json!({
        "preset": "classic",
        "batch_size": 8,
        "input_size": SIDE,
        "head": {"units": 32},
        "warm_up": {"epochs": 3},
        "fine_tune": {"epochs": 2, "optimizer": {"kind": "sgd", "learning_rate": 1e-4, "momentum": 0.9}}
    })
}

/// One that goes on until it is stopped.
pub fn endless() -> Value {
    json!({
        "preset": "classic", "batch_size": 4, "input_size": SIDE, "head": {"units": 16},
        "warm_up": {"epochs": 10000}, "fine_tune": {"epochs": 0}
    })
}

#[test]
fn a_job_trains_reports_and_publishes() {
    let server = Server::start();
    let job = server.trained("toys", &quick());
    let id = job["id"].as_str().unwrap();
    assert_eq!(job["model"], json!({"name": "toys", "version": 1}));
    assert_eq!(job["recipe"]["warm_up"]["optimizer"]["kind"], "rmsprop");
    assert_eq!(job["recipe"]["fine_tune"]["unfreeze_from"], "block5_conv1");

    let epochs = server.get(&format!("/v1/jobs/{id}/epochs")).expect(200);
    let epochs = epochs.as_array().or_else(|| epochs["items"].as_array()).unwrap();
    let order: Vec<_> = epochs.iter().map(|e| (e["phase"].as_str().unwrap(), e["epoch"].as_u64().unwrap())).collect();
    assert_eq!(order, [("warm_up", 1), ("warm_up", 2), ("warm_up", 3), ("fine_tune", 1), ("fine_tune", 2)]);
    let csv = server.get_as(&format!("/v1/jobs/{id}/epochs"), "text/csv");
    assert!(csv.content_type.starts_with("text/csv"));
    assert_eq!(csv.text().lines().count(), 6);
    assert!(csv.text().starts_with("phase,epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds"));

    let report = server.get("/v1/models/toys/report").expect(200);
    let phases = report["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 2);
    assert_eq!(report["split"], json!({"train": 18, "validation": 6, "test": 0, "seed": 42}));
    assert_eq!(report["predictions"].as_array().unwrap().len(), 6);
    // Three classes of plain colours: what can't tell them apart has learnt nothing.
    assert!(phases[1]["accuracy"].as_f64().unwrap() > 0.8, "{}", phases[1]);
    // Its predictions are those of the weights that were published.
    let wrong = server.get("/v1/models/toys/versions/1/predictions?wrong=true").expect(200)["items"].as_array().unwrap().len();
    let answers_all = server.get("/v1/models/toys/versions/1/thresholds").expect(200)["points"][0].clone();
    assert_eq!((&answers_all["answered"], &answers_all["precision"]), (&json!(1.0), &phases[1]["accuracy"]));
    assert_eq!(answers_all["recall"], json!((6 - wrong) as f64 / 6.0));
    let text = server.get("/v1/models/toys/report?format=text").text();
    assert!(text.contains("precision") && text.contains("weighted avg") && text.contains("confusion matrix"), "{text}");
}

#[test]
fn events_miss_nothing_on_reconnect() {
    let server = Server::start();
    server.dataset("toys", &zip(&entries(3, 6)));
    let id = server.submit("toys", "toys", &quick());
    // Hang up after the first epoch, come back with its number.
    let first = server.events(&id, 0, |kind, _| kind == "epoch");
    let last = first.last().unwrap().0;
    let rest = server.events(&id, last, |_, _| false);
    let all = server.events(&id, 0, |_, _| false);
    let lasting =
        |events: &[(u64, String, Value)]| events.iter().filter(|(_, kind, _)| kind != "progress").cloned().collect::<Vec<_>>();
    assert_eq!([lasting(&first), lasting(&rest)].concat(), lasting(&all));
    assert!(rest.iter().all(|(seq, _, _)| *seq > last));
    let kinds = |wanted: &str| all.iter().filter(|(_, kind, _)| kind == wanted).count();
    assert_eq!((kinds("epoch"), kinds("report")), (5, 2));
    assert_eq!(all.last().unwrap().2["state"], "succeeded");
}

#[test]
fn cancelling_takes_effect_within_a_batch() {
    let server = Server::start();
    server.dataset("toys", &zip(&entries(2, 4)));
    let running = server.submit("toys", "toys", &endless());
    let waiting = server.submit("toys", "toys", &endless());
    server.events(&running, 0, |kind, _| kind == "epoch");
    let cancel = |id: &str| server.post(&format!("/v1/jobs/{id}/cancel"), "application/json", b"");
    assert_eq!(cancel(&waiting).expect(200)["state"], "cancelled");
    assert!(cancel(&running).status < 300);
    assert_eq!(server.finished(&running)["state"], "cancelled");
    server.get("/v1/models/toys").problem(404, "model_not_found");
    // The data set of a finished job may go; the job still knows its name.
    assert_eq!(server.delete("/v1/datasets/toys").status, 204);
    assert_eq!(server.job(&running)["dataset"]["name"], "toys");
}

#[test]
fn a_recipe_that_cannot_run_is_refused_field_by_field() {
    let server = Server::start_with(&["--workers", "0"]);
    server.dataset("toys", &zip(&entries(2, 2)));
    let submit = |body: Value| server.post_json("/v1/jobs", &body);
    let detail = submit(json!({"dataset": "toys", "model": "m", "recipe": {
        "warm_up": {"optimizer": {"learning_rate": -0.001}}, "fine_tune": {"unfreeze_from": "block7_conv1"}}}))
    .problem(422, "invalid_recipe");
    assert!(detail.contains("recipe.warm_up.optimizer.learning_rate"), "{detail}");
    assert!(detail.contains("recipe.fine_tune.unfreeze_from"), "{detail}");
    submit(json!({"dataset": "nowhere", "model": "m"})).problem(404, "dataset_not_found");
    assert_eq!(submit(json!({"dataset": "toys", "model": "../m"})).status, 422);
    assert_eq!(submit(json!({"dataset": "toys"})).status, 422);
    assert_eq!(submit(json!({"dataset": "toys", "model": "m", "recipe": {"learning_rate": 1}})).status, 422);
    assert_eq!(server.post("/v1/jobs", "application/json", b"{not json").status, 400);
    server.get("/v1/jobs/0190a000-0000-7000-8000-000000000000").problem(404, "job_not_found");
    assert_eq!(submit(json!({"dataset": "toys", "model": "m"})).expect(202)["state"], "queued");
    assert_eq!(server.get("/v1/jobs?state=queued").expect(200)["items"].as_array().unwrap().len(), 1);
    server.delete("/v1/datasets/toys").problem(409, "dataset_in_use");
}

#[test]
fn a_step_size_that_makes_the_loss_diverge_ends_the_job_with_advice() {
    let server = Server::start();
    server.dataset("toys", &zip(&entries(2, 4)));
    let wild = json!({"warm_up": {"epochs": 5, "optimizer": {"kind": "sgd", "learning_rate": 10}}, "fine_tune": {"epochs": 20,
        "optimizer": {"kind": "sgd", "learning_rate": 10}}});
    let job = server.finished(&server.submit("toys", "toys", &wild));
    assert_eq!((&job["state"], &job["error"]["code"]), (&"failed".into(), &"diverged".into()), "{job}");
    assert!(job["error"]["message"].as_str().unwrap().contains("learning_rate"), "{job}");
}

#[test]
fn every_boundary_trains_and_serves() {
    let server = Server::start();
    server.dataset("toys", &zip(&entries(2, 3)));
    for (version, layer) in ["none", "block5_conv3", "block4_conv3"].iter().enumerate() {
        let recipe = json!({"precision": "f32", "head": {"units": 16}, "warm_up": {"epochs": 1},
            "fine_tune": {"epochs": 1, "unfreeze_from": layer, "optimizer": {"learning_rate": 1e-5}}});
        let job = server.finished(&server.submit("toys", "toys", &recipe));
        assert_eq!(job["state"], "succeeded", "{layer}: {job}");
        let model = format!("/v1/models/toys/versions/{}", version + 1);
        assert_eq!(server.get(&model).expect(200)["manifest"]["unfreeze_from"], *layer);
        crate::predict::parity(&server, "toys", &model, 1e-3);
    }
}

#[test]
fn progress_and_state_can_be_polled() {
    let server = Server::start();
    server.dataset("toys", &zip(&entries(2, 4)));
    let id = server.submit("toys", "toys", &endless());
    let progress = wait_for("progress", || {
        let job = server.job(&id);
        (job["progress"]["phase"] == "warm_up" && job["progress"]["epoch"].as_u64()? > 0).then(|| job["progress"].clone())
    });
    assert_eq!(progress["epochs"], 10000);
    assert!(progress["fraction"].as_f64().unwrap() < 1.0 && progress["eta_seconds"].is_number());
}
