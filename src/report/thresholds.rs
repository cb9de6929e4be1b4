//! What a threshold costs and brings: the more probable a label must be, the fewer pictures get one, and the more of these are right.

use serde::Serialize;
use utoipa::ToSchema;

use super::PredictionItem;

/// Steps from 0 to 1.
const STEPS: u8 = 100;

/// The validation pictures, had `/predict` been asked with this threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct ThresholdPoint {
    /// The least probability that an answer is given for, 0 to 1.
    pub threshold: f32,
    /// Share of all pictures that are answered; of one class, that are answered with it.
    pub answered: f64,
    /// Share of the answered that are right; null when none is answered.
    pub precision: Option<f64>,
    /// Share of all pictures that are answered and right; of one class, share of its own pictures. Null when there are none.
    pub recall: Option<f64>,
}

/// Pictures by what becomes of them.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    answered: u64,
    right: u64,
}

/// A point each for the thresholds 0, 0.01 … 1, in this order; of `class` against the rest if one is given.
///
/// A picture is answered if its probability is at least the threshold, compared as `/predict` compares them: in f32.
#[must_use]
pub fn thresholds(predictions: &[PredictionItem], class: Option<&str>) -> Vec<ThresholdPoint> {
    // The division rounds to the f32 nearest to the decimal number, which is what reading "0.07" out of a query gives.
    let thresholds: Vec<f32> = (0..=STEPS).map(|step| f32::from(step) / f32::from(STEPS)).collect();
    // Each picture is counted once, at the highest threshold that it reaches; it also reaches all below.
    let mut highest = vec![Tally::default(); thresholds.len()];
    let mut there_are = 0u64;
    for prediction in predictions {
        there_are += u64::from(class.is_none_or(|class| prediction.label == class));
        let reached = thresholds.partition_point(|threshold| prediction.probability >= *threshold);
        let is_meant = class.is_none_or(|class| prediction.predicted == class);
        if let Some(place) = reached.checked_sub(1).filter(|_| is_meant) {
            highest[place].answered += 1;
            highest[place].right += u64::from(prediction.predicted == prediction.label);
        }
    }
    let mut so_far = Tally::default();
    let point = |(threshold, here): (f32, Tally)| {
        so_far = Tally { answered: so_far.answered + here.answered, right: so_far.right + here.right };
        ThresholdPoint {
            threshold,
            answered: share(so_far.answered, predictions.len() as u64).unwrap_or_default(),
            precision: share(so_far.right, so_far.answered),
            recall: share(so_far.right, there_are),
        }
    };
    let mut points: Vec<_> = thresholds.into_iter().zip(highest).rev().map(point).collect();
    points.reverse();
    points
}

/// `None` of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::{PhaseName, PhaseReport};

    fn prediction(label: &str, predicted: &str, probability: f32) -> PredictionItem {
        let (label, predicted) = (label.to_owned(), predicted.to_owned());
        PredictionItem { image: 0, path: String::new(), label, predicted, probability }
    }

    /// What is said of the threshold `percent` / 100: answered, precision, recall.
    fn at(points: &[ThresholdPoint], percent: usize) -> (f64, Option<f64>, Option<f64>) {
        let ThresholdPoint { answered, precision, recall, .. } = points[percent];
        (answered, precision, recall)
    }

    #[test]
    fn fewer_are_answered_and_more_of_them_are_right() {
        let predictions = [
            prediction("cat", "cat", 0.95),
            prediction("cat", "dog", 0.6),
            prediction("dog", "dog", 0.8),
            prediction("dog", "cat", 0.55),
        ];
        let all = thresholds(&predictions, None);
        assert_eq!(all.len(), 101);
        assert_eq!(at(&all, 0), (1.0, Some(0.5), Some(0.5)));
        assert_eq!(at(&all, 55), at(&all, 0), "what has the very probability is answered");
        assert_eq!(at(&all, 56), (0.75, Some(2.0 / 3.0), Some(0.5)));
        assert_eq!(at(&all, 80), (0.5, Some(1.0), Some(0.5)));
        assert_eq!(at(&all, 81), (0.25, Some(1.0), Some(0.25)));
        assert_eq!(at(&all, 96), (0.0, None, Some(0.0)));

        let dogs = thresholds(&predictions, Some("dog"));
        assert_eq!(at(&dogs, 0), (0.5, Some(0.5), Some(0.5)));
        assert_eq!(at(&dogs, 61), (0.25, Some(1.0), Some(0.5)));
        assert_eq!(at(&dogs, 81), (0.0, None, Some(0.0)));
    }

    #[test]
    fn what_nothing_says_is_null() {
        assert_eq!(at(&thresholds(&[], None), 0), (0.0, None, None));
        let birds = thresholds(&[prediction("cat", "bird", 0.5)], Some("bird"));
        assert_eq!((at(&birds, 50), at(&birds, 51)), ((1.0, Some(0.0), None), (0.0, None, None)));
        // What training that went astray says of a picture is answered nowhere.
        assert_eq!(at(&thresholds(&[prediction("cat", "cat", f32::NAN)], None), 0), (0.0, None, Some(0.0)));
    }

    /// The thresholds are the numbers that a query's text is read as, and as which JSON writes them.
    #[test]
    fn thresholds_are_what_predict_reads() {
        for (step, point) in thresholds(&[], None).iter().enumerate() {
            let text = format!("{}.{:02}", step / 100, step % 100);
            assert_eq!(point.threshold.to_bits(), text.parse::<f32>().unwrap().to_bits(), "{text}");
            let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(point).unwrap()).unwrap();
            assert_eq!(json["threshold"].as_f64(), text.parse().ok());
            let same = prediction("cat", "cat", text.parse().unwrap());
            assert_eq!(at(&thresholds(&[same], None), step).0, 1.0, "{text} isn't below {text}");
        }
    }

    /// The definition, a pass for each threshold.
    fn naive(predictions: &[PredictionItem], class: Option<&str>, threshold: f32) -> [u64; 3] {
        let of_class = |name: &str| class.is_none_or(|class| class == name);
        let answered = || predictions.iter().filter(|p| of_class(&p.predicted) && p.probability >= threshold);
        let right = answered().filter(|p| p.label == p.predicted).count();
        let there_are = predictions.iter().filter(|p| of_class(&p.label)).count();
        [answered().count(), right, there_are].map(|count| count as u64)
    }

    const CLASSES: [&str; 3] = ["a", "b", "c"];

    fn any_predictions() -> impl Strategy<Value = Vec<PredictionItem>> {
        // Half of the probabilities lie exactly on a threshold.
        let probability = prop_oneof![0f32..=1.0, (0u8..=100).prop_map(|percent| f32::from(percent) / 100.0)];
        let one = (0usize..3, 0usize..3, probability);
        proptest::collection::vec(
            one.prop_map(|(label, predicted, p)| prediction(CLASSES[label], CLASSES[predicted], p)),
            1..60,
        )
    }

    proptest! {
        #[test]
        fn a_pass_for_each_threshold_says_the_same(predictions in any_predictions(), class in prop::option::of(0usize..3)) {
            let class = class.map(|class| CLASSES[class]);
            for point in thresholds(&predictions, class) {
                let [answered, right, there_are] = naive(&predictions, class, point.threshold);
                prop_assert_eq!(Some(point.answered), share(answered, predictions.len() as u64));
                prop_assert_eq!((point.precision, point.recall), (share(right, answered), share(right, there_are)));
            }
        }

        /// Neither what is answered nor what is found grows with the threshold; at 0 the figures are those of the report.
        #[test]
        fn laws_of_thresholds(predictions in any_predictions()) {
            let place = |name: &str| CLASSES.iter().position(|class| *class == name).unwrap();
            let pairs = predictions.iter().map(|p| (place(&p.label), place(&p.predicted)));
            let report = PhaseReport::new(PhaseName::FineTune, 1, &CLASSES.map(str::to_owned), pairs);
            let all = thresholds(&predictions, None);
            prop_assert_eq!((all[0].answered, all[0].precision, all[0].recall), (1.0, Some(report.accuracy), Some(report.accuracy)));
            for (class, figures) in CLASSES.iter().zip(&report.classes) {
                let points = thresholds(&predictions, Some(class));
                prop_assert_eq!(points[0].precision.unwrap_or_default(), figures.precision);
                prop_assert_eq!(points[0].recall.unwrap_or_default(), figures.recall);
                prop_assert!(points.windows(2).all(|pair| pair[0].recall >= pair[1].recall));
            }
            prop_assert!(all.windows(2).all(|pair| pair[0].recall >= pair[1].recall && pair[0].answered >= pair[1].answered));
        }
    }
}
