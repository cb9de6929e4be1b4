//! Labels that are probably wrong, by confident learning: Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating
//! Uncertainty in Dataset Labels", Journal of Artificial Intelligence Research 70.

use super::Judgement;

/// A label that is probably wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspect {
    pub image: usize,
    pub suggested: u32,
    /// How much more probable the suggested class is than the label, -1 to 1.
    pub margin: f32,
}

/// The suspects, most suspect first: pictures that belong off the diagonal of the confident joint (section 3.1 there), ranked by
/// normalised margin (section 3.2, "prune by noise rate" without its quota). A class is believed of a picture when it is as
/// probable as it is, on average, for pictures of that label.
pub(super) fn suspects(labels: &[u32], classes: usize, judgements: &[Judgement]) -> Vec<Suspect> {
    let mut sums = vec![(0.0f64, 0u64); classes];
    for (&label, judgement) in labels.iter().zip(judgements) {
        sums[label as usize].0 += f64::from(judgement.own);
        sums[label as usize].1 += 1;
    }
    let threshold = |class: u32| sums[class as usize].0 / sums[class as usize].1.max(1) as f64;
    let suspect = |(image, judgement): (usize, &Judgement)| {
        // The others come most probable first.
        let believed = judgement.others.iter().find(|(class, p)| f64::from(*p) >= threshold(*class));
        let &(suggested, probability) = believed?;
        let own_is_believed = f64::from(judgement.own) >= threshold(labels[image]);
        (!own_is_believed || probability > judgement.own).then_some(Suspect {
            image,
            suggested,
            margin: probability - judgement.own,
        })
    };
    let mut suspects: Vec<Suspect> = judgements.iter().enumerate().filter_map(suspect).collect();
    suspects.sort_by(|a, b| b.margin.total_cmp(&a.margin).then(a.image.cmp(&b.image)));
    suspects
}
