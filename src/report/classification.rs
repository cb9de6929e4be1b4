//! Precision, recall, F1 and the confusion matrix.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PhaseName;

/// One class's figures. A ratio without a denominator (no picture predicted, none there) counts as 0, as in scikit-learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassReport {
    /// The class.
    pub name: String,
    /// Of those predicted as this class, the share that is.
    pub precision: f64,
    /// Of those of this class, the share that was found.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Pictures of this class.
    pub support: u64,
}

/// Averages over classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Averages {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean F1.
    pub f1: f64,
}

/// What a phase came to on the validation pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PhaseReport {
    /// The phase.
    pub phase: PhaseName,
    /// The epoch whose weights these are: the phase's last, or, with patience, its best.
    #[serde(default)]
    pub epoch: u32,
    /// Share of pictures whose most probable class is theirs.
    pub accuracy: f64,
    /// Every class counts the same.
    pub macro_avg: Averages,
    /// Every class counts by its support.
    pub weighted_avg: Averages,
    /// Each class's figures, in the report's class order.
    pub classes: Vec<ClassReport>,
    /// `confusion[i][j]`: pictures of class i predicted as class j.
    pub confusion: Vec<Vec<u64>>,
}

impl PhaseReport {
    /// Counts up a phase from each picture's true and predicted class, numbered below `classes.len()`.
    #[must_use]
    pub fn new(phase: PhaseName, epoch: u32, classes: &[String], pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut confusion = vec![vec![0u64; classes.len()]; classes.len()];
        for (truth, predicted) in pairs {
            confusion[truth][predicted] += 1;
        }
        let rows: Vec<ClassReport> = classes.iter().enumerate().map(|(k, name)| class_report(name, k, &confusion)).collect();
        let total: u64 = rows.iter().map(|row| row.support).sum();
        let correct: u64 = (0..classes.len()).map(|k| confusion[k][k]).sum();
        Self {
            phase,
            epoch,
            accuracy: ratio(correct, total),
            macro_avg: average(&rows, |_| 1.0),
            weighted_avg: average(&rows, |row| row.support as f64),
            classes: rows,
            confusion,
        }
    }
}

fn class_report(name: &str, k: usize, confusion: &[Vec<u64>]) -> ClassReport {
    let hits = confusion[k][k];
    let support: u64 = confusion[k].iter().sum();
    let predicted: u64 = confusion.iter().map(|row| row[k]).sum();
    ClassReport {
        name: name.to_owned(),
        precision: ratio(hits, predicted),
        recall: ratio(hits, support),
        // 2PR / (P + R) with both written out, which also holds when neither has a denominator.
        f1: ratio(2 * hits, support + predicted),
        support,
    }
}

fn average(rows: &[ClassReport], weight: impl Fn(&ClassReport) -> f64) -> Averages {
    let total: f64 = rows.iter().map(&weight).sum();
    let mean = |figure: fn(&ClassReport) -> f64| {
        if total > 0.0 { rows.iter().map(|row| weight(row) * figure(row)).sum::<f64>() / total } else { 0.0 }
    };
    Averages { precision: mean(|row| row.precision), recall: mean(|row| row.recall), f1: mean(|row| row.f1) }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|k| format!("class{k}")).collect()
    }

    /// Figures of scikit-learn's classification_report for y_true = 0 0 0 1 1 2, y_pred = 0 0 1 1 2 1.
    #[test]
    fn agrees_with_scikit_learn() {
        let report = PhaseReport::new(PhaseName::WarmUp, 1, &names(3), [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (2, 1)]);
        assert_eq!(report.confusion, [[2, 1, 0], [0, 1, 1], [0, 1, 0]]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 5e-5, "{a} is not {b}");
        close(report.accuracy, 0.5);
        close(report.classes[0].precision, 1.0);
        close(report.classes[0].recall, 0.6667);
        close(report.classes[0].f1, 0.8);
        close(report.classes[1].f1, 0.4);
        close(report.classes[2].f1, 0.0);
        close(report.macro_avg.f1, 0.4);
        close(report.weighted_avg.f1, 0.5333);
    }

    proptest! {
        /// Weighted recall is accuracy; supports add up to the pictures.
        #[test]
        fn laws_of_the_report(pairs in proptest::collection::vec((0usize..5, 0usize..5), 1..200)) {
            let report = PhaseReport::new(PhaseName::FineTune, 1, &names(5), pairs.iter().copied());
            prop_assert!((report.weighted_avg.recall - report.accuracy).abs() < 1e-12);
            prop_assert_eq!(report.classes.iter().map(|c| c.support).sum::<u64>(), pairs.len() as u64);
            prop_assert_eq!(report.confusion.iter().flatten().sum::<u64>(), pairs.len() as u64);
        }
    }
}
