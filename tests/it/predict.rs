//! Classifying pictures.

use base64::Engine;
use image::ImageFormat;
use serde_json::{Value, json};

use crate::jobs::quick;
use crate::pictures::{encoded, zip};
use crate::server::Server;

/// Sends every validation picture through `model`'s predict route: label and probabilities must be the report's.
pub fn parity(server: &Server, dataset: &str, model: &str, tolerance: f64) {
    let report = server.get(&format!("{model}/report")).expect(200);
    for stored in report["predictions"].as_array().unwrap() {
        let picture = server.get(&format!("/v1/datasets/{dataset}/images/{}", stored["image"]));
        let answer = server.post(&format!("{model}/predict"), &picture.content_type, &picture.body).expect(200);
        let prediction = &answer["predictions"][0];
        assert_eq!(prediction["label"], stored["predicted"], "{stored}");
        for (class, probability) in
            report["classes"].as_array().unwrap().iter().zip(stored["probabilities"].as_array().unwrap())
        {
            let served = prediction["probabilities"][class.as_str().unwrap()].as_f64().unwrap();
            assert!((served - probability.as_f64().unwrap()).abs() <= tolerance, "{class}: {served} for {stored}");
        }
    }
}

#[test]
fn served_probabilities_are_the_reports() {
    let server = Server::start();
    let mut recipe = quick();
    recipe["precision"] = json!("f32");
    server.trained("toys", &recipe);
    parity(&server, "toys", "/v1/models/toys", 1e-3);
}

#[test]
fn eight_bit_answers_over_two_views_are_the_reports_too() {
    let server = Server::start();
    let mut recipe = quick();
    recipe["precision"] = json!("int8");
    recipe["resize"] = json!("crop");
    recipe["augmentation"]["unaugmented"] = json!("square");
    recipe["test_time_flip"] = json!(true);
    server.trained("toys", &recipe);
    parity(&server, "toys", "/v1/models/toys", 1e-3);
}

#[test]
fn pictures_come_as_bodies_parts_or_json_and_models_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(dir.path(), &[]);
    server.trained("toys", &quick());
    let picture = encoded(0, 3, ImageFormat::Png);
    let body = server.post("/predict", "image/png", &picture).expect(200);
    assert_eq!(body["model"], json!({"name": "toys", "version": 1}));
    let first = &body["predictions"][0];
    assert_eq!(first["label"], "red", "{body}");
    let probabilities = first["probabilities"].as_object().unwrap();
    assert_eq!(probabilities.len(), 3);
    assert!((probabilities.values().map(|p| p.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-5);

    let parts = server
        .post_files("/v1/models/toys/predict?top_k=1", &[("a.png", &picture), ("b.jpg", &encoded(1, 4, ImageFormat::Jpeg))]);
    let parts = parts.expect(200);
    assert_eq!(parts["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(parts["predictions"][1]["label"], "green");
    assert_eq!(parts["predictions"][0]["probabilities"].as_object().unwrap().len(), 1);

    let text = base64::engine::general_purpose::STANDARD.encode(&picture);
    let coded = server.post_json("/v1/models/toys/versions/1/predict", &json!({"image": text})).expect(200);
    assert_eq!(coded["predictions"][0]["label"], "red");

    assert_eq!(server.stop(), Some(0));
    let again = Server::start_in(dir.path(), &[]);
    let served: Value = again.post("/predict", "image/png", &picture).expect(200);
    assert_eq!(served["predictions"][0]["label"], "red");
}

/// The numbers, paths, labels and files of the pictures that the only version of `toys` has learnt from.
fn learnt_from(server: &Server) -> Vec<(Value, String, Value, Vec<u8>)> {
    let dataset = server.get("/v1/models/toys/versions/1").expect(200)["dataset"]["id"].as_str().unwrap().to_owned();
    let report = server.get("/v1/models/toys/report").expect(200);
    let validated: Vec<&Value> = report["predictions"].as_array().unwrap().iter().map(|stored| &stored["image"]).collect();
    let images = server.get(&format!("/v1/datasets/{dataset}/images?limit=500")).expect(200);
    let learnt = images["items"].as_array().unwrap().iter().filter(|image| !validated.contains(&&image["image"]));
    let described = learnt.map(|image| {
        let number = image["image"].clone();
        let file = server.get(&format!("/v1/datasets/{dataset}/images/{number}")).body;
        (number, image["path"].as_str().unwrap().to_owned(), image["label"].clone(), file)
    });
    described.collect()
}

#[test]
fn a_picture_that_was_learnt_from_is_its_own_nearest_neighbour() {
    let server = Server::start();
    let mut recipe = quick();
    recipe["precision"] = json!("f32");
    server.trained("toys", &recipe);
    let learnt = learnt_from(&server);
    assert_eq!(learnt.len(), 18);
    let is_itself = |answer: &Value, number: &Value, label: &Value| {
        let neighbours = answer["neighbours"].as_array().unwrap();
        assert_eq!((&neighbours[0]["image"], &neighbours[0]["label"]), (number, label), "{answer}");
        let similar: Vec<f64> = neighbours.iter().map(|neighbour| neighbour["similarity"].as_f64().unwrap()).collect();
        assert!(similar[0] > 0.9999 && similar.is_sorted_by(|a, b| a >= b), "{answer}");
        similar.len()
    };
    let (number, _, label, picture) = &learnt[4];
    let ask = |query: &str| server.post(&format!("/predict?{query}"), "image/png", picture).expect(200)["predictions"].clone();
    for (query, count) in [("neighbours=3", 3), ("neighbours=20", 18)] {
        assert_eq!(is_itself(&ask(query)[0], number, label), count);
    }
    for query in ["", "neighbours=0"] {
        assert!(ask(query)[0].get("neighbours").is_none());
    }
    let refused = server.post("/predict?neighbours=21", "image/png", picture).problem(422, "invalid_field");
    assert!(refused.contains("neighbours must be from 0 to 20"), "{refused}");

    // Every form of a request has them.
    let text = base64::engine::general_purpose::STANDARD.encode(picture);
    let coded = server.post_json("/predict?neighbours=1", &json!({"images": [text]})).expect(200);
    assert_eq!(is_itself(&coded["predictions"][0], number, label), 1);
    let files: Vec<(String, Vec<u8>)> = learnt.iter().map(|(_, path, _, file)| (path.clone(), file.clone())).collect();
    let parts: Vec<(&str, &[u8])> = files.iter().map(|(path, file)| (path.as_str(), file.as_slice())).collect();
    let form = server.post_files("/v1/models/toys/predict?neighbours=2", &parts).expect(200);
    let lines = server.post("/v1/models/toys/versions/1/predict?neighbours=2", "application/zip", &zip(&files)).lines();
    for (place, (number, path, label, _)) in learnt.iter().enumerate() {
        assert_eq!(is_itself(&form["predictions"][place], number, label), 2);
        assert_eq!((lines[place]["path"].as_str(), is_itself(&lines[place], number, label)), (Some(path.as_str()), 2));
    }
}

#[test]
fn what_is_not_a_picture_is_refused_with_what_to_change() {
    let server = Server::start_with(&["--max-predict-pictures", "2"]);
    let picture = encoded(0, 3, ImageFormat::Png);
    server.post("/predict", "image/png", &picture).problem(404, "model_not_found");
    server.trained("toys", &quick());
    let detail = server.post("/predict", "image/jpeg", b"a text file named .jpg").problem(422, "unusable_picture");
    assert!(detail.contains("JPEG"), "{detail}");
    server.post("/predict", "image/png", &picture[..picture.len() / 2]).problem(422, "unusable_picture");
    let parts = server.post_files("/predict", &[("a.png", &picture), ("b.png", b"no")]).problem(422, "unusable_picture");
    assert!(parts.contains("1"), "{parts}");
    assert_eq!(server.post_files("/predict", &[("a", &picture), ("b", &picture), ("c", &picture)]).status, 422);
    server.post("/v1/models/nobody/predict", "image/png", &picture).problem(404, "model_not_found");
    server.post("/v1/models/toys/versions/9/predict", "image/png", &picture).problem(404, "version_not_found");
    assert_eq!(server.post("/predict", "text/plain", b"x").status, 415);
    assert_eq!(server.post("/predict", "image/png", b"").status, 422);
}
