//! The Open Inference Protocol: by hand, and by its official clients.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::jobs::{SIDE, quick};
use crate::pictures::{sized, written};
use crate::server::{Answer, Server};

const INFER: &str = "/v2/models/toys/infer";
const LENGTH: &str = "inference-header-content-length";

/// Pictures of the model's input size: their pixels are what the network sees.
fn squares(server: &Server) -> Vec<RgbImage> {
    let metadata = server.get("/v2/models/toys").expect(200);
    let side = metadata["inputs"][1]["shape"][1].as_u64().unwrap() as u32;
    vec![sized(0, 3, side, side), sized(2, 5, side, side)]
}

/// What `/predict` says of them: labels, and probabilities in the model's order of classes.
fn expected(server: &Server, pictures: &[RgbImage]) -> (Vec<String>, Vec<f64>) {
    let files: Vec<Vec<u8>> = pictures.iter().map(|picture| written(picture, ImageFormat::Png)).collect();
    let parts: Vec<_> = files.iter().map(|file| ("a.png", file.as_slice())).collect();
    let answer = server.post_files("/v1/models/toys/predict", &parts).expect(200);
    let version = server.get("/v1/models/toys/versions/1").expect(200);
    let classes = version["manifest"]["classes"].as_array().unwrap();
    let (mut labels, mut probabilities) = (Vec::new(), Vec::new());
    for prediction in answer["predictions"].as_array().unwrap() {
        labels.push(prediction["label"].as_str().unwrap().to_owned());
        let probability = |class: &Value| prediction["probabilities"][class.as_str().unwrap()].as_f64().unwrap();
        probabilities.extend(classes.iter().map(probability));
    }
    (labels, probabilities)
}

fn near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?} {expected:?}");
}

/// Checks an answer in JSON.
fn same(answer: &Answer, (labels, probabilities): &(Vec<String>, Vec<f64>)) {
    let body = answer.expect(200);
    assert_eq!((&body["model_name"], &body["model_version"]), (&json!("toys"), &json!("1")));
    let (first, second) = (&body["outputs"][0], &body["outputs"][1]);
    assert_eq!(
        (&first["name"], &first["datatype"], &first["shape"]),
        (&json!("probabilities"), &json!("FP32"), &json!([2, 3]))
    );
    let found: Vec<f64> = first["data"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
    near(&found, probabilities);
    assert_eq!((&second["name"], &second["datatype"], &second["shape"]), (&json!("labels"), &json!("BYTES"), &json!([2])));
    assert_eq!(second["data"], json!(labels));
}

/// JSON with binary elements behind it.
fn binary(server: &Server, json: &Value, elements: &[u8]) -> Answer {
    let json = json.to_string();
    server.post_with(INFER, &[(LENGTH, &json.len().to_string())], &[json.as_bytes(), elements].concat())
}

fn input(name: &str, datatype: &str, shape: &[usize], size: usize) -> Value {
    json!({"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}})
}

#[test]
fn every_form_of_tensor_is_answered_as_predict_answers() {
    let server = Server::start();
    server.trained("toys", &quick());
    let pictures = squares(&server);
    let side = pictures[0].width() as usize;
    let expected = expected(&server, &pictures);
    let files: Vec<_> = pictures.iter().map(|picture| written(picture, ImageFormat::Png)).collect();

    let texts: Vec<_> = files.iter().map(|file| BASE64_STANDARD.encode(file)).collect();
    let request = json!({"id": "7", "inputs": [{"name": "pictures", "datatype": "BYTES", "shape": [2], "data": texts}]});
    let answer = server.post_json(INFER, &request);
    assert_eq!(answer.json()["id"], "7");
    same(&answer, &expected);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(request.to_string().as_bytes()).unwrap();
    same(&server.post_with(INFER, &[("content-encoding", "gzip")], &gzip.finish().unwrap()), &expected);

    let prefixed = |file: &Vec<u8>| [&(file.len() as u32).to_le_bytes()[..], file].concat();
    let bytes: Vec<u8> = files.iter().flat_map(prefixed).collect();
    same(&binary(&server, &json!({"inputs": [input("pictures", "BYTES", &[2], bytes.len())]}), &bytes), &expected);

    let rows: Vec<u8> = pictures.iter().flat_map(|picture| picture.as_raw().clone()).collect();
    let shape = [2, side, side, 3];
    same(&binary(&server, &json!({"inputs": [input("pixels", "UINT8", &shape, rows.len())]}), &rows), &expected);
    let floats: Vec<u8> = rows.iter().flat_map(|&byte| f32::from(byte).to_le_bytes()).collect();
    same(&binary(&server, &json!({"inputs": [input("pixels", "FP32", &shape, floats.len())]}), &floats), &expected);

    let plane = |picture: &RgbImage, channel: usize| picture.pixels().map(|pixel| pixel.0[channel]).collect::<Vec<_>>();
    let planes: Vec<Vec<Vec<u8>>> = pictures.iter().map(|p| (0..3).map(|channel| plane(p, channel)).collect()).collect();
    let nested = json!({"name": "pixels", "datatype": "FP32", "shape": [2, 3, side, side], "data": planes});
    same(&server.post_json("/v2/models/toys/versions/1/infer", &json!({"inputs": [nested]})), &expected);
}

#[test]
fn outputs_come_as_they_are_asked_for() {
    let server = Server::start();
    server.trained("toys", &quick());
    let pictures = squares(&server);
    let (labels, probabilities) = expected(&server, &pictures);
    let texts: Vec<_> = pictures.iter().map(|p| BASE64_STANDARD.encode(written(p, ImageFormat::Png))).collect();
    let ask = |outputs: Value, parameters: Value| {
        let input = json!({"name": "pictures", "datatype": "BYTES", "shape": [2], "data": texts});
        server.post_json(INFER, &json!({"inputs": [input], "outputs": outputs, "parameters": parameters}))
    };
    let answer = ask(json!([{"name": "labels"}, {"name": "probabilities"}]), json!({"binary_data_output": true}));
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/octet-stream"));
    let (head, rest) = answer.body.split_at(answer.header(LENGTH).unwrap().parse().unwrap());
    let head: Value = serde_json::from_slice(head).unwrap();
    assert!(head["outputs"][0].get("data").is_none(), "{head}");
    let (texts_part, floats) = rest.split_at(head["outputs"][0]["parameters"]["binary_data_size"].as_u64().unwrap() as usize);
    let prefixed = |label: &String| [&(label.len() as u32).to_le_bytes()[..], label.as_bytes()].concat();
    assert_eq!(texts_part, labels.iter().flat_map(prefixed).collect::<Vec<_>>());
    let floats: Vec<f64> = floats.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
    near(&floats, &probabilities);

    let ranked = ask(json!([{"name": "probabilities", "parameters": {"classification": 2}}]), json!({})).expect(200);
    assert_eq!(ranked["outputs"][0]["shape"], json!([2, 2]));
    let first = ranked["outputs"][0]["data"][0].as_str().unwrap();
    assert!(first.ends_with(&format!(":{}", labels[0])), "{first}");
}

#[test]
fn what_does_not_fit_is_refused_in_the_protocols_form() {
    let server = Server::start_with(&["--max-predict-pictures", "2", "--max-predict-bytes", "1000000"]);
    server.trained("toys", &quick());
    let error = |answer: &Answer, status: u16| answer.expect(status)["error"].as_str().unwrap().to_owned();
    error(&server.get("/v2/models/nobody"), 404);
    error(&server.post_json("/v2/models/toys/versions/9/infer", &json!({"inputs": []})), 404);
    let request = |data: Value, shape: &[u64]| json!({"inputs": [{"name": "pictures", "datatype": "BYTES", "shape": shape, "data": data}]});
    let named = error(&server.post_json(INFER, &request(json!([BASE64_STANDARD.encode("no picture")]), &[1])), 422);
    assert!(named.contains("pictures[0]"), "{named}");
    error(&server.post_json(INFER, &request(json!(["YQ==", "YQ==", "YQ=="]), &[3])), 422);
    error(&server.post_json(INFER, &request(json!(["YQ=="]), &[u64::MAX])), 422);
    let side = SIDE as usize;
    error(&binary(&server, &json!({"inputs": [input("pixels", "FP32", &[1, side, side, 3], 4)]}), &[0; 4]), 422);
    error(&binary(&server, &json!({"inputs": [input("pictures", "BYTES", &[1], 1 << 40)]}), &[0; 4]), 400);
    error(&server.post_with(INFER, &[(LENGTH, "99")], b"{}"), 400);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&vec![b' '; 1_000_001]).unwrap();
    error(&server.post_with(INFER, &[("content-encoding", "gzip")], &bomb.finish().unwrap()), 413);
}

/// Runs a script with an official client, unmodified; it compares with `/predict` itself.
fn client(server: &Server, script: &str) {
    let python = std::env::var_os("TOPGRAFT_TEST_PYTHON").expect("no Python with the clients: run the tests with `make test`");
    let dir = tempfile::tempdir().unwrap();
    let picture = &squares(server)[0];
    std::fs::write(dir.path().join("picture.png"), written(picture, ImageFormat::Png)).unwrap();
    std::fs::write(dir.path().join("pixels.rgb"), picture.as_raw()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut command = Command::new(python);
    // -B: nothing is written beside the scripts.
    command.arg("-B").arg(script).args([server.address.as_str(), "toys"]).arg(dir.path());
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.trim_end().ends_with("all the same"), "{stdout}\n{stderr}");
}

#[test]
fn official_clients_get_what_predict_says() {
    let server = Server::start();
    server.trained("toys", &quick());
    client(&server, "triton.py");
    client(&server, "kserve.py");
}
