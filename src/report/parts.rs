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

#[cfg(test)]
mod zz {
    #[test]
    fn zz_measure() {
        use super::*;
        let row: Vec<f32> = (0..100).map(|i| 0.012345678 + i as f32 * 0.000123457).collect();
        let prediction = |image| crate::report::Prediction {
            image,
            path: format!("class{image}/picture-{image}.jpg"),
            label: format!("class{}", image % 100),
            predicted: format!("class{}", image % 97),
            probability: 0.7,
            probabilities: row.clone(),
        };
        let classes: Vec<String> = (0..100).map(|i| format!("class{i}")).collect();
        let report = crate::report::Report {
            classes,
            phases: vec![],
            test: None,
            calibration: None,
            split: SplitSummary { train: 1, validation: 1, test: 0, seed: 1 },
            predictions: (0..10_000).map(prediction).collect(),
        };
        let dir = tempfile::tempdir().unwrap();
        let artifact = dir.path().join("a");
        let tensor = crate::artifact::NamedTensor { name: "head.output.bias".to_owned(), shape: vec![2], data: vec![0.0, 1.0] };
        crate::artifact::publish(&artifact, crate::artifact::testing::manifest("f", 1), &[tensor], &report).unwrap();
        println!("bytes {}", std::fs::metadata(artifact.join("report.json")).unwrap().len());
        for _ in 0..3 {
            let t = std::time::Instant::now();
            let manifest = crate::artifact::manifest(&artifact).unwrap();
            let p: ReportPredictions = crate::artifact::report_as(&artifact, &manifest).unwrap();
            println!("predictions {:?}", t.elapsed());
            let t = std::time::Instant::now();
            let points = crate::report::thresholds(&p.predictions, None);
            println!("thresholds {:?} {}", t.elapsed(), points.len());
            let t = std::time::Instant::now();
            let _ = crate::artifact::report(&artifact, &manifest).unwrap();
            println!("whole {:?}", t.elapsed());
        }
        let wave = |at: u32| ((f64::from(at) / 40.0).sin() * 100.0 + 128.0) as u8;
        for (w, h) in [(640, 480), (4000, 3000)] {
            let photograph = image::RgbImage::from_fn(w, h, |x, y| image::Rgb([wave(x), wave(y), (x * y % 251) as u8]));
            let jpeg = crate::vision::picture::tests::encoded(&photograph.into(), image::ImageFormat::Jpeg);
            let t = std::time::Instant::now();
            let n = crate::vision::thumbnail::thumbnail(&jpeg, 160, &Default::default()).unwrap().len();
            println!("thumbnail of {w}x{h} ({} bytes): {:?}, {n} bytes", jpeg.len(), t.elapsed());
        }
    }
}
