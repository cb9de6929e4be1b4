//! What a model says of a picture.

use std::sync::Arc;

use crate::vision::grad_cam::HeatMap;
use crate::vision::neighbours::Neighbour;

/// What the network makes of one picture.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Softmax as it comes.
    pub probabilities: Vec<f32>,
    pub outlier_score: Option<f32>,
    pub neighbours: Option<Vec<Neighbour>>,
    pub heat_map: Option<HeatMap>,
}

/// What a model says of one picture.
#[derive(Debug, Clone)]
pub struct Classified {
    /// Class names, in the order of the probabilities.
    pub classes: Arc<[String]>,
    /// Calibrated probabilities of the classes; they add up to 1.
    pub probabilities: Vec<f32>,
    /// The network's softmax as it comes.
    pub raw: Vec<f32>,
    /// The share of validation pictures that look less unlike the training pictures, 0 to 1; absent for models of earlier
    /// versions.
    pub outlier_score: Option<f32>,
    /// The training pictures that look most like it, most like first, if they were asked for; absent for models of earlier
    /// versions.
    pub neighbours: Option<Vec<Neighbour>>,
    /// Where the most probable class shows, if that was asked for.
    pub heat_map: Option<HeatMap>,
}

impl Classified {
    /// The `k` most probable classes, most probable first, with calibrated probabilities or as they come.
    #[must_use]
    pub fn top(&self, k: usize, calibrated: bool) -> Vec<(&str, f32)> {
        let probabilities = if calibrated { &self.probabilities } else { &self.raw };
        let mut ranked: Vec<_> = self.classes.iter().map(String::as_str).zip(probabilities.iter().copied()).collect();
        // A stable sort: classes that are equally probable keep the model's order.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(k);
        ranked
    }
}
