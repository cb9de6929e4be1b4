//! Training: the form, the list, a job as it goes, several side by side.

use axum::extract::{Path, Query, RawQuery};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Page;
use super::client::{Refused, form};
use crate::recipe::Preset;
use crate::report::Epoch;
use crate::vision::layers::CONVS;
use crate::web::views::recipe_differences;

/// The most data sets and models that the form offers.
const OFFERED: &str = "200";
/// The most jobs on one chart: more curves nobody tells apart.
const COMPARED: usize = 6;

/// What the form begins with.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    dataset: Option<String>,
}

/// Which jobs.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    state: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn train(page: Page, Query(Wanted { dataset }): Query<Wanted>) -> Response {
    let content = train_form(&page, dataset.as_deref()).await;
    page.answer("train.html", content)
}

async fn train_form(page: &Page, wanted: Option<&str>) -> Result<Value, Refused> {
    let offered = [("limit", Some(OFFERED))];
    let datasets = page.api.get(&["datasets"], &offered).await?;
    let ready = items(&datasets).filter(|dataset| dataset["state"] == "ready");
    let count = |dataset: &Value| dataset["classes"].as_array().map_or(0, Vec::len);
    let mut datasets: Vec<Value> = ready
        .map(|dataset| json!({"id": dataset["id"], "name": dataset["name"], "images": dataset["images"], "classes": count(dataset)}))
        .collect();
    if let Some(wanted) = wanted
        && !datasets.iter().any(|dataset| dataset["name"] == wanted || dataset["id"] == wanted)
        && let Some(older) = page.api.find(&["datasets", wanted], &[]).await?.filter(|dataset| dataset["state"] == "ready")
    {
        datasets.push(json!({"id": older["id"], "name": older["name"], "images": older["images"], "classes": count(&older)}));
    }
    let models = page.api.get(&["models"], &offered).await?;
    let models: Vec<&Value> = items(&models).map(|model| &model["name"]).collect();
    let recipes = page.api.get(&["recipes"], &[]).await?;
    let recipes: serde_json::Map<String, Value> =
        items(&recipes).filter_map(|one| Some((one["name"].as_str()?.to_owned(), one["recipe"].clone()))).collect();
    let presets = Preset::ALL.map(described);
    let layers: Vec<&str> = CONVS.iter().map(|conv| conv.name).chain(["none"]).collect();
    Ok(
        json!({"datasets": datasets, "models": models, "recipes": recipes, "presets": presets, "layers": layers, "wanted": wanted.unwrap_or_default()}),
    )
}

/// A preset, for people.
#[derive(Debug, Serialize)]
struct Described {
    name: Preset,
    title: &'static str,
    help: &'static str,
}

const fn described(name: Preset) -> Described {
    let (title, help) = match name {
        Preset::Balanced => ("Balanced", "What suits most data sets: good in minutes."),
        Preset::Thorough => {
            ("Thorough", "More pixels, more views, more epochs: the best result, three to five times the time.")
        }
        Preset::Classic => ("Classic", "The two-phase recipe known from Keras, to compare with."),
    };
    Described { name, title, help }
}

pub(super) async fn list(page: Page, Query(Listed { state, cursor }): Query<Listed>) -> Response {
    let content = async {
        let state = state.filter(|state| !state.is_empty());
        let query = [("limit", Some("50")), ("state", state.as_deref()), ("cursor", cursor.as_deref())];
        let jobs = page.api.get(&["jobs"], &query).await?;
        Ok(json!({"jobs": jobs, "state": state}))
    };
    page.answer("jobs.html", content.await)
}

pub(super) async fn show(page: Page, Path(id): Path<String>) -> Response {
    let content = async {
        let job = page.api.get(&["jobs", &id], &[]).await?;
        let epochs = page.api.get(&["jobs", &id, "epochs"], &[]).await?;
        Ok(json!({"job": job, "epochs": epochs["items"]}))
    };
    page.answer("job.html", content.await)
}

/// A job on the chart.
#[derive(Debug, Serialize)]
struct Compared {
    id: Value,
    name: String,
    state: Value,
    dataset: Value,
    accuracy: Option<f64>,
    seconds: f64,
    epochs: Vec<Epoch>,
}

/// `?job=…&job=…`
pub(super) async fn compare(page: Page, RawQuery(query): RawQuery) -> Response {
    let content = compared(&page, query.as_deref().unwrap_or_default()).await;
    page.answer("compare.html", content)
}

async fn compared(page: &Page, query: &str) -> Result<Value, Refused> {
    let chosen = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "job").map(|(_, id)| id.into_owned());
    let (mut jobs, mut recipes) = (Vec::new(), Vec::new());
    for id in chosen.take(COMPARED) {
        let job = page.api.get(&["jobs", &id], &[]).await?;
        let mut epochs = page.api.get(&["jobs", &id, "epochs"], &[]).await?;
        let epochs: Vec<Epoch> = form(epochs["items"].take())?;
        recipes.push(form(job["recipe"].clone())?);
        jobs.push(Compared {
            name: name(&job, jobs.len()),
            id: job["id"].clone(),
            state: job["state"].clone(),
            dataset: job["dataset"]["name"].clone(),
            accuracy: epochs.last().map(|epoch| epoch.val_accuracy),
            seconds: epochs.iter().map(|epoch| epoch.seconds).sum(),
            epochs,
        });
    }
    Ok(json!({"jobs": jobs, "differences": recipe_differences(&recipes)}))
}

/// What a job is called on the chart: its version, or, before it has one, its place.
fn name(job: &Value, place: usize) -> String {
    let model = job["model"]["name"].as_str().unwrap_or_default();
    match job["model"]["version"].as_i64() {
        Some(version) => format!("{model} {version}"),
        None => format!("{model}, job {}", place + 1),
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}
