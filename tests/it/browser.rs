//! The page in a browser, against the real server with the real weights: what people do, from a folder to an answer.

use std::path::PathBuf;
use std::process::Command;

use image::ImageFormat;

use crate::pictures::{encoded, entries};
use crate::server::Server;

/// What drives the browser, and axe-core; nothing where there is no browser, which `make test` has said aloud.
fn tools() -> Option<(PathBuf, PathBuf)> {
    let found = Some((std::env::var_os("TOPGRAFT_TEST_PYTHON")?.into(), std::env::var_os("TOPGRAFT_TEST_AXE")?.into()));
    found.filter(|(_, axe): &(PathBuf, PathBuf)| axe.is_file())
}

#[test]
fn people_upload_a_folder_watch_it_train_look_and_ask() {
    let Some((python, axe)) = tools() else {
        assert!(std::env::var_os("CI").is_none(), "no browser: CI needs one, see scripts/browser.sh");
        eprintln!("NOT TESTED: there is no browser; scripts/browser.sh says what to install");
        return;
    };
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in entries(3, 12) {
        let file = dir.path().join("pictures").join(path.strip_prefix("toys/").unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    std::fs::write(dir.path().join("picture.png"), encoded(1, 40, ImageFormat::Png)).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/browser.py");
    let done = Command::new(python).arg(script).arg(&server.address).arg(dir.path()).arg(axe).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{err}");
    println!("{out}");
}
