//! Sets of pictures that are answered line by line.

use image::ImageFormat;
use serde_json::{Value, json};

use crate::jobs::quick;
use crate::pictures::{encoded, tar, zip};
use crate::server::Server;

/// Labels and probabilities must be those of `/predict` for the same pictures.
fn same(server: &Server, line: &Value, picture: &[u8]) {
    let answer = server.post("/predict", "image/png", picture).expect(200);
    let single = &answer["predictions"][0];
    assert_eq!(line["label"], single["label"], "{line}");
    for (class, probability) in line["probabilities"].as_object().unwrap() {
        let other = single["probabilities"][class].as_f64().unwrap();
        assert!((probability.as_f64().unwrap() - other).abs() < 1e-3, "{line} {single}");
    }
}

#[test]
fn an_archive_is_answered_in_its_order_with_an_error_for_what_is_no_picture() {
    let server = Server::start();
    server.trained("toys", &quick());
    let (red, green) = (encoded(0, 3, ImageFormat::Png), encoded(1, 4, ImageFormat::Jpeg));
    let entries = [
        ("green.jpg", green.clone()),
        (".DS_Store", b"junk".to_vec()),
        ("some/where/red.png", red.clone()),
        ("some/notes.txt", b"not a picture".to_vec()),
        ("cut.png", red[..red.len() / 2].to_vec()),
        ("last.png", red.clone()),
    ]
    .map(|(path, bytes)| (path.to_owned(), bytes));
    for (content_type, archive) in [("application/zip", zip(&entries)), ("application/x-tar", tar(&entries))] {
        let lines = server.post("/predict?top_k=2", content_type, &archive).lines();
        let paths: Vec<_> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
        assert_eq!(paths, ["green.jpg", "some/where/red.png", "some/notes.txt", "cut.png", "last.png"], "{content_type}");
        assert_eq!((&lines[0]["label"], &lines[1]["label"]), (&json!("green"), &json!("red")));
        assert_eq!(lines[1]["probabilities"].as_object().unwrap().len(), 2);
        same(&server, &lines[0], &green);
        same(&server, &lines[4], &red);
        for line in &lines[2..4] {
            assert_eq!(line["error"]["code"], "unusable_picture", "{line}");
            assert!(!line["error"]["message"].as_str().unwrap().is_empty() && line.get("label").is_none(), "{line}");
        }
        let model = json!({"name": "toys", "version": 1});
        assert_eq!(lines[5..], [json!({"done": true, "pictures": 5, "failed": 2, "model": model})]);
    }
    assert_eq!(std::fs::read_dir(server.data_dir().join("uploads")).unwrap().count(), 0);
    server.post("/predict", "application/zip", b"no archive").problem(422, "unknown_archive");
}

/// The engine's queue holds one picture here and the window eight: those that find it full are asked again, and no line says so.
#[test]
fn a_form_of_any_number_of_parts_waits_for_a_busy_engine() {
    let server = Server::start_with(&["--max-predict-pictures", "1", "--predict-queue", "1", "--max-batch", "4"]);
    server.trained("toys", &quick());
    let pictures: Vec<_> = (0..3).map(|class| encoded(class, 5, ImageFormat::Png)).collect();
    let names: Vec<String> = (0..102).map(|number| format!("{number}.png")).collect();
    let files: Vec<_> = names.iter().enumerate().map(|(n, name)| (name.as_str(), pictures[n % 3].as_slice())).collect();
    server.post_files("/v1/models/toys/predict", &files[..2]).problem(422, "invalid_field");
    let lines = server.post_files_for("/v1/models/toys/predict", "application/x-ndjson", &files).lines();
    assert_eq!(lines[100], json!({"progress": {"pictures": 100, "total": 102}}));
    let answers: Vec<_> = lines.iter().filter(|line| line.get("path").is_some()).collect();
    assert_eq!(answers.len(), 102);
    for (n, line) in answers.iter().enumerate() {
        let label = ["red", "green", "blue"][n % 3];
        assert_eq!((&line["path"], &line["label"]), (&json!(names[n]), &json!(label)), "{line}");
    }
    let end = lines.last().unwrap();
    assert_eq!((&end["done"], &end["pictures"], &end["failed"]), (&json!(true), &json!(102), &json!(0)), "{end}");
}
