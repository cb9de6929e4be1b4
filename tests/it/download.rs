//! Versions as files: the weights, the artifact for another machine, ONNX.

use std::path::Path;
use std::process::{Command, Output};

use image::ImageFormat;
use serde_json::{Value, json};

use crate::jobs::{SIDE, quick};
use crate::pictures::{encoded, sized, tar, written};
use crate::server::{Server, topgraft, weights};

const DOWNLOAD: &str = "/v1/models/toys/versions/1/download";

fn import(artifact: &Path, data: &Path, more: &[&str]) -> Output {
    let mut command = topgraft();
    command.args(["models", "import"]).arg(artifact).arg("--data-dir").arg(data).arg("--weights").arg(weights());
    command.args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_artifact_answers_the_same_on_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    std::fs::create_dir_all(&first).unwrap();
    std::fs::create_dir_all(&second).unwrap();
    let here = Server::start_in(&first, &[]);
    here.trained("toys", &quick());
    let stored = here.get(&format!("{DOWNLOAD}?format=safetensors"));
    assert_eq!(stored.status, 200);
    assert_eq!(stored.body, std::fs::read(first.join("models/toys/1/weights.safetensors")).unwrap());
    let archive = here.get(DOWNLOAD);
    assert_eq!((archive.status, archive.content_type.as_str()), (200, "application/x-tar"));
    assert_eq!(archive.body, here.get(&format!("{DOWNLOAD}?format=artifact")).body);
    let file = dir.path().join("toys-1.tar");
    std::fs::write(&file, &archive.body).unwrap();

    // While a server is at work there.
    let there = Server::start_in(&second, &[]);
    for version in [1, 2] {
        let imported = import(&file, &second, &[]);
        assert!(imported.status.success(), "{}", text(&imported.stderr));
        assert!(text(&imported.stdout).contains(&format!("toys version {version} in")), "{}", text(&imported.stdout));
    }
    let imported = import(&file, &second, &["--name", "others"]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let answer = |server: &Server, uri: &str| {
        server.post(uri, "image/png", &encoded(1, 5, ImageFormat::Png)).expect(200)["predictions"].clone()
    };
    let expected = answer(&here, "/v1/models/toys/predict");
    for uri in ["/v1/models/toys/predict", "/v1/models/toys/versions/1/predict", "/v1/models/others/predict"] {
        assert_eq!(answer(&there, uri), expected, "{uri}");
    }
    let version = there.get("/v1/models/others/versions/1").expect(200);
    assert!(version["job"].is_null() && version["manifest"]["model"] == "others", "{version}");
    assert_eq!(version["dataset"]["name"], "toys");
    let report = |server: &Server| server.get("/v1/models/toys/versions/1/report").expect(200);
    assert_eq!(report(&there), report(&here));
    // Its own jobs go on counting where imports left off.
    there.trained("toys", &quick());
    let versions = there.get("/v1/models/toys").expect(200)["versions"].clone();
    assert_eq!((&versions[0]["version"], versions.as_array().unwrap().len()), (&json!(3), 3));
}

#[test]
fn what_is_no_artifact_is_not_imported() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("x.tar"), dir.path().join("data"));
    let refused = |bytes: &[u8], part: &str| {
        std::fs::write(&file, bytes).unwrap();
        let imported = import(&file, &data, &[]);
        let message = text(&imported.stderr);
        assert!(!imported.status.success() && message.contains(part), "{message}");
        assert_eq!(std::fs::read_dir(data.join("models")).unwrap().count(), 0, "{message}");
    };
    refused(b"not a tar", "isn't an artifact's tar");
    refused(&tar(&[("model/manifest.json".to_owned(), b"{}".to_vec())]), "an entry");
    refused(&tar(&[("manifest.json".to_owned(), b"{}".to_vec())]), "no weights.safetensors");
}

#[test]
fn onnx_runtime_answers_the_same() {
    for (precision, flip) in [("f32", false), ("int8", true)] {
        let server = Server::start();
        let mut recipe = quick();
        recipe["precision"] = json!(precision);
        recipe["test_time_flip"] = json!(flip);
        server.trained("toys", &recipe);
        onnx_parity(&server);
    }
}

/// Runs the version's ONNX file on pictures of its input size, which nobody resizes.
fn onnx_parity(server: &Server) {
    let python = std::env::var_os("TOPGRAFT_TEST_PYTHON").expect("no Python with ONNX Runtime: run the tests with `make test`");
    let dir = tempfile::tempdir().unwrap();
    let (mut pixels, mut expected) = (Vec::new(), Vec::new());
    for (class, n) in [(0, 3), (1, 5), (2, 8), (3, 2)] {
        let picture = sized(class, n, SIDE, SIDE);
        pixels.extend_from_slice(picture.as_raw());
        let answer = server.post("/v1/models/toys/predict", "image/png", &written(&picture, ImageFormat::Png)).expect(200);
        expected.push(answer["predictions"][0]["probabilities"].clone());
    }
    std::fs::write(dir.path().join("pixels.rgb"), pixels).unwrap();
    std::fs::write(dir.path().join("expected.json"), Value::from(expected).to_string()).unwrap();
    let model = server.get(&format!("{DOWNLOAD}?format=onnx"));
    assert_eq!(model.status, 200, "{}", model.text());
    let file = dir.path().join("toys.onnx");
    std::fs::write(&file, &model.body).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/onnx_parity.py");
    // -B: nothing is written beside the scripts.
    let output = Command::new(python).arg("-B").arg(script).arg(file).arg(dir.path()).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stdout.trim_end() == "all the same", "{stdout}\n{stderr}");
}

#[test]
fn what_is_not_there_cannot_be_downloaded() {
    let server = Server::start();
    server.get(DOWNLOAD).problem(404, "model_not_found");
    let query = server.get(&format!("{DOWNLOAD}?format=pickle")).problem(422, "invalid_query");
    assert!(query.contains("format"), "{query}");
}
