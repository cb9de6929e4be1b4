//! Parts of a report, for those who don't need the whole of it. Reading them passes over the rest, most of which is each picture's
//! probability of every class.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Calibration, PhaseReport, SplitSummary};

/// A report but for its predictions; the fields are those of [`Report`](super::Report).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportSummary {
    /// Class names, sorted.
    pub classes: Vec<String>,
    /// One report after each phase that ran.
    pub phases: Vec<PhaseReport>,
    /// On pictures that were kept back, if some were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PhaseReport>,
    /// How the pictures were divided.
    pub split: SplitSummary,
    /// How far probabilities can be believed; absent in reports of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// A report's predictions, and the classes that they are about.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReportPredictions {
    /// Class names, sorted.
    pub classes: Vec<String>,
    /// One for each validation picture, in no particular order.
    pub predictions: Vec<PredictionItem>,
}

/// What the final model says of one validation picture, in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PredictionItem {
    /// The picture's number in its dataset.
    pub image: u64,
    /// Its path in the uploaded archive.
    pub path: String,
    /// Its class.
    pub label: String,
    /// The most probable class.
    pub predicted: String,
    /// Probability of `predicted`, calibrated.
    pub probability: f32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{PhaseName, Prediction, Report};

    /// With everything that may be absent.
    fn report() -> Report {
        let classes = ["cat".to_owned(), "dog".to_owned()];
        let phase = PhaseReport::new(PhaseName::FineTune, 3, &classes, [(0, 0), (1, 0)]);
        let predictions = vec![Prediction {
            image: 7,
            path: "dog/7.png".to_owned(),
            label: "dog".to_owned(),
            predicted: "cat".to_owned(),
            probability: 0.7,
            probabilities: vec![0.7, 0.3],
        }];
        Report {
            classes: classes.to_vec(),
            phases: vec![phase.clone()],
            test: Some(phase),
            split: SplitSummary { train: 5, validation: 2, test: 2, seed: 42 },
            calibration: Calibration::fit(&[vec![0.7, 0.3]], &[1]),
            predictions,
        }
    }

    #[test]
    fn parts_are_read_out_of_a_whole_report() {
        let report = report();
        let json = serde_json::to_string(&report).unwrap();
        let read: ReportPredictions = serde_json::from_str(&json).unwrap();
        let item = PredictionItem {
            image: 7,
            path: "dog/7.png".to_owned(),
            label: "dog".to_owned(),
            predicted: "cat".to_owned(),
            probability: 0.7,
        };
        assert_eq!(read, ReportPredictions { classes: report.classes.clone(), predictions: vec![item] });

        let summary: ReportSummary = serde_json::from_str(&json).unwrap();
        // A field that a report gets one day doesn't compile here until the summary has it, too.
        let Report { classes, phases, test, split, calibration, predictions: _ } = report;
        assert_eq!(summary, ReportSummary { classes, phases, test, split, calibration });
        let mut whole: serde_json::Value = serde_json::from_str(&json).unwrap();
        whole.as_object_mut().unwrap().remove("predictions").unwrap();
        assert_eq!(serde_json::to_value(&summary).unwrap(), whole);
    }
}
