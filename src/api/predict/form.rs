//! How an answer is wanted: query and header of a request, checked.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::answer::{AnswerForm, Explain};
use crate::api::ApiError;
use crate::config::Settings;
use crate::inference::Call;

/// Header with the milliseconds that an answer may take.
pub(super) const DEADLINE: &str = "x-deadline-ms";
/// The longest that it may say: ten minutes.
const MAX_DEADLINE_MS: u64 = 600_000;

/// The most neighbours that may be asked for.
const MAX_NEIGHBOURS: u32 = 20;

/// What to answer with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AnswerQuery {
    /// How many classes, the most probable ones, to give probabilities of; all if not given.
    #[param(minimum = 1, maximum = 4294967295u32)]
    top_k: Option<u32>,
    /// The least probability that a label is given for; below it `label` is null.
    #[param(minimum = 0, maximum = 1)]
    threshold: Option<f32>,
    /// Whether probabilities are calibrated on the validation pictures; `false` gives the network's softmax as it comes.
    #[param(default = true)]
    calibrated: Option<bool>,
    /// A Grad-CAM heat map of the most probable class: `true` for its numbers, `png` for a picture to lay over what the network
    /// saw.
    #[param(inline)]
    explain: Option<Explain>,
    /// How many of the training pictures that look most like it to the model to tell; none if not given.
    #[param(minimum = 0, maximum = 20, default = 0)]
    neighbours: Option<u32>,
}

/// A request that wants probabilities: its header says until when.
pub(in crate::api) fn call(headers: &HeaderMap, settings: &Settings) -> Result<Call, ApiError> {
    let deadline = match headers.get(DEADLINE) {
        None => settings.predict_deadline_ms,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .filter(|ms| (1..=MAX_DEADLINE_MS).contains(ms))
            .ok_or_else(|| ApiError::field(DEADLINE, format!("must be from 1 to {MAX_DEADLINE_MS}, in milliseconds")))?,
    };
    Ok(Call { deadline: Instant::now() + Duration::from_millis(deadline), explain: false, neighbours: 0 })
}

impl AnswerQuery {
    /// What it asks for, checked.
    pub fn form(&self) -> Result<AnswerForm, ApiError> {
        if self.top_k == Some(0) {
            return Err(ApiError::field("top_k", "must be at least 1"));
        }
        if self.threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
            return Err(ApiError::field("threshold", "must be from 0 to 1"));
        }
        if self.neighbours.is_some_and(|neighbours| neighbours > MAX_NEIGHBOURS) {
            return Err(ApiError::field("neighbours", format!("must be from 0 to {MAX_NEIGHBOURS}")));
        }
        Ok(AnswerForm {
            top_k: self.top_k.map_or(usize::MAX, |top| top as usize),
            threshold: self.threshold.unwrap_or(0.0),
            calibrated: self.calibrated.unwrap_or(true),
            explain: self.explain.filter(|explain| *explain != Explain::False),
            neighbours: self.neighbours.map_or(0, |neighbours| neighbours as usize),
        })
    }
}

impl AnswerForm {
    /// The same as [`call`], with what of an answer has to be computed for it.
    pub fn call(&self, headers: &HeaderMap, settings: &Settings) -> Result<Call, ApiError> {
        Ok(Call { explain: self.explain.is_some(), neighbours: self.neighbours, ..call(headers, settings)? })
    }
}
