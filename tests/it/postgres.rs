//! The service on PostgreSQL: two servers, workers of their own, one database.

use std::process::Command;

use image::ImageFormat;
use serde_json::json;

use crate::jobs::quick;
use crate::pictures::{encoded, entries, zip};
use crate::server::{Server, signal, topgraft};

/// The address of a new database, if there is a server for tests.
pub fn database() -> Option<String> {
    let Ok(server) = std::env::var("TOPGRAFT_TEST_POSTGRES") else {
        assert!(std::env::var_os("CI").is_none(), "no PostgreSQL: CI needs one, see scripts/postgres.sh");
        eprintln!("NOT TESTED on PostgreSQL: TOPGRAFT_TEST_POSTGRES names no server");
        return None;
    };
    let name = format!("t{}", uuid::Uuid::now_v7().simple());
    let made = Command::new("psql").args([&server, "--quiet", "--command", &format!("create database {name}")]).status();
    assert!(made.unwrap().success());
    let (before, after) = server.split_once("/postgres?").unwrap();
    Some(format!("{before}/{name}?{after}&password=s3cret"))
}

#[test]
fn servers_and_workers_share_a_database() {
    let Some(url) = database() else { return };
    let migrated = topgraft().args(["migrate", "--database", &url]).output().unwrap();
    assert!(migrated.status.success() && !String::from_utf8_lossy(&migrated.stdout).contains("s3cret"), "{migrated:?}");
    let dir = tempfile::tempdir().unwrap();
    let other = Server::start_in(dir.path(), &["--database", &url, "--workers", "0"]);
    let server = Server::start_in(dir.path(), &["--database", &url, "--workers", "2"]);
    server.dataset("toys", &zip(&entries(3, 8)));

    // What one accepts, the other's workers do; one of them dies over it.
    let mut recipe = quick();
    recipe["warm_up"]["epochs"] = json!(60);
    let id = other.submit("toys", "toys", &recipe);
    other.events(&id, 0, |kind, _| kind == "epoch");
    for process in server.workers() {
        signal(process, "KILL");
    }
    let job = other.finished(&id);
    assert_eq!((&job["state"], &job["attempts"]), (&"succeeded".into(), &2.into()), "{job}\n{}", server.log());
    let epochs = server.get(&format!("/v1/jobs/{id}/epochs")).expect(200);
    let epochs = epochs.as_array().or_else(|| epochs["items"].as_array()).unwrap();
    assert_eq!(epochs.len(), 62, "each epoch is there once");
    let kinds: Vec<_> = other.events(&id, 0, |_, _| false).into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "epoch").count(), 62);

    // What one says of a model, the other knows.
    let second = other.finished(&server.submit("toys", "toys", &quick()));
    assert_eq!(second["model"]["version"], 2, "{second}");
    let picture = encoded(1, 2, ImageFormat::Png);
    let served =
        |server: &Server| server.post("/v1/models/toys/predict", "image/png", &picture).expect(200)["model"]["version"].clone();
    assert_eq!((served(&server), served(&other)), (2.into(), 2.into()));
    server.put_json("/v1/models/toys/aliases/production", &json!({"version": 1})).expect(200);
    assert_eq!((served(&server), served(&other)), (1.into(), 1.into()));

    let backup =
        topgraft().args(["backup", "--to"]).arg(dir.path().join("backup")).args(["--database", &url]).output().unwrap();
    let said = String::from_utf8(backup.stderr).unwrap();
    assert!(!backup.status.success() && said.contains("pg_dump") && !said.contains("s3cret"), "{said}");
    assert!(!server.log().contains("s3cret"), "{}", server.log());
}

#[test]
fn a_database_that_does_not_answer_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("postgres:///topgraft?host={}&password=s3cret", dir.path().display());
    let output = topgraft()
        .args(["serve", "--listen", "127.0.0.1:0", "--database", &url, "--data-dir"])
        .arg(dir.path())
        .arg("--weights")
        .arg(crate::server::weights())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("database") && !said.contains("s3cret"), "{said}");
}
