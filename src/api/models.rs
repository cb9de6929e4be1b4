//! Models: versions and the aliases that point at them.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{Json, List, PageQuery, Path, Query};
use super::{ApiError, AppState, Problem, artifacts};
use crate::artifact::{self, Manifest};
use crate::names::Name;
use crate::store::models::PRODUCTION;
use crate::store::{DatasetName, Missing, Model, ModelSummary, ModelVersion, Want};
use crate::vision::precision::Precision;

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(show_version))
        .routes(routes!(put_alias, delete_alias))
}

/// A model in a list.
#[derive(Debug, Serialize, ToSchema)]
struct ModelItem {
    name: Name,
    created_at: DateTime<Utc>,
    /// The version that answers when none is named: that of the alias `production`, else the newest.
    default_version: i64,
    newest_version: i64,
    /// How many versions there are.
    versions: u64,
    /// Aliases and the versions that they point at.
    aliases: BTreeMap<String, i64>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelBody {
    name: Name,
    created_at: DateTime<Utc>,
    /// The version that answers when none is named: that of the alias `production`, else the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_version: Option<i64>,
    /// Newest first.
    versions: Vec<VersionBody>,
    /// Aliases and the versions that they point at.
    aliases: BTreeMap<String, i64>,
}

/// A published version.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionBody {
    /// The model's name.
    model: Name,
    version: i64,
    /// The job that published it, or, as a trial of a sweep, was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Uuid>,
    /// What it was trained on; it may be deleted by now.
    dataset: DatasetName,
    /// Share of the validation pictures that it gets right.
    accuracy: f64,
    /// Arithmetic of its backbone.
    precision: Precision,
    /// How many classes it tells apart.
    classes: u32,
    created_at: DateTime<Utc>,
}

/// A published version, with all that its artifact says of it.
#[derive(Debug, Serialize, ToSchema)]
struct VersionDetail {
    #[serde(flatten)]
    version: VersionBody,
    /// The artifact's manifest: class names, backbone, preprocessing, recipe, checksums.
    manifest: Manifest,
}

/// Where an alias shall point.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AliasRequest {
    /// A version of the model.
    #[schema(example = 1)]
    version: i64,
}

/// Where an alias points.
#[derive(Debug, Serialize, ToSchema)]
struct AliasBody {
    model: Name,
    alias: Name,
    version: i64,
}

impl From<ModelSummary> for ModelItem {
    fn from(model: ModelSummary) -> Self {
        Self {
            default_version: model.aliases.get(PRODUCTION).copied().unwrap_or(model.newest),
            name: model.name,
            created_at: model.created_at,
            newest_version: model.newest,
            versions: model.versions,
            aliases: model.aliases,
        }
    }
}

impl From<Model> for ModelBody {
    fn from(model: Model) -> Self {
        let newest = model.versions.first().map(|version| version.version);
        Self {
            default_version: model.aliases.get(PRODUCTION).copied().or(newest),
            name: model.name,
            created_at: model.created_at,
            versions: model.versions.into_iter().map(VersionBody::from).collect(),
            aliases: model.aliases,
        }
    }
}

impl From<ModelVersion> for VersionBody {
    fn from(version: ModelVersion) -> Self {
        Self {
            model: version.model,
            version: version.version,
            job: version.job,
            dataset: version.dataset,
            accuracy: version.accuracy,
            precision: version.precision,
            classes: version.classes,
            created_at: version.created_at,
        }
    }
}

/// A model's name out of a path: one that can't be a name is no model's.
pub(super) fn model_name(name: &str) -> Result<Name, ApiError> {
    name.parse().map_err(|_| Missing::Model.into())
}

/// An alias out of a path or query: one that can't be a name is no alias.
pub(super) fn alias_name(alias: &str) -> Result<Name, ApiError> {
    alias.parse().map_err(|_| Missing::Alias.into())
}

/// List models, by name
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "list_models",
    tag = "models",
    params(PageQuery),
    responses((status = OK, body = List<ModelItem>)),
)]
async fn list(State(state): State<AppState>, Query(query): Query<PageQuery>) -> Result<Json<List<ModelItem>>, ApiError> {
    let models = state.store.models(query.cursor::<Name>()?.as_ref(), query.limit()?).await?;
    Ok(Json(List::new(models, |model| model.name.to_string(), ModelItem::from)))
}

/// Show a model
#[utoipa::path(
    get,
    path = "/v1/models/{name}",
    operation_id = "show_model",
    tag = "models",
    params(("name" = Name, Path, description = "The model's name")),
    responses(
        (status = OK, body = ModelBody),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn show(State(state): State<AppState>, Path(name): Path<String>) -> Result<Json<ModelBody>, ApiError> {
    Ok(Json(state.store.model(&model_name(&name)?).await?.into()))
}

/// Show a version
#[utoipa::path(
    get,
    path = "/v1/models/{name}/versions/{version}",
    tag = "models",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
    ),
    responses(
        (status = OK, body = VersionDetail),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn show_version(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
) -> Result<Json<VersionDetail>, ApiError> {
    let version = state.store.resolve(&model_name(&name)?, &Want::Version(version)).await?;
    let artifact = artifacts::of_version(&state, &version).await?;
    let dir = artifact.dir();
    let manifest = tokio::task::spawn_blocking(move || artifact::manifest(&dir)).await.map_err(ApiError::internal)??;
    Ok(Json(VersionDetail { version: version.into(), manifest }))
}

/// Point an alias at a version
///
/// Requests that name the alias are answered by that version from now on. `production` is the alias that answers requests
/// which name neither version nor alias.
#[utoipa::path(
    put,
    path = "/v1/models/{name}/aliases/{alias}",
    tag = "models",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("alias" = Name, Path, description = "The alias"),
    ),
    request_body = AliasRequest,
    responses(
        (status = OK, body = AliasBody),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such version"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn put_alias(
    State(state): State<AppState>,
    Path((name, alias)): Path<(String, String)>,
    Json(request): Json<AliasRequest>,
) -> Result<Json<AliasBody>, ApiError> {
    let model = model_name(&name)?;
    let alias: Name = alias.parse().map_err(|error| ApiError::field("alias", format!("{error}")))?;
    state.store.put_alias(&model, &alias, request.version).await?;
    Ok(Json(AliasBody { model, alias, version: request.version }))
}

/// Remove an alias
#[utoipa::path(
    delete,
    path = "/v1/models/{name}/aliases/{alias}",
    tag = "models",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("alias" = Name, Path, description = "The alias"),
    ),
    responses(
        (status = NO_CONTENT),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn delete_alias(
    State(state): State<AppState>,
    Path((name, alias)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    state.store.delete_alias(&model_name(&name)?, &alias_name(&alias)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
