//! Classifying pictures with a published version.

mod pictures;

use axum::extract::{Request, State};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Json, Path, Query};
use super::models::{alias_name, model_name};
use super::{ApiError, AppState, Problem};
use crate::inference::{Classified, ModelRef, PredictError};
use crate::names::Name;
use crate::recipe::FieldError;
use crate::store::{ModelVersion, Want};
use pictures::{Pictures, PicturesRequest};

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(by_default))
        .routes(routes!(by_model))
        .routes(routes!(by_version))
        .routes(routes!(by_alias))
}

/// What to answer with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TopQuery {
    /// How many classes, the most probable ones, to give probabilities of; all if not given.
    #[param(minimum = 1)]
    top_k: Option<usize>,
}

/// Which model to ask, and what to answer with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PredictQuery {
    /// The model; may be left out while there is only one.
    model: Option<String>,
    /// Its version; the default one if not given.
    version: Option<i64>,
    /// Its alias, in place of a version.
    alias: Option<String>,
    /// How many classes, the most probable ones, to give probabilities of; all if not given.
    #[param(minimum = 1)]
    top_k: Option<usize>,
}

/// What a model says of pictures.
#[derive(Debug, Serialize, ToSchema)]
struct Predictions {
    /// Who says it.
    model: Answerer,
    /// One for each picture, in their order.
    predictions: Vec<Prediction>,
}

/// A model's version.
#[derive(Debug, Serialize, ToSchema)]
struct Answerer {
    #[schema(value_type = String)]
    name: Name,
    version: i64,
}

/// What a model says of a picture.
#[derive(Debug, Serialize, ToSchema)]
struct Prediction {
    /// The most probable class.
    label: String,
    /// Its probability.
    probability: f32,
    /// Each class's probability, the most probable first.
    #[schema(value_type = BTreeMap<String, f32>)]
    probabilities: Ranked,
}

/// Classes and their probabilities, the most probable first, as a JSON object in that order.
#[derive(Debug)]
struct Ranked(Vec<(String, f32)>);

impl Serialize for Ranked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (class, probability) in &self.0 {
            map.serialize_entry(class, probability)?;
        }
        map.end()
    }
}

impl Prediction {
    fn of(classified: &Classified, top_k: usize) -> Result<Self, ApiError> {
        let named = classified.classes.iter().cloned().zip(classified.probabilities.iter().copied());
        let mut ranked: Vec<(String, f32)> = named.collect();
        // A stable sort: classes that are equally probable keep the model's order.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (label, probability) = ranked.first().cloned().ok_or_else(|| ApiError::internal("a model without classes"))?;
        ranked.truncate(top_k);
        Ok(Self { label, probability, probabilities: Ranked(ranked) })
    }
}

/// Classify pictures with the default model
///
/// The body is a picture, or a form with one or more picture files, or JSON with pictures in base64.
#[utoipa::path(
    post,
    path = "/predict",
    tag = "predict",
    params(PredictQuery),
    request_body(content((Vec<u8> = "image/*"), (String = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such model"),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "A picture that can't be used; or no model named while there are several"),
        (status = TOO_MANY_REQUESTS, body = Problem, content_type = "application/problem+json", description = "Try again"),
    ),
)]
async fn by_default(
    State(state): State<AppState>,
    Query(query): Query<PredictQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    let name = match &query.model {
        Some(name) => model_name(name)?,
        None => only_model(&state).await?,
    };
    let want = match (query.version, &query.alias) {
        (Some(_), Some(_)) => return Err(ApiError::field("alias", "can't be given together with version: leave one out")),
        (Some(version), None) => Want::Version(version),
        (None, Some(alias)) => Want::Alias(alias_name(alias)?),
        (None, None) => Want::Default,
    };
    answer(&state, &name, &want, query.top_k, request).await
}

/// Classify pictures with a model's default version
#[utoipa::path(
    post,
    path = "/v1/models/{name}/predict",
    tag = "predict",
    params(("name" = String, Path, description = "The model's name"), TopQuery),
    request_body(content((Vec<u8> = "image/*"), (String = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_model(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<TopQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Default, query.top_k, request).await
}

/// Classify pictures with a version
#[utoipa::path(
    post,
    path = "/v1/models/{name}/versions/{version}/predict",
    tag = "predict",
    params(
        ("name" = String, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
        TopQuery,
    ),
    request_body(content((Vec<u8> = "image/*"), (String = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_version(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
    Query(query): Query<TopQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Version(version), query.top_k, request).await
}

/// Classify pictures with the version that an alias points at
#[utoipa::path(
    post,
    path = "/v1/models/{name}/aliases/{alias}/predict",
    tag = "predict",
    params(
        ("name" = String, Path, description = "The model's name"),
        ("alias" = String, Path, description = "The alias"),
        TopQuery,
    ),
    request_body(content((Vec<u8> = "image/*"), (String = "multipart/form-data"), (PicturesRequest = "application/json"))),
    responses(
        (status = OK, body = Predictions),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "As at /predict"),
    ),
)]
async fn by_alias(
    State(state): State<AppState>,
    Path((name, alias)): Path<(String, String)>,
    Query(query): Query<TopQuery>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    answer(&state, &model_name(&name)?, &Want::Alias(alias_name(&alias)?), query.top_k, request).await
}

/// The model that is meant when none is named.
async fn only_model(state: &AppState) -> Result<Name, ApiError> {
    let models = state.store.models(None, 2).await?.items;
    match models.as_slice() {
        [] => Err(ApiError::new(
            axum::http::StatusCode::NOT_FOUND,
            "model_not_found",
            "there is no model yet: train one with POST /v1/jobs",
        )),
        [model] => Ok(model.name.clone()),
        _ => Err(ApiError::field("model", "must name one of the models that GET /v1/models lists: there are several")),
    }
}

async fn answer(
    state: &AppState,
    name: &Name,
    want: &Want,
    top_k: Option<usize>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    if top_k == Some(0) {
        return Err(ApiError::field("top_k", "must be at least 1"));
    }
    // Before the body is read: whoever asks for a model that isn't there needn't send pictures.
    let version = state.store.resolve(name, want).await?;
    let pictures = Pictures::read(request, &state.settings).await?;
    let model = reference(state, &version);
    let fields = pictures.fields;
    let results = state.predictor.predict(&model, pictures.bytes).await;
    let classified = all_or_errors(results, &fields)?;
    let top_k = top_k.unwrap_or(usize::MAX);
    let predictions = classified.iter().map(|classified| Prediction::of(classified, top_k)).collect::<Result<_, _>>()?;
    Ok(Json(Predictions { model: Answerer { name: version.model, version: version.version }, predictions }))
}

fn reference(state: &AppState, version: &ModelVersion) -> ModelRef {
    let dir = state.settings.model_dir(&version.model, version.version);
    ModelRef { name: version.model.to_string(), version: version.version, dir }
}

/// Every picture's answer; or, if any has none, why: a request is answered whole or not at all. Trouble that isn't a
/// picture's comes first, as sending other pictures wouldn't help.
fn all_or_errors(results: Vec<Result<Classified, PredictError>>, fields: &[String]) -> Result<Vec<Classified>, ApiError> {
    let (mut classified, mut errors) = (Vec::with_capacity(results.len()), Vec::new());
    for (result, field) in results.into_iter().zip(fields) {
        match result {
            Ok(answer) => classified.push(answer),
            Err(PredictError::Picture(error)) => {
                errors.push(FieldError { field: field.clone(), message: error.to_string() });
            }
            Err(other) => return Err(other.into()),
        }
    }
    match errors.as_slice() {
        [] => Ok(classified),
        [only] => {
            let detail = format!("{}: {}", only.field, only.message);
            Err(ApiError::unprocessable("unusable_picture", detail).with_errors(errors))
        }
        _ => {
            let detail = format!("{} of {} pictures can't be used: see errors", errors.len(), fields.len());
            Err(ApiError::unprocessable("unusable_picture", detail).with_errors(errors))
        }
    }
}

#[cfg(test)]
mod tests;
