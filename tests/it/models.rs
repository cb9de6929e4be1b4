//! Models, versions and aliases.

use image::ImageFormat;
use serde_json::json;

use crate::jobs::{SIDE, quick};
use crate::pictures::encoded;
use crate::server::Server;

#[test]
fn versions_count_up_and_an_alias_decides_which_one_serves() {
    let server = Server::start();
    server.trained("toys", &quick());
    server.finished(&server.submit("toys", "toys", &quick()));
    let versions = server.get("/v1/models/toys").expect(200)["versions"].as_array().unwrap().len();
    assert_eq!(versions, 2);
    let served = || {
        let answer = server.post("/predict?model=toys", "image/png", &encoded(0, 1, ImageFormat::Png)).expect(200);
        answer["model"]["version"].clone()
    };
    assert_eq!(served(), 2);
    assert_eq!(server.put_json("/v1/models/toys/aliases/production", &json!({"version": 1})).status, 200);
    assert_eq!(served(), 1);
    assert_eq!(server.put_json("/v1/models/toys/aliases/production", &json!({"version": 9})).status, 404);
    let by_alias = server.post("/v1/models/toys/aliases/production/predict", "image/png", &encoded(0, 1, ImageFormat::Png));
    assert_eq!(by_alias.expect(200)["model"]["version"], 1);

    let manifest = server.get("/v1/models/toys/versions/1").expect(200)["manifest"].clone();
    assert_eq!(manifest["classes"], json!(["blue", "green", "red"]));
    assert_eq!(manifest["backbone"]["id"], "vgg16-imagenet-caffe");
    assert_eq!(manifest["preprocessing"]["input_size"], SIDE);
    assert!(manifest["libraries"]["libtorch"].is_string() && manifest["files"]["weights.safetensors"].is_string());
}

/// The same recipe, seed and pictures give the same weights, to the bit, with several threads too.
#[test]
fn training_repeats() {
    let server = Server::start_with(&["--threads", "2"]);
    server.trained("first", &quick());
    server.finished(&server.submit("toys", "second", &quick()));
    let weights = |model: &str| {
        let version = server.get(&format!("/v1/models/{model}/versions/1")).expect(200);
        version["manifest"]["files"]["weights.safetensors"].clone()
    };
    assert_eq!(weights("first"), weights("second"));
}
