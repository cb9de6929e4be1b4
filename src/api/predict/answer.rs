//! What is answered: each picture's classes, or why there is no answer.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::heat_map;
use crate::api::ApiError;
use crate::inference::{Classified, PredictError};
use crate::names::Name;
use crate::recipe::FieldError;
use crate::vision::neighbours::Neighbour;

/// What a model says of pictures.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Predictions {
    /// Who says it.
    pub model: Answerer,
    /// One for each picture, in their order.
    pub predictions: Vec<PicturePrediction>,
}

/// A model's version.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answerer {
    pub name: Name,
    pub version: i64,
}

/// How a heat map is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Explain {
    /// As numbers.
    True,
    /// Not at all.
    False,
    /// As a picture.
    Png,
}

/// What of an answer is wanted, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerForm {
    /// How many classes.
    pub top_k: usize,
    /// Least probability of a label.
    pub threshold: f32,
    pub calibrated: bool,
    pub explain: Option<Explain>,
    /// How many training pictures that look most like it.
    pub neighbours: usize,
}

/// What a model says of a picture.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PicturePrediction {
    /// The most probable class; null if its probability is below the threshold asked for.
    label: Option<String>,
    /// The most probable class's probability.
    probability: f32,
    /// Each class's probability, the most probable first.
    #[schema(value_type = BTreeMap<String, f32>)]
    probabilities: Ranked,
    /// How unlike the training pictures it is: the share of the validation pictures that are less so, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    outlier_score: Option<f32>,
    /// The training pictures that look most like it to the model, the most like first; absent if none were asked for, and for models
    /// of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<Vec<LikePicture>>,
    /// Where the most probable class shows in what the network saw: rows from the top, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    heat_map: Option<Vec<Vec<f32>>>,
    /// The same as a PNG to lay over what the network saw, as a data URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    heat_map_png: Option<String>,
}

/// A training picture, and how alike it and the picture asked about are.
#[derive(Debug, Serialize, ToSchema)]
struct LikePicture {
    /// Its number in the data set that the version's `dataset` names; of an imported model that is one of another machine.
    image: u64,
    /// Its class.
    label: String,
    /// The cosine between what the model makes of the two, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    similarity: f32,
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

impl LikePicture {
    fn of(neighbour: &Neighbour, classes: &[String]) -> Self {
        // One of the model's classes: that was checked when the model was loaded.
        let label = classes[neighbour.class as usize].clone();
        Self { image: u64::from(neighbour.image), label, similarity: neighbour.similarity }
    }
}

impl PicturePrediction {
    pub(super) fn of(classified: &Classified, form: &AnswerForm) -> Result<Self, ApiError> {
        let top = classified.top(form.top_k.max(1), form.calibrated);
        let ranked: Vec<_> = top.into_iter().map(|(class, p)| (class.to_owned(), p)).collect();
        let (label, probability) = ranked.first().cloned().ok_or_else(|| ApiError::internal("a model without classes"))?;
        let map = classified.heat_map.as_ref();
        let like = |neighbour: &Neighbour| LikePicture::of(neighbour, &classified.classes);
        let as_png = form.explain == Some(Explain::Png);
        Ok(Self {
            label: Some(label).filter(|_| probability >= form.threshold),
            probability,
            probabilities: Ranked(ranked),
            outlier_score: classified.outlier_score,
            neighbours: classified.neighbours.as_ref().map(|kept| kept.iter().map(like).collect()),
            heat_map: map.filter(|_| !as_png).map(|map| map.values.chunks(map.side).map(<[f32]>::to_vec).collect()),
            heat_map_png: map.filter(|_| as_png).map(heat_map::data_url).transpose().map_err(ApiError::internal)?,
        })
    }
}

/// Every picture's answer; or, if any has none, why: a request is answered whole or not at all. Trouble that isn't a
/// picture's comes first, as sending other pictures wouldn't help.
pub(in crate::api) fn all_or_errors(
    results: Vec<Result<Classified, PredictError>>,
    fields: &[String],
) -> Result<Vec<Classified>, ApiError> {
    let (mut classified, mut errors) = (Vec::with_capacity(results.len()), Vec::new());
    for (result, field) in results.into_iter().zip(fields) {
        match result {
            Ok(answer) => classified.push(answer),
            Err(error @ (PredictError::Picture(_) | PredictError::Pixels { .. })) => {
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
