//! How large a step of each layer's 8-bit activations is.

use crate::vision::layers::CONVS;
use crate::vision::weights::{BodyWeights, IMAGENET_SHA256};

/// One scale a layer: fixed numbers for fixed weights, so that training and serving can't differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    id: &'static str,
    /// What the largest step, 255, stands for, after each convolution's ReLU.
    tops: [f64; CONVS.len()],
}

/// For the canonical ImageNet weights: each layer's range is the one that leaves the least squared error over 48 photographs
/// of flowers squashed to 224 × 224, which clips about one activation in a hundred thousand. `block4_pool` then differs from
/// f32 by 2.9 % (6 % with the 99.99th percentile as range).
const IMAGENET: Profile = Profile {
    id: "least-squares-2",
    tops: [526.0, 2650.0, 3500.0, 7080.0, 7577.0, 8234.0, 9500.0, 6100.0, 3600.0, 2400.0, 1500.0, 1100.0, 190.0],
};

impl Profile {
    /// The profile for these weights; `None` if there is none, and they can't run in 8-bit integers.
    #[must_use]
    pub fn of(body: &BodyWeights) -> Option<Self> {
        (body.sha256() == IMAGENET_SHA256).then_some(IMAGENET)
    }

    /// That of the canonical weights, for tests of others.
    #[cfg(test)]
    pub(crate) const fn imagenet() -> Self {
        IMAGENET
    }

    /// Names the numbers: part of a model's identity.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// Size of a step of the activations after `level` convolutions, 1 to 13.
    #[must_use]
    pub fn scale(&self, level: usize) -> f64 {
        self.tops[level - 1] / super::ACTIVATION_STEPS
    }
}
