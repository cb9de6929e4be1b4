//! Keys, made by the program, for a server that asks for them.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::server::{Server, topgraft, wait_for, weights};

fn keys(data: &Path, args: &[&str]) -> Output {
    topgraft().arg("keys").args(args).arg("--data-dir").arg(data).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A new key; what is said of it must not repeat it.
fn create(data: &Path, args: &[&str]) -> String {
    let output = keys(data, &[&["create"], args].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let key = text(&output.stdout).trim_end().to_owned();
    assert!(key.starts_with("tg_") && key.len() == 55 && !said.contains(&key[12..]), "{key}: {said}");
    assert!(said.contains(&key[3..11]), "it says which key it is: {said}");
    key
}

fn listed(data: &Path) -> Vec<Value> {
    let output = keys(data, &["list", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

#[test]
fn an_open_address_without_a_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |flags: &[&str]| {
        let mut command = topgraft();
        command.args(["serve", "--workers", "0", "--weights"]).arg(weights()).arg("--data-dir").arg(dir.path()).args(flags);
        command.output().unwrap()
    };
    for flags in [&["--listen", "0.0.0.0:0"][..], &["--listen", "127.0.0.1:0", "--auth", "required"]] {
        let refused = serve(flags);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{flags:?}");
        assert!(said.contains("topgraft keys create") && said.contains("--auth off"), "{said}");
    }
    assert!(!serve(&["--auth", "perhaps"]).status.success());
}

#[test]
fn keys_are_made_and_revoked_beside_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let first = create(data, &["--name", "first", "--scope", "predict", "--scope", "train", "--expires-days", "30"]);
    let server = Server::start_in(data, &["--workers", "0", "--auth", "required"]);
    server.get("/v1/jobs").problem(401, "unauthenticated");
    let get = |path: &str, key: &str| server.get_with(path, &[("authorization", &bearer(key))]);
    get("/v1/jobs", &first).expect(200);
    get("/v1/audit", &first).problem(403, "forbidden");

    let admin = create(data, &["--name", "admin", "--scope", "admin", "--requests-per-minute", "600"]);
    let limited = ["--name", "limited", "--scope", "train", "--max-stored-bytes", "0", "--max-queued-jobs", "3"];
    let limited = create(data, &limited);
    let refused = server.post_with("/v1/datasets?name=a", &[("x-api-key", &limited)], b"not much");
    refused.problem(403, "quota_exceeded");
    let entry = &get("/v1/audit", &admin).expect(200)["items"][0];
    assert_eq!((&entry["key"]["name"], &entry["status"]), (&"limited".into(), &403.into()), "{entry}");

    let revoked = keys(data, &["revoke", &first[3..11]]);
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    let detail = get("/v1/jobs", &first).problem(401, "unauthenticated");
    assert!(detail.contains("revoked"), "{detail}");

    // How they were used is written down behind the answers.
    wait_for("the uses", || listed(data).iter().all(|key| key["last_used_at"].is_string()).then_some(()));
    let keys_listed = listed(data);
    let row = |key: &Value| format!("{} {} {}", key["name"], key["scopes"], key["state"]);
    assert_eq!(
        keys_listed.iter().map(row).collect::<Vec<_>>(),
        [r#""first" ["predict","train"] "revoked""#, r#""admin" ["admin"] "usable""#, r#""limited" ["train"] "usable""#,]
    );
    assert!(keys_listed.iter().all(|key| key.get("hash").is_none()));
    assert!(keys_listed[0]["expires_at"].is_string() && keys_listed[1]["expires_at"].is_null());
    let table = text(&keys(data, &["list"]).stdout);
    assert!(table.starts_with("ID ") && table.contains("predict, train") && table.contains("0 bytes, 3 jobs"), "{table}");
    let log = server.log();
    assert!([&first, &admin, &limited].iter().all(|key| !log.contains(&key[12..])), "{log}");
}

/// Everything that is logged at all, by whatever crate.
#[test]
fn secrets_are_in_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let key = create(data, &["--name", "right", "--scope", "train"]);
    // Of the one, with the secret of another.
    let wrong = format!("{}{}", &key[..12], &create(data, &["--name", "other", "--scope", "train"])[12..]);
    let flags = ["--workers", "0", "--auth", "required"];
    let server = Server::start_among(data, &flags, &[("RUST_LOG", "trace".to_owned())]);
    for (sent, status, without_scope) in [(&key, 404, 403), (&wrong, 401, 401)] {
        let headers = [("authorization", &*bearer(sent)), ("content-type", "application/json")];
        server.get_with(&format!("/v1/jobs/{}?key={sent}", uuid::Uuid::nil()), &headers).expect(status);
        server.post_with("/v1/jobs", &headers, br#"{"dataset": "d", "model": "m"}"#).expect(status);
        server.delete_with("/v1/models/m/aliases/a", &headers).expect(without_scope);
    }
    let log = server.log();
    assert!(log.contains("DEBUG") && log.contains("/v1/jobs") && log.contains(&format!("key={}", &key[3..11])), "{log}");
    assert!(!log.contains(&key[12..]) && !log.contains(&wrong[12..]), "{log}");
}

#[test]
fn what_can_not_be_a_key_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    for (args, reason) in [
        (&["create", "--name", "a"][..], "--scope"),
        (&["create", "--name", "a", "--scope", "root"], "predict"),
        (&["create", "--name", "a b", "--scope", "train"], "letters"),
        (&["create", "--name", "a", "--scope", "train", "--requests-per-minute", "0"], "0"),
        (&["revoke", "xyz"], "8 hexadecimal digits"),
        (&["revoke", "00000000"], "no such key"),
    ] {
        let output = keys(dir.path(), args);
        let said = text(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty() && said.contains(reason), "{args:?}: {said}");
    }
    assert!(listed(dir.path()).is_empty());
}
