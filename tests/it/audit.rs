//! Audits: wrong labels and copies are found, and a revision puts them right.

use image::ImageFormat;
use serde_json::{Value, json};

use crate::pictures::{entries, scene, written, zip};
use crate::server::{Server, wait_for};

/// What an audit of a data set found, once it is over.
fn audited(server: &Server, dataset: &str) -> (Value, Vec<Value>) {
    let address = format!("/v1/datasets/{dataset}/audit");
    server.get(&address).problem(404, "audit_not_found");
    server.post_json(&address, &json!({})).expect(202);
    let audit = wait_for("the audit", || {
        let audit = server.get(&address).expect(200);
        (audit["state"] != "queued" && audit["state"] != "running").then_some(audit)
    });
    assert_eq!(audit["state"], "ready", "{audit}\n{}", server.log());
    let findings = server.get(&format!("{address}/findings?limit=500")).expect(200);
    (audit, findings["items"].as_array().unwrap().clone())
}

fn paths(finding: &Value) -> Vec<&str> {
    finding["images"].as_array().unwrap().iter().map(|image| image["path"].as_str().unwrap()).collect()
}

#[test]
fn wrong_labels_and_copies_are_found_and_put_right() {
    let server = Server::start();
    let mut pictures = entries(3, 16);
    // A red one among the green, a blue one among the red.
    for (path, to) in [("toys/red/05.png", "toys/green/x-red.png"), ("toys/blue/03.png", "toys/red/x-blue.png")] {
        pictures.iter_mut().find(|(name, _)| name == path).unwrap().0 = to.to_owned();
    }
    let small = image::DynamicImage::from(scene(1)).resize(200, 150, image::imageops::FilterType::Triangle).to_rgb8();
    pictures.push(("toys/red/scene.png".to_owned(), written(&scene(1), ImageFormat::Png)));
    pictures.push(("toys/blue/scene.jpg".to_owned(), written(&small, ImageFormat::Jpeg)));
    server.dataset("toys", &zip(&pictures));
    let (audit, findings) = audited(&server, "toys");
    let of_kind = |kind: &str| findings.iter().filter(|finding| finding["kind"] == kind).collect::<Vec<_>>();

    let suspects = of_kind("label_suspect");
    let suspect = |path: &str| {
        let found = suspects.iter().find(|finding| paths(finding) == [path]);
        found.map(|finding| finding["suggested"].as_str().unwrap().to_owned())
    };
    assert_eq!(suspect("toys/green/x-red.png").as_deref(), Some("red"), "{suspects:?}");
    assert_eq!(suspect("toys/red/x-blue.png").as_deref(), Some("blue"), "{suspects:?}");
    let conflicts = of_kind("conflicting_duplicates");
    assert!(conflicts.iter().any(|finding| paths(finding) == ["toys/blue/scene.jpg", "toys/red/scene.png"]), "{conflicts:?}");
    assert_eq!(audit["summary"]["findings"]["label_suspect"], suspects.len());
    assert!(audit["summary"]["agreement"].as_f64().unwrap() > 0.8, "{audit}");
    assert!(!of_kind("tiny_picture").is_empty() && !of_kind("small_class").is_empty());
    let filtered = server.get("/v1/datasets/toys/audit/findings?kind=label_suspect&limit=500").expect(200);
    assert_eq!(filtered["items"].as_array().unwrap().len(), suspects.len());

    // As the findings say.
    let number = |path: &str| {
        let images = findings.iter().flat_map(|finding| finding["images"].as_array().unwrap());
        images.filter(|image| image["path"] == path).map(|image| image["image"].as_u64().unwrap()).next().unwrap()
    };
    let revision = json!({
        "name": "toys-clean",
        "exclude": [number("toys/blue/scene.jpg")],
        "relabel": [
            {"image": number("toys/green/x-red.png"), "label": "red"},
            {"image": number("toys/red/x-blue.png"), "label": "blue"},
        ],
    });
    let made = server.post_json("/v1/datasets/toys/revisions", &revision).expect(201);
    assert_eq!((&made["state"], &made["images"]), (&json!("ready"), &json!(49)), "{made}");
    assert_eq!(server.get("/v1/datasets/toys").json()["images"], 50, "the old one stays");
    server.post_json("/v1/datasets/toys/revisions", &revision).problem(409, "dataset_name_taken");
    // Pictures are those of the new order, and outlive the old data set.
    assert_eq!(server.delete("/v1/datasets/toys").status, 204);
    let images = server.get("/v1/datasets/toys-clean/images?label=blue&limit=500").json();
    let moved = images["items"].as_array().unwrap().iter().find(|image| image["path"] == "toys/red/x-blue.png").unwrap();
    let bytes = server.get(&format!("/v1/datasets/toys-clean/images/{}", moved["image"]));
    assert_eq!(bytes.body.len() as u64, moved["bytes"].as_u64().unwrap());
    let (_, findings) = audited(&server, "toys-clean");
    let left: Vec<&Value> = findings.iter().filter(|finding| finding["kind"] == "conflicting_duplicates").collect();
    assert!(left.is_empty(), "{left:?}");
    let job = server.finished(&server.submit("toys-clean", "toys", &crate::jobs::quick()));
    assert_eq!(job["state"], "succeeded", "{job}");
}

#[test]
fn what_cannot_be_revised_is_said() {
    let server = Server::start();
    server.dataset("toys", &zip(&entries(2, 3)));
    let refused = |body: Value, code: &str| server.post_json("/v1/datasets/toys/revisions", &body).problem(422, code);
    refused(json!({"name": "a b", "exclude": [0]}), "invalid_field");
    assert!(refused(json!({"name": "x"}), "invalid_field").contains("nothing"));
    assert!(refused(json!({"name": "x", "exclude": [6]}), "invalid_field").contains("no image 6"));
    assert!(refused(json!({"name": "x", "exclude": [0, 1]}), "class_too_small").contains("at least 2"));
    refused(json!({"name": "x", "relabel": [{"image": 0, "label": "\u{7}"}]}), "invalid_field");
    refused(json!({"name": "x", "relabel": [{"image": 0, "label": "a"}, {"image": 0, "label": "b"}]}), "invalid_field");
    server.post_json("/v1/datasets/none/revisions", &json!({"name": "x", "exclude": [0]})).problem(404, "dataset_not_found");
    server.post_json("/v1/datasets/none/audit", &json!({})).problem(404, "dataset_not_found");
}
