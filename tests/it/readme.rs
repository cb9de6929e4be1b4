//! Every command of the README's curl tour, run as it stands there.
//!
//! The tour's shell blocks run in one shell, in order, against a real server; only the address, and a recipe that takes
//! seconds, are put in the place of those in the text.

use std::process::Command;

use crate::pictures::{entries, zip};
use crate::server::Server;

const README: &str = include_str!("../../README.md");
const ADDRESS: &str = "http://127.0.0.1:8080";
/// Begins and ends the tour.
const BEGIN: &str = "<!-- tour -->";
const END: &str = "<!-- end of tour -->";

/// The shell blocks between the marks, as one script.
fn tour() -> String {
    let (_, rest) = README.split_once(BEGIN).expect("the README marks where the tour begins");
    let (tour, _) = rest.split_once(END).expect("the README marks where the tour ends");
    let blocks = tour.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix("sh\n")).collect::<Vec<_>>().concat()
}

#[test]
fn the_curl_tour_runs() {
    let tour = tour();
    assert!(tour.matches("curl").count() >= 8, "{tour}");
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flowers.zip"), zip(&entries(3, 8))).unwrap();
    std::fs::write(dir.path().join("picture.jpg"), crate::pictures::encoded(0, 3, image::ImageFormat::Jpeg)).unwrap();
    let recipe = "\"preset\": \"classic\", \"warm_up\": {\"epochs\": 2}, \"fine_tune\": {\"epochs\": 1}";
    let script = tour.replace(ADDRESS, &server.address).replace("\"fine_tune\": {\"epochs\": 12}", recipe);
    assert!(script.contains(recipe), "the tour's recipe isn't the one that this test shortens");
    // --fail: an answer of 4xx or 5xx ends the script.
    let script = format!("set -eu\ncurl() {{ command curl --fail-with-body --silent --show-error \"$@\"; }}\n{script}");
    let output = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("\"probability\"") && stdout.contains("weighted avg"), "{stdout}\n{stderr}");
}
