//! What is answered: each picture's classes, or why there is no answer.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::api::ApiError;
use crate::inference::{Classified, PredictError};
use crate::names::Name;
use crate::recipe::FieldError;

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
    #[schema(value_type = String)]
    pub name: Name,
    pub version: i64,
}

/// What a model says of a picture.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PicturePrediction {
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

impl PicturePrediction {
    pub(super) fn of(classified: &Classified, top_k: usize) -> Result<Self, ApiError> {
        let ranked: Vec<_> = classified.top(top_k.max(1)).into_iter().map(|(class, p)| (class.to_owned(), p)).collect();
        let (label, probability) = ranked.first().cloned().ok_or_else(|| ApiError::internal("a model without classes"))?;
        Ok(Self { label, probability, probabilities: Ranked(ranked) })
    }
}

/// Every picture's answer; or, if any has none, why: a request is answered whole or not at all. Trouble that isn't a
/// picture's comes first, as sending other pictures wouldn't help.
pub(super) fn all_or_errors(
    results: Vec<Result<Classified, PredictError>>,
    fields: &[String],
) -> Result<Vec<Classified>, ApiError> {
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
