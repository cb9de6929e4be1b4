//! Archives as uploads.

use serde_json::Value;

use super::cases::{Archive, Outcome, archives};
use super::guard::Guarded;
use crate::server::Server;

#[test]
fn every_archive_ends_in_a_reason_or_in_right_pictures() {
    let guarded = Guarded::start();
    let mut wrong = Vec::new();
    let mut taken = Vec::new();
    // All are sent before the first is asked for: they wait for each other, as those of many senders would.
    for case in archives() {
        match sent(&guarded.server, &case) {
            Ok(true) => taken.push((case.name, case.outcome)),
            Ok(false) => {}
            Err(what) => wrong.push(format!("{}: {what}", case.name)),
        }
    }
    for (name, outcome) in taken {
        let dataset = guarded.server.settled_dataset(&name);
        if let Err(what) = settled(&dataset, &outcome) {
            wrong.push(format!("{name}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    guarded.assert_unharmed();
}

/// Whether it was taken, and must have been.
fn sent(server: &Server, case: &Archive) -> Result<bool, String> {
    let answer = server.post(&format!("/v1/datasets?name={}", case.name), "application/octet-stream", &case.bytes);
    let body = answer.json();
    match (&case.outcome, answer.status) {
        (Outcome::Refused(code), 422) if body["code"] == *code && body["detail"].as_str().is_some_and(|d| !d.is_empty()) => {
            Ok(false)
        }
        (Outcome::Failed(_) | Outcome::Ready(..), 202) => Ok(true),
        (expected, status) => Err(format!("answered {status} {body}, expected {expected:?}")),
    }
}

/// Whether a data set came out as it must.
fn settled(dataset: &Value, outcome: &Outcome) -> Result<(), String> {
    let right = match outcome {
        Outcome::Refused(_) => false,
        Outcome::Failed(code) => dataset["state"] == "failed" && dataset["error"]["code"] == *code,
        Outcome::Ready(images, rejected) => {
            dataset["state"] == "ready" && dataset["images"] == *images && same(&dataset["rejected"], rejected)
        }
    };
    if right { Ok(()) } else { Err(format!("became {dataset}, expected {outcome:?}")) }
}

/// Whether exactly these entries were rejected, each for a reason of which this is a part.
fn same(rejected: &Value, expected: &[(&str, &str)]) -> bool {
    let Some(rejected) = rejected.as_array().filter(|rejected| rejected.len() == expected.len()) else { return false };
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    expected.iter().all(|(path, reason)| {
        rejected.iter().any(|entry| text(entry, "path").ends_with(path) && text(entry, "reason").contains(reason))
    })
}
