//! What a run found out, as plain data: epoch metrics, classification reports, stored predictions.

mod calibration;
mod classification;
mod parts;
mod text;
mod thresholds;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use calibration::{Calibration, ReliabilityBin, tempered};
pub use classification::{Averages, ClassReport, PhaseReport};
pub use parts::{PredictionItem, ReportPredictions, ReportSummary};
pub use thresholds::{ThresholdPoint, thresholds};

/// A training phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// The head alone, on the frozen backbone.
    WarmUp,
    /// The head and the backbone's upper layers.
    FineTune,
}

impl PhaseName {
    /// Its name in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WarmUp => "warm_up",
            Self::FineTune => "fine_tune",
        }
    }
}

impl std::fmt::Display for PhaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Computing bottleneck features.
    Features,
    /// Training the head.
    WarmUp,
    /// Training the head and the upper layers.
    FineTune,
}

impl From<PhaseName> for Stage {
    fn from(phase: PhaseName) -> Self {
        match phase {
            PhaseName::WarmUp => Self::WarmUp,
            PhaseName::FineTune => Self::FineTune,
        }
    }
}

/// What a run keeps of the pictures between epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeaturePlan {
    /// The freeze boundary: the last layer whose output never changes in the fine-tune phase.
    pub boundary: String,
    /// The layer whose activations are kept, the boundary or one below it that takes less room; null when nothing is kept
    /// and every epoch starts from the pictures.
    pub kept: Option<String>,
    /// Augmented views kept of each training picture. When nothing is kept, every epoch sees new ones.
    pub views: u32,
    /// Augmented views that the recipe asks for.
    pub views_wanted: u32,
    /// Rows kept: pictures times views.
    pub rows: u64,
    /// Bytes that they take at most; compressed, usually less than half.
    pub bytes: u64,
    /// What the cache may take in all.
    pub budget_bytes: u64,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What it is doing.
    pub phase: Stage,
    /// Epochs of the phase that are complete; 0 in `features`.
    pub epoch: u32,
    /// Epochs of the phase; 0 in `features`.
    pub epochs: u32,
    /// Share of the phase that is done, 0 to 1.
    pub fraction: f64,
    /// Seconds the phase will still take at its present pace; null until there is a pace.
    pub eta_seconds: Option<f64>,
}

impl Progress {
    /// A number that grows as a run gets further: 0 to 1 for features, 1 to 2 for the warm-up, 2 to 3 for fine-tuning.
    #[must_use]
    pub const fn standing(&self) -> f64 {
        let stages = match self.phase {
            Stage::Features => 0.0,
            Stage::WarmUp => 1.0,
            Stage::FineTune => 2.0,
        };
        stages + self.fraction
    }
}

/// What one epoch came to. Losses are mean cross-entropies in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Epoch {
    /// The phase it belongs to.
    pub phase: PhaseName,
    /// 1 and up, within its phase.
    pub epoch: u32,
    /// Over the epoch's steps, with dropout, as the weights moved.
    pub train_loss: f64,
    /// Over the epoch's steps, with dropout, as the weights moved.
    pub train_accuracy: f64,
    /// Over all validation pictures, with the weights at the epoch's end.
    pub val_loss: f64,
    /// Over all validation pictures, with the weights at the epoch's end.
    pub val_accuracy: f64,
    /// The optimiser's step size at the epoch's first step.
    pub learning_rate: f64,
    /// Wall-clock seconds, training and validation.
    pub seconds: f64,
}

/// How the pictures were divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SplitSummary {
    /// Training pictures.
    pub train: u64,
    /// Validation pictures.
    pub validation: u64,
    /// Pictures kept back for the test; 0 if there was none.
    #[serde(default)]
    pub test: u64,
    /// The seed that decided it.
    pub seed: u64,
}

/// What the final model says of one validation picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Prediction {
    /// The picture's number in its dataset.
    pub image: u64,
    /// Its path in the uploaded archive.
    pub path: String,
    /// Its class.
    pub label: String,
    /// The most probable class.
    pub predicted: String,
    /// Probability of `predicted`.
    pub probability: f32,
    /// Probability of every class, in the order of `classes`.
    pub probabilities: Vec<f32>,
}

/// What a run found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Class names, sorted; rows and columns of every confusion matrix follow this order.
    pub classes: Vec<String>,
    /// One report after each phase that ran.
    pub phases: Vec<PhaseReport>,
    /// What the published weights make of pictures that neither training nor the choice of an epoch ever saw, if the recipe kept
    /// some back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PhaseReport>,
    /// How the pictures were divided.
    pub split: SplitSummary,
    /// How far the published weights' probabilities can be believed; absent in reports of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Each validation picture's final probabilities, calibrated, as the service answers them; absent where they weren't wanted.
    // In every report that is kept. A part of one is answered as a `ReportSummary`, which nobody needs to know of.
    #[schema(required = false)]
    pub predictions: Vec<Prediction>,
}

impl Report {
    /// Accuracy of the published weights on the validation pictures.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        self.phases.last().map(|phase| phase.accuracy)
    }

    /// Mean cross-entropy in nats of the published weights on the validation pictures.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        let loss = |prediction: &Prediction| {
            let class = self.classes.binary_search(&prediction.label).ok()?;
            // A probability that is too small for its type is not 0, which would make one picture's loss infinite.
            Some(-f64::from(prediction.probabilities.get(class)?.max(f32::MIN_POSITIVE)).ln())
        };
        let losses = self.predictions.iter().map(loss).collect::<Option<Vec<_>>>()?;
        (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_the_mean_over_the_stored_predictions() {
        let prediction = |label: &str, probabilities: [f32; 2]| Prediction {
            image: 0,
            path: String::new(),
            label: label.to_owned(),
            predicted: "a".to_owned(),
            probability: probabilities[0],
            probabilities: probabilities.to_vec(),
        };
        let split = SplitSummary { train: 1, validation: 2, test: 0, seed: 42 };
        let predictions = vec![prediction("a", [0.5, 0.5]), prediction("b", [0.75, 0.25])];
        let report = Report {
            classes: vec!["a".to_owned(), "b".to_owned()],
            phases: Vec::new(),
            test: None,
            split,
            calibration: None,
            predictions,
        };
        assert!((report.loss().unwrap() - (2_f64.ln() + 4_f64.ln()) / 2.0).abs() < 1e-9);
        let report = Report { predictions: vec![prediction("b", [1.0, 0.0])], ..report };
        assert!(report.loss().unwrap().is_finite());
        assert_eq!(Report { predictions: Vec::new(), ..report }.loss(), None);
    }
}
