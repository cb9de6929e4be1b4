//! The program without a server.

use std::path::Path;
use std::process::Output;

use image::ImageFormat;

use crate::jobs::quick;
use crate::pictures::{encoded, entries};
use crate::server::{topgraft, weights};

fn run(args: &[&str]) -> Output {
    topgraft().args(args).env("TOPGRAFT_WEIGHTS", weights()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn trains_and_predicts_from_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    for (name, bytes) in entries(3, 8) {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let recipe = quick().to_string();
    let folders = ["--dataset", &path("toys"), "--model", &path("model"), "--data-dir", &path("data")];
    let trained = run(&[&["train", "--recipe", &recipe], &folders[..]].concat());
    assert!(trained.status.success(), "{}", text(&trained.stderr));
    let printed = text(&trained.stdout);
    assert!(printed.contains("after warm_up") && printed.contains("after fine_tune"), "{printed}");
    for file in ["manifest.json", "weights.safetensors", "report.json", "curves.svg", "confusion.svg"] {
        assert!(Path::new(&path("model")).join(file).exists(), "{file}");
    }
    let curves = std::fs::read_to_string(Path::new(&path("model")).join("curves.svg")).unwrap();
    assert!(curves.contains("<svg") && curves.contains("accuracy") && curves.contains("fine-tune begins"));
    let confusion = std::fs::read_to_string(Path::new(&path("model")).join("confusion.svg")).unwrap();
    assert!(confusion.contains("fine_tune, epoch") && confusion.contains("blue"));

    std::fs::write(path("new.png"), encoded(2, 40, ImageFormat::Png)).unwrap();
    std::fs::write(path("notes.txt"), "not a picture").unwrap();
    let predicted = run(&["predict", "--model", &path("model"), "--top-k", "2", &path("new.png")]);
    assert!(predicted.status.success(), "{}", text(&predicted.stderr));
    assert!(text(&predicted.stdout).contains("new.png  blue "), "{}", text(&predicted.stdout));
    let failed = run(&["predict", "--model", &path("model"), &path("notes.txt")]);
    assert!(!failed.status.success() && text(&failed.stderr).contains("not a picture"), "{}", text(&failed.stderr));
    // Nothing but the model and the data folder, with the features, is left beside them.
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");

    let again = run(&["train", "--dataset", &path("toys"), "--model", &path("model")]);
    assert!(!again.status.success() && text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));
}

#[test]
fn weights_are_fetched_once_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.safetensors");
    let fetch = |from: &Path| {
        run(&["weights", "fetch", "--weights", &copy.display().to_string(), "--from", &from.display().to_string()])
    };
    let fetched = fetch(&weights());
    assert!(fetched.status.success(), "{}", text(&fetched.stderr));
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(weights()).unwrap());
    assert!(fetch(Path::new("/nowhere")).status.success(), "a second fetch finds them there");

    let other = dir.path().join("other.safetensors");
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    safetensors::serialize_to_file([("block1_conv1.weight", tensor)], None, &other).unwrap();
    let target = dir.path().join("target.safetensors");
    let imported = run(&["weights", "import", &other.display().to_string(), "--weights", &target.display().to_string()]);
    assert!(!imported.status.success() && !target.exists());
    let message = text(&imported.stderr);
    assert!(message.contains("block1_conv1") && message.contains("block5_conv3"), "{message}");
}

#[test]
fn a_server_without_weights_says_how_to_get_them() {
    let output = topgraft().args(["serve", "--listen", "127.0.0.1:0", "--weights", "/nowhere.safetensors"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("topgraft weights fetch"), "{}", text(&output.stderr));
}
