//! Models: versions and aliases, reports, two versions side by side, asking one.

use axum::extract::{Path, Query, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Page;
use super::client::{Client, Refused, form};
use super::datasets::Paged;
use crate::report::PhaseReport;
use crate::web::views::{Said, class_pairs, confused, differing, matrix};

/// Pictures of one cell of the confusion matrix, and of the surest mistakes, on a page.
const PICTURES: &str = "24";
/// Pictures of which two versions say different things, on a page.
const DIFFERING: usize = 48;
/// Pages of predictions that two versions are compared on: as many pictures as five hundred times that.
const PAGES: usize = 20;

/// What of a report is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Looked {
    /// A cell of the confusion matrix.
    label: Option<String>,
    predicted: Option<String>,
    cursor: Option<String>,
    /// The class whose thresholds are shown.
    class: Option<String>,
}

/// Which model to ask.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    model: Option<String>,
    version: Option<i64>,
}

pub(super) async fn list(page: Page, Query(Paged { cursor }): Query<Paged>) -> Response {
    let content = async {
        let query = [("limit", Some("50")), ("cursor", cursor.as_deref())];
        Ok(json!({"models": page.api.get(&["models"], &query).await?}))
    };
    page.answer("models.html", content.await)
}

pub(super) async fn show(page: Page, Path(name): Path<String>) -> Response {
    let content = async { Ok(json!({"model": page.api.get(&["models", &name], &[]).await?})) };
    page.answer("model.html", content.await)
}

pub(super) async fn version(
    page: Page,
    Path((name, version)): Path<(String, String)>,
    Query(looked): Query<Looked>,
) -> Response {
    let content = report(&page.api, &name, &version, &looked).await;
    page.answer("version.html", content)
}

async fn report(api: &Client, name: &str, version: &str, looked: &Looked) -> Result<Value, Refused> {
    let at = |what: &'static str| ["models", name, "versions", version, what];
    let detail = api.get(&["models", name, "versions", version], &[]).await?;
    let report = api.get(&at("report"), &[("predictions", Some("false"))]).await?;
    let last = last_phase(&report)?;
    let mistakes = [("wrong", Some("true")), ("order", Some("probability")), ("limit", Some(PICTURES))];
    let wrong = api.get(&at("predictions"), &mistakes).await?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (label, predicted, class) = (given(&looked.label), given(&looked.predicted), given(&looked.class));
    let cell = match (&label, &predicted) {
        (Some(label), Some(predicted)) => {
            let (label, predicted) = (Some(label.as_str()), Some(predicted.as_str()));
            let query =
                [("label", label), ("predicted", predicted), ("limit", Some(PICTURES)), ("cursor", looked.cursor.as_deref())];
            Some(api.get(&at("predictions"), &query).await?)
        }
        _ => None,
    };
    let thresholds = api.get(&at("thresholds"), &[("label", class.as_deref())]).await?;
    let dataset = dataset_of(api, &detail).await?;
    let (confusion, confused) = (matrix(&last), confused(&last));
    Ok(
        json!({"version": detail, "report": report, "last": last, "wrong": wrong, "label": label, "predicted": predicted, "class": class, "cell": cell, "thresholds": thresholds, "dataset": dataset, "confusion": confusion, "confused": confused}),
    )
}

/// The report of the phase whose weights are published.
fn last_phase(report: &Value) -> Result<PhaseReport, Refused> {
    form(report["phases"].as_array().and_then(|phases| phases.last()).cloned().unwrap_or_default())
}

/// The id of the data set that a version was trained on, if that is still there and may be seen.
async fn dataset_of(api: &Client, detail: &Value) -> Result<Option<Value>, Refused> {
    let Some(id) = detail["dataset"]["id"].as_str() else { return Ok(None) };
    Ok(api.find(&["datasets", id], &[]).await?.map(|dataset| dataset["id"].clone()))
}

/// `?version=1&version=2`
pub(super) async fn compare(page: Page, Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let content = compared(&page.api, &name, query.as_deref().unwrap_or_default()).await;
    page.answer("versions.html", content)
}

async fn compared(api: &Client, name: &str, query: &str) -> Result<Value, Refused> {
    let given = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "version");
    let mut versions: Vec<i64> = given.filter_map(|(_, version)| version.parse().ok()).collect();
    versions.sort_unstable();
    let [a, b] = versions[..] else {
        let detail = format!("Choose two versions of {name} to compare.");
        return Err(Refused { status: StatusCode::BAD_REQUEST, detail });
    };
    let (a, b) = (side(api, name, a).await?, side(api, name, b).await?);
    let same = a.detail["dataset"]["id"] == b.detail["dataset"]["id"];
    let (common, differ) = match same {
        true => differing(&said(api, name, &a.number).await?, &said(api, name, &b.number).await?),
        false => (0, Vec::new()),
    };
    let dataset = dataset_of(api, &a.detail).await?;
    let shown = &differ[..differ.len().min(DIFFERING)];
    let classes = class_pairs(&a.last.classes, &b.last.classes);
    Ok(
        json!({"name": name, "a": a.context(), "b": b.context(), "classes": classes, "common": common, "dataset": dataset, "differing": differ.len(), "differ": shown}),
    )
}

/// One of two versions.
struct Side {
    number: String,
    detail: Value,
    last: PhaseReport,
}

impl Side {
    fn context(&self) -> Value {
        let resize = &self.detail["manifest"]["preprocessing"]["resize"];
        json!({"version": self.detail["version"], "accuracy": self.last.accuracy, "resize": resize})
    }
}

async fn side(api: &Client, name: &str, version: i64) -> Result<Side, Refused> {
    let number = version.to_string();
    let detail = api.get(&["models", name, "versions", &number], &[]).await?;
    let report = api.get(&["models", name, "versions", &number, "report"], &[("predictions", Some("false"))]).await?;
    Ok(Side { last: last_phase(&report)?, number, detail })
}

/// What a version said of its validation pictures; of very many, the first.
async fn said(api: &Client, name: &str, version: &str) -> Result<Vec<Said>, Refused> {
    let (mut said, mut cursor) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let query = [("limit", Some("500")), ("cursor", cursor.as_deref())];
        let mut page = api.get(&["models", name, "versions", version, "predictions"], &query).await?;
        said.extend(form::<Vec<Said>>(page["items"].take())?);
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(said)
}

pub(super) async fn ask(page: Page, Query(asked): Query<Asked>) -> Response {
    let content = askable(&page.api, &asked).await;
    page.answer("try.html", content)
}

async fn askable(api: &Client, asked: &Asked) -> Result<Value, Refused> {
    let models = api.get(&["models"], &[("limit", Some("500"))]).await?;
    let names: Vec<&str> =
        models["items"].as_array().into_iter().flatten().filter_map(|model| model["name"].as_str()).collect();
    let Some(name) = asked.model.as_deref().or(names.first().copied()) else {
        return Ok(json!({"models": names}));
    };
    let model = api.get(&["models", name], &[]).await?;
    let versions: Vec<&Value> = model["versions"].as_array().into_iter().flatten().map(|one| &one["version"]).collect();
    let answering = asked.version.or(model["default_version"].as_i64()).unwrap_or_default().to_string();
    let version = api.get(&["models", name, "versions", &answering], &[]).await?;
    let dataset = dataset_of(api, &version).await?;
    Ok(
        json!({"models": names, "name": name, "versions": versions, "wanted": asked.version, "version": version, "dataset": dataset}),
    )
}
