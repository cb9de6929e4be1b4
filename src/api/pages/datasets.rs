//! Data sets and their audits.

use axum::extract::{Path, Query};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Page;
use super::client::Refused;
use crate::dataset::audit::FindingKind;

/// Pictures of a page, before its script fetches more.
const PICTURES: &str = "24";
/// Classes with a bar of their own.
const CLASSES: usize = 200;
/// Rejected entries that are shown.
const REJECTED: usize = 100;
/// Findings of a page.
const FINDINGS: &str = "20";

/// Which page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Paged {
    pub cursor: Option<String>,
}

/// Which pictures.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    label: Option<String>,
    cursor: Option<String>,
}

/// Which findings.
#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    kind: Option<FindingKind>,
    cursor: Option<String>,
}

pub(super) async fn list(page: Page, Query(Paged { cursor }): Query<Paged>) -> Response {
    let content = async {
        let query = [("limit", Some("50")), ("cursor", cursor.as_deref())];
        Ok(json!({"datasets": page.api.get(&["datasets"], &query).await?}))
    };
    page.answer("datasets.html", content.await)
}

pub(super) async fn show(page: Page, Path(id): Path<String>, Query(shown): Query<Shown>) -> Response {
    let content = dataset(&page, &id, &shown).await;
    page.answer("dataset.html", content)
}

async fn dataset(page: &Page, id: &str, Shown { label, cursor }: &Shown) -> Result<Value, Refused> {
    let dataset = page.api.get(&["datasets", id], &[]).await?;
    let audit = page.api.find(&["datasets", id, "audit"], &[]).await?;
    let (label, cursor) = (label.as_deref().filter(|label| !label.is_empty()), cursor.as_deref());
    let query = [("limit", Some(PICTURES)), ("label", label), ("cursor", cursor)];
    let images = match dataset["state"] == "ready" {
        true => Some(page.api.get(&["datasets", id, "images"], &query).await?),
        false => None,
    };
    let classes = dataset["classes"].as_array().cloned().unwrap_or_default();
    let largest = classes.iter().filter_map(|class| class["images"].as_u64()).max().unwrap_or(1).max(1);
    let shown_classes: Vec<&Value> = classes.iter().take(CLASSES).collect();
    Ok(
        json!({"dataset": dataset, "audit": audit, "images": images, "label": label, "largest": largest, "shown_classes": shown_classes, "shown_rejected": REJECTED}),
    )
}

/// A kind of findings, for people.
#[derive(Debug, Clone, Copy, Serialize)]
struct Kind {
    kind: FindingKind,
    title: &'static str,
    help: &'static str,
}

const fn described(kind: FindingKind) -> Kind {
    let (title, help) = match kind {
        FindingKind::ConflictingDuplicates => {
            ("Copies with different labels", "These show the same and are in several classes: all labels but one are wrong.")
        }
        FindingKind::LabelSuspect => (
            "Labels that look wrong",
            "Models that never saw these find another class more probable. The surest come first: half of them are usually right.",
        ),
        FindingKind::Duplicates => ("Copies", "These show the same. Training counts each; the split keeps them on one side."),
        FindingKind::Outlier => ("Unlike all others", "These are far from everything else: do they belong here at all?"),
        FindingKind::AlikeClasses => ("Classes that are alike", "A tenth or more of one is taken for the other."),
        FindingKind::SmallClass => ("Small classes", "Fewer than 20 pictures: bring more."),
        FindingKind::TinyPicture => ("Tiny pictures", "Fewer pixels than the network sees."),
    };
    Kind { kind, title, help }
}

pub(super) async fn audit(page: Page, Path(id): Path<String>, Query(chosen): Query<Chosen>) -> Response {
    let content = audited(&page, &id, &chosen).await;
    page.answer("audit.html", content)
}

async fn audited(page: &Page, id: &str, chosen: &Chosen) -> Result<Value, Refused> {
    let dataset = page.api.get(&["datasets", id], &[]).await?;
    let audit = page.api.find(&["datasets", id, "audit"], &[]).await?;
    let kinds = FindingKind::ALL.map(described);
    let found = |kind: &FindingKind| {
        audit.as_ref().is_some_and(|audit| audit["summary"]["findings"][kind.as_str()].as_u64().is_some_and(|count| count > 0))
    };
    let kind = chosen.kind.or_else(|| FindingKind::ALL.into_iter().find(found));
    let findings = match kind {
        Some(kind) if audit.as_ref().is_some_and(|audit| audit["state"] == "ready") => {
            let query = [("limit", Some(FINDINGS)), ("kind", Some(kind.as_str())), ("cursor", chosen.cursor.as_deref())];
            Some(page.api.get(&["datasets", id, "audit", "findings"], &query).await?)
        }
        _ => None,
    };
    Ok(json!({"dataset": dataset, "audit": audit, "kinds": kinds, "chosen": kind.map(described), "findings": findings}))
}
