//! Labels that are probably wrong, judged by what heads that never saw a picture make of it: Northcutt, Jiang and Chuang (2021),
//! "Confident Learning: Estimating Uncertainty in Dataset Labels", whose thresholds these are; ranked as in Kuan and Mueller (2022),
//! "Model-Agnostic Label Quality Scoring to Detect Real-World Label Errors", by self-confidence adjusted for the class.

use super::Judgement;

/// A label that is probably wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspect {
    pub image: usize,
    pub suggested: u32,
    /// How much less probable the label is than it is, on average, for pictures of that label: 0 to 1.
    pub lack: f64,
}

/// The suspects, most suspect first: pictures for which another class is more probable than their label, and their label less probable
/// than it is, on average, for those that have it. So pictures of a class that heads are never sure of aren't all suspects.
pub(super) fn suspects(labels: &[u32], classes: usize, judgements: &[Judgement]) -> Vec<Suspect> {
    let mut sums = vec![(0.0, 0u64); classes];
    for (&label, judgement) in labels.iter().zip(judgements) {
        sums[label as usize].0 += f64::from(judgement.own);
        sums[label as usize].1 += 1;
    }
    let threshold = |class: u32| sums[class as usize].0 / sums[class as usize].1.max(1) as f64;
    let suspect = |(image, judgement): (usize, &Judgement)| {
        // The others come most probable first.
        let &(suggested, probability) = judgement.others.first()?;
        let lack = threshold(labels[image]) - f64::from(judgement.own);
        (probability > judgement.own && lack > 0.0).then_some(Suspect { image, suggested, lack })
    };
    let mut suspects: Vec<Suspect> = judgements.iter().enumerate().filter_map(suspect).collect();
    suspects.sort_by(|a, b| b.lack.total_cmp(&a.lack).then(a.image.cmp(&b.image)));
    suspects
}
