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
    recipe["warm_up"]["epochs"] = json!(120);
    let id = other.submit("toys", "toys", &recipe);
    other.events(&id, 0, |kind, _| kind == "epoch");
    for process in server.workers() {
        signal(process, "KILL");
    }
    let job = other.finished(&id);
    assert_eq!((&job["state"], &job["attempts"]), (&"succeeded".into(), &2.into()), "{job}\n{}", server.log());
    let epochs = server.get(&format!("/v1/jobs/{id}/epochs")).expect(200);
    let epochs = epochs.as_array().or_else(|| epochs["items"].as_array()).unwrap();
    assert_eq!(epochs.len(), 122, "each epoch is there once");
    let kinds: Vec<_> = other.events(&id, 0, |_, _| false).into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "epoch").count(), 122);

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

/// What `topgraft migrate` says to a database.
fn migrated(url: &str) -> Result<(), String> {
    let output = topgraft().args(["migrate", "--database", url]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn a_connection_may_be_encrypted_and_only_goes_to_whom_it_should() {
    let Some(plain) = database() else { return };
    let Ok(server) = std::env::var("TOPGRAFT_TEST_POSTGRES_TLS") else {
        assert!(std::env::var_os("CI").is_none(), "no encryption: CI needs openssl, see scripts/postgres.sh");
        eprintln!("NOT TESTED with encryption: TOPGRAFT_TEST_POSTGRES_TLS names no server");
        return;
    };
    let name = plain.split_once("?").unwrap().0.rsplit('/').next().unwrap();
    let url = server.replace("/postgres?", &format!("/{name}?"));
    let (address, certificate) = url.split_once("?sslrootcert=").unwrap();
    // The server takes no connection from the network that isn't encrypted.
    let refused = migrated(&format!("{address}?sslmode=disable")).unwrap_err();
    assert!(refused.contains("no encryption"), "{refused}");
    migrated(&format!("{address}?sslmode=verify-full&sslrootcert={certificate}")).unwrap();
    migrated(&format!("{address}?sslmode=require")).unwrap();
    // Nobody vouches for it but itself, and not for this name.
    let unknown = migrated(&format!("{address}?sslmode=verify-full")).unwrap_err();
    assert!(unknown.contains("certificate"), "{unknown}");
    let elsewhere = address.replace("127.0.0.1", "localhost");
    let other = migrated(&format!("{elsewhere}?sslmode=verify-full&sslrootcert={certificate}")).unwrap_err();
    assert!(other.contains("certificate"), "{other}");
}

#[test]
fn a_server_needs_no_right_to_change_tables() {
    let Some(owner) = database() else { return };
    migrated(&owner).unwrap();
    let role = format!("r{}", uuid::Uuid::now_v7().simple());
    let grants = format!(
        "create role {role} login; grant select, insert, update, delete on all tables in schema public to {role};
         revoke create on schema public from public"
    );
    let granted = Command::new("psql").args([&owner, "--quiet", "--command", &grants]).status().unwrap();
    assert!(granted.success());
    let url = owner.replace("user=topgraft", &format!("user={role}"));
    let denied = Command::new("psql").args([&url, "--quiet", "--command", "create table t (n int)"]).status().unwrap();
    assert!(!denied.success(), "the role can't make tables");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &["--database", &url]);
    assert_eq!(server.trained("toys", &quick())["state"], "succeeded");
    assert_eq!(server.delete("/v1/datasets/toys").status, 204);
}
