//! Pictures mixed with each other at the features: Verma et al. (2019), "Manifold Mixup", at the layer where learning begins.

use rand::rngs::StdRng;
use rand_distr::{Beta, Distribution};
use tch::{TchError, Tensor};

/// Draws how much of another picture each step mixes in.
pub struct Mixup {
    shares: Option<Beta<f64>>,
    rng: StdRng,
}

/// One step's mixture: each picture with the one before it in the batch, which the epoch's shuffling made a random one.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Share of the other picture, 0 to 1/2.
    share: f64,
}

impl Mixup {
    /// Shares from Beta(`alpha`, `alpha`); none if `alpha` is 0.
    pub fn new(alpha: f64, rng: StdRng) -> Self {
        // It refuses only what isn't above 0: then nothing is mixed.
        Self { shares: Beta::new(alpha, alpha).ok(), rng }
    }

    /// The next step's.
    pub fn draw(&mut self) -> Mix {
        let share = self.shares.map_or(0.0, |shares| shares.sample(&mut self.rng));
        // Pairs come both ways round, so the smaller share is as good as the larger.
        Mix { share: share.min(1.0 - share) }
    }
}

impl Mix {
    /// The batch's features, mixed.
    pub fn features(self, x: Tensor) -> Result<Tensor, TchError> {
        if self.share > 0.0 { x.f_lerp(&x.f_roll([1], [0])?, self.share) } else { Ok(x) }
    }

    /// The loss against mixed targets, which is the mixture of the losses against each.
    pub fn loss(self, truth: &Tensor, loss: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Tensor, TchError> {
        let own = loss(truth)?;
        if self.share > 0.0 { own.f_lerp(&loss(&truth.f_roll([1], [0])?)?, self.share) } else { Ok(own) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::seeds;

    #[test]
    fn features_and_targets_are_mixed_alike() {
        let mix = Mix { share: 0.25 };
        let x = Tensor::from_slice(&[0.0f32, 4.0, 8.0]).view([3, 1]);
        let mixed = Vec::<f32>::try_from(mix.features(x).unwrap().view(-1)).unwrap();
        assert_eq!(mixed, [2.0, 3.0, 7.0]);
        let truth = Tensor::from_slice(&[1i64, 2, 3]);
        // The loss stands for its first target.
        let loss = mix.loss(&truth, |truth| truth.f_get(0)?.f_to_kind(tch::Kind::Double)).unwrap();
        assert!((f64::try_from(loss).unwrap() - 1.5).abs() < 1e-9);
    }

    #[test]
    fn shares_are_of_the_smaller_part_and_none_where_none_are_wanted() {
        let mut mixup = Mixup::new(0.4, seeds::generator(1, "mixup", 1));
        let shares: Vec<f64> = (0..200).map(|_| mixup.draw().share).collect();
        assert!(shares.iter().all(|share| (0.0..=0.5).contains(share)));
        assert!(shares.iter().any(|share| *share > 0.3) && shares.iter().any(|share| *share < 0.05));
        assert!(Mixup::new(0.0, seeds::generator(1, "mixup", 1)).draw().share <= 0.0);
    }
}
