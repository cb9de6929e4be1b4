//! Probabilities that mean what they say: temperature scaling, and how far off they are without it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bins of the reliability diagram (Guo et al. 2017, "On Calibration of Modern Neural Networks", use 15).
const BINS: usize = 15;

/// The temperatures that a fit may come to. Where every validation picture is right, colder is always better, and no number of
/// pictures proves that a model is never wrong.
const TEMPERATURES: [f64; 2] = [0.25, 4.0];

/// Steps of the golden-section search: each leaves 0.618 of the interval, 40 a hundred-millionth.
const STEPS: usize = 40;

/// How far the final model's probabilities can be believed, on the validation pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Calibration {
    /// What the logarithms of the probabilities are divided by; above 1 the model was too sure of itself.
    pub temperature: f64,
    /// Expected calibration error of the softmax as it comes, 0 to 1.
    pub ece_before: f64,
    /// The same after division by the temperature.
    pub ece_after: f64,
    /// The reliability diagram after it: pictures by the probability of their most probable class.
    pub bins: Vec<ReliabilityBin>,
}

/// Pictures whose most probable class has about this probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReliabilityBin {
    /// Mean probability of the most probable class.
    pub confidence: f64,
    /// Share of them for which it is the right one.
    pub accuracy: f64,
    /// How many there are.
    pub pictures: u64,
}

impl Calibration {
    /// Fits the temperature that makes `truth` (class numbers) most likely under `probabilities`, one row a picture; `None` if
    /// there are none.
    #[must_use]
    pub fn fit(probabilities: &[Vec<f32>], truth: &[usize]) -> Option<Self> {
        if probabilities.is_empty() {
            return None;
        }
        // In the logarithm of the temperature, halving and doubling are alike.
        let temperature = minimum(TEMPERATURES.map(f64::ln), |log| loss(probabilities, truth, log.exp())).exp();
        let after: Vec<Vec<f32>> = probabilities.iter().map(|row| tempered(row, temperature)).collect();
        let bins = bins(&after, truth);
        Some(Self { temperature, ece_before: ece(&self::bins(probabilities, truth)), ece_after: ece(&bins), bins })
    }
}

/// Probabilities at another temperature: p^(1/T), made to add up to 1 again. Their order stays.
#[must_use]
pub fn tempered(probabilities: &[f32], temperature: f64) -> Vec<f32> {
    // A probability that rounded to zero is at most f32's smallest number.
    let logs = probabilities.iter().map(|p| f64::from(p.max(f32::MIN_POSITIVE)).ln() / temperature);
    let logs: Vec<f64> = logs.collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    logs.iter().map(|log| ((log - most).exp() / sum) as f32).collect()
}

/// Mean cross-entropy in nats.
fn loss(probabilities: &[Vec<f32>], truth: &[usize], temperature: f64) -> f64 {
    let nats = |(row, &class): (&Vec<f32>, &usize)| -f64::from(tempered(row, temperature)[class].max(f32::MIN_POSITIVE)).ln();
    probabilities.iter().zip(truth).map(nats).sum::<f64>() / probabilities.len() as f64
}

/// Where a function with one valley is least, by golden-section search.
fn minimum([mut low, mut high]: [f64; 2], f: impl Fn(f64) -> f64) -> f64 {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..STEPS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = f(right);
        }
    }
    f64::midpoint(low, high)
}

/// The bins that have pictures, least sure first.
fn bins(probabilities: &[Vec<f32>], truth: &[usize]) -> Vec<ReliabilityBin> {
    let mut sums = [(0.0, 0.0, 0u64); BINS];
    for (row, &class) in probabilities.iter().zip(truth) {
        let (best, p) = row.iter().enumerate().fold((0, 0f32), |best, (k, &p)| if p > best.1 { (k, p) } else { best });
        let bin = ((f64::from(p) * BINS as f64) as usize).min(BINS - 1);
        sums[bin].0 += f64::from(p);
        sums[bin].1 += f64::from(u8::from(best == class));
        sums[bin].2 += 1;
    }
    let filled = sums.into_iter().filter(|(_, _, pictures)| *pictures > 0);
    filled
        .map(|(confidence, right, pictures)| ReliabilityBin {
            confidence: confidence / pictures as f64,
            accuracy: right / pictures as f64,
            pictures,
        })
        .collect()
}

/// Expected calibration error: how far accuracy is from confidence, on average over pictures.
fn ece(bins: &[ReliabilityBin]) -> f64 {
    let pictures: u64 = bins.iter().map(|bin| bin.pictures).sum();
    bins.iter().map(|bin| (bin.accuracy - bin.confidence).abs() * bin.pictures as f64).sum::<f64>() / pictures.max(1) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 100 pictures of class 0 or 1, all answered with 0.98 for class 0, of which 80 are right.
    fn too_sure() -> (Vec<Vec<f32>>, Vec<usize>) {
        (vec![vec![0.98, 0.02]; 100], (0..100).map(|i| usize::from(i >= 80)).collect())
    }

    #[test]
    fn what_is_too_sure_is_cooled_down_to_its_accuracy() {
        let (probabilities, truth) = too_sure();
        let calibration = Calibration::fit(&probabilities, &truth).unwrap();
        // ln(0.98 / 0.02) / ln(0.8 / 0.2).
        assert!((calibration.temperature - 2.807_35).abs() < 1e-3, "{calibration:?}");
        assert!((calibration.ece_before - 0.18).abs() < 1e-6 && calibration.ece_after < 1e-4, "{calibration:?}");
        assert_eq!(calibration.bins.len(), 1);
        assert_eq!(calibration.bins[0].pictures, 100);
    }

    #[test]
    fn a_model_without_a_mistake_does_not_become_certain() {
        let calibration = Calibration::fit(&vec![vec![0.7, 0.3]; 5], &[0; 5]).unwrap();
        assert!((calibration.temperature - 0.25).abs() < 1e-6);
        assert_eq!(Calibration::fit(&[], &[]), None);
    }

    proptest! {
        #[test]
        fn laws_of_temperature(logits in proptest::collection::vec(-20f32..20.0, 2..12), temperature in 0.25f64..4.0) {
            let p = tempered(&logits.iter().map(|logit| logit.exp()).collect::<Vec<_>>(), 1.0);
            let q = tempered(&p, temperature);
            prop_assert!((q.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let order = |p: &[f32]| (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b]).then(b.cmp(&a))).unwrap();
            prop_assert!(q[order(&p)] >= q[order(&q)] - 1e-6);
            let back = tempered(&q, 1.0 / temperature);
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
            prop_assert!(p.iter().zip(&back).all(near), "{p:?} {back:?}");
        }
    }
}
