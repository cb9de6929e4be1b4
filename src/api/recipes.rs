//! Recipes: the presets, and what one comes to that is filled in by them.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Json;
use super::{ApiError, AppState, Problem};
use crate::recipe::{Preset, Recipe, RecipeRequest};

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, resolve))
}

/// The presets.
#[derive(Debug, Serialize, ToSchema)]
struct Presets {
    items: Vec<PresetBody>,
}

/// A preset.
#[derive(Debug, Serialize, ToSchema)]
struct PresetBody {
    name: Preset,
    /// Its values, whole.
    recipe: Recipe,
}

/// List the presets, with their values
#[utoipa::path(
    get,
    path = "/v1/recipes",
    operation_id = "list_recipes",
    tag = "jobs",
    responses((status = OK, body = Presets)),
)]
async fn list() -> Json<Presets> {
    let items = Preset::ALL.map(|name| PresetBody { name, recipe: name.recipe() });
    Json(Presets { items: items.into() })
}

/// Check a recipe
///
/// Answers what it comes to, whole, with the values of its preset where it gives none, or every field that must change. Nothing is trained: a
/// form asks this while it is filled in.
#[utoipa::path(
    post,
    path = "/v1/recipes",
    operation_id = "check_recipe",
    tag = "jobs",
    request_body = RecipeRequest,
    responses(
        (status = OK, body = Recipe),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "Fields that must change"),
    ),
)]
async fn resolve(Json(request): Json<RecipeRequest>) -> Result<Json<Recipe>, ApiError> {
    Ok(Json(request.resolve()?))
}
