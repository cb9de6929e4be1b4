//! A report's predictions, page by page.

use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{check_class, read};
use crate::api::extract::{Json, List, PageQuery, Path, Query};
use crate::api::models::model_name;
use crate::api::{ApiError, AppState, Problem, artifacts};
use crate::names::Name;
use crate::report::{PredictionItem, ReportPredictions};
use crate::store::{Page, Want};

/// What comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PredictionOrder {
    #[default]
    Image,
    Probability,
}

/// Which predictions to list, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PredictionQuery {
    /// Those of pictures of this class.
    label: Option<String>,
    /// Those that say this class.
    predicted: Option<String>,
    /// `true` for those that are wrong, `false` for those that are right.
    wrong: Option<bool>,
    /// `image`, by the picture's number, if not given; `probability`, the surest first.
    #[param(inline)]
    order: Option<PredictionOrder>,
    /// Most items to answer with, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, of the same list in the same order.
    cursor: Option<String>,
}

/// What a version says of the validation pictures
///
/// The report's predictions without the probabilities of the classes that weren't predicted. `?wrong=true&order=probability` lists
/// the most confidently wrong first.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/versions/{version}/predictions",
    operation_id = "list_predictions",
    tag = "models",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
        PredictionQuery,
    ),
    responses(
        (status = OK, body = List<PredictionItem>),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "A class that isn't among the model's, or another parameter that can't be used"),
    ),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
    Query(query): Query<PredictionQuery>,
) -> Result<Json<List<PredictionItem>>, ApiError> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor.clone() };
    let (after, limit) = (page.cursor()?, page.limit()?);
    let version = state.store.resolve(&model_name(&name)?, &Want::Version(version)).await?;
    let artifact = artifacts::of_version(&state, &version).await?;
    let page = read(artifact.dir(), move |report: ReportPredictions| query.page(report, after, limit)).await??;
    Ok(Json(List::new(page, |(place, _)| place.to_string(), |(_, prediction)| prediction)))
}

impl PredictionQuery {
    /// The predictions that are wanted, each with its place in their order, from behind the place `after`.
    fn page(
        &self,
        report: ReportPredictions,
        after: Option<usize>,
        limit: u32,
    ) -> Result<Page<(usize, PredictionItem)>, ApiError> {
        check_class(&report.classes, "label", self.label.as_ref())?;
        check_class(&report.classes, "predicted", self.predicted.as_ref())?;
        let mut wanted: Vec<_> = report.predictions.into_iter().filter(|prediction| self.wants(prediction)).collect();
        match self.order.unwrap_or_default() {
            PredictionOrder::Image => wanted.sort_by_key(|prediction| prediction.image),
            PredictionOrder::Probability => {
                wanted.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.image.cmp(&b.image)));
            }
        }
        let first = after.map_or(0, |after| after.saturating_add(1));
        let mut rest = wanted.into_iter().enumerate().skip(first);
        let items = rest.by_ref().take(limit as usize).collect();
        Ok(Page { items, more: rest.next().is_some() })
    }

    fn wants(&self, prediction: &PredictionItem) -> bool {
        let PredictionItem { label, predicted, .. } = prediction;
        self.label.as_ref().is_none_or(|wanted| label == wanted)
            && self.predicted.as_ref().is_none_or(|wanted| predicted == wanted)
            && self.wrong.is_none_or(|wanted| (label != predicted) == wanted)
    }
}
