//! How unlike everything that a model was trained on a picture is.
//!
//! A picture's distance is one minus the cosine between what the head's hidden layer makes of it and the nearest of the classes'
//! mean directions (the nearest-class-mean classifier of Mensink et al. 2013, on unit vectors). The score is that distance's
//! place among those of the validation pictures, which says the same for every model: 0.99 is farther out than 99 of 100.

/// Distances that are kept of the validation pictures': every percentile.
const QUANTILES: usize = 101;

/// Where a model's classes lie, and how far from them ordinary pictures are.
#[derive(Debug, Clone, PartialEq)]
pub struct Outliers {
    /// Each class's mean direction, of length 1; a class that nothing is known of has a vector of zeros.
    means: Vec<Vec<f32>>,
    /// Distances of validation pictures, every percentile of them, ascending; [`QUANTILES`] numbers.
    quantiles: Vec<f32>,
}

/// Sums up embeddings on the way to [`Outliers`].
#[derive(Debug)]
pub struct MeanDirections {
    sums: Vec<Vec<f32>>,
}

impl MeanDirections {
    /// Sums for `classes` classes of vectors of `units` numbers.
    #[must_use]
    pub fn new(classes: usize, units: usize) -> Self {
        Self { sums: vec![vec![0.0; units]; classes] }
    }

    /// Adds a picture of `class`.
    pub fn add(&mut self, class: usize, embedding: &[f32]) {
        let scale = 1.0 / length(embedding);
        self.sums[class].iter_mut().zip(embedding).for_each(|(sum, x)| *sum += x * scale);
    }

    /// The distance of an embedding.
    #[must_use]
    pub fn distance(&self, embedding: &[f32]) -> f32 {
        distance(&self.sums, embedding)
    }

    /// The means, and the percentiles of the distances of pictures that aren't in them; `None` without distances.
    #[must_use]
    pub fn finish(mut self, mut distances: Vec<f32>) -> Option<Outliers> {
        distances.sort_unstable_by(f32::total_cmp);
        let last = distances.len().checked_sub(1)?;
        for mean in &mut self.sums {
            let scale = 1.0 / length(mean);
            mean.iter_mut().for_each(|x| *x *= scale);
        }
        let quantile = |k: usize| distances[(k * last + (QUANTILES - 1) / 2) / (QUANTILES - 1)];
        Some(Outliers { means: self.sums, quantiles: (0..QUANTILES).map(quantile).collect() })
    }
}

impl Outliers {
    /// Takes over what [`Outliers::means`] and [`Outliers::quantiles`] gave.
    ///
    /// # Errors
    /// Numbers that can't be such, in words.
    pub fn new(means: Vec<f32>, classes: usize, quantiles: Vec<f32>) -> Result<Self, String> {
        if classes == 0 || !means.len().is_multiple_of(classes) || means.is_empty() {
            return Err(format!("{} numbers aren't the means of {classes} classes", means.len()));
        }
        if quantiles.len() != QUANTILES || !quantiles.is_sorted() {
            return Err(format!("distances must be {QUANTILES} in ascending order"));
        }
        Ok(Self { means: means.chunks_exact(means.len() / classes).map(<[f32]>::to_vec).collect(), quantiles })
    }

    /// The classes' mean directions, one after another.
    #[must_use]
    pub fn means(&self) -> Vec<f32> {
        self.means.concat()
    }

    /// Percentiles of the validation pictures' distances.
    #[must_use]
    pub fn quantiles(&self) -> &[f32] {
        &self.quantiles
    }

    /// The score of what the hidden layer made of a picture: 0 to 1.
    #[must_use]
    pub fn score(&self, embedding: &[f32]) -> f32 {
        let distance = distance(&self.means, embedding);
        let above = self.quantiles.partition_point(|quantile| *quantile < distance);
        if above == 0 {
            return 0.0;
        }
        let below = self.quantiles[above - 1];
        // Between two percentiles along a line; beyond the last there is nothing more to tell.
        let part = self.quantiles.get(above).map_or(0.0, |next| (distance - below) / (next - below));
        (above as f32 - 1.0 + part) / (QUANTILES - 1) as f32
    }
}

/// One minus the cosine to the nearest of `directions`; 1 for a vector of zeros, which points nowhere.
fn distance(directions: &[Vec<f32>], embedding: &[f32]) -> f32 {
    let cosine = |direction: &Vec<f32>| {
        let dot: f32 = direction.iter().zip(embedding).map(|(a, b)| a * b).sum();
        dot / (length(direction) * length(embedding))
    };
    1.0 - directions.iter().map(cosine).fold(0.0, f32::max)
}

/// Euclidean length; never zero, so that it may divide.
fn length(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn two_classes() -> Outliers {
        let mut means = MeanDirections::new(2, 3);
        means.add(0, &[2.0, 0.0, 0.0]);
        means.add(0, &[0.5, 0.0, 0.0]);
        means.add(1, &[0.0, 1.0, 0.0]);
        let distances = (0..=100).map(|k| means.distance(&[100.0, k as f32, 0.0])).collect();
        means.finish(distances).unwrap()
    }

    #[test]
    fn the_score_is_the_share_of_ordinary_pictures_that_are_nearer() {
        let outliers = two_classes();
        assert_eq!(outliers.score(&[7.0, 0.0, 0.0]), 0.0);
        assert!((outliers.score(&[1.0, 0.505, 0.0]) - 0.505).abs() < 5e-3);
        // A direction that no class has.
        assert_eq!(outliers.score(&[0.0, 0.0, 1.0]), 1.0);
        assert_eq!(outliers.score(&[0.0; 3]), 1.0);
        assert_eq!(MeanDirections::new(1, 1).finish(Vec::new()), None);
    }

    #[test]
    fn it_reads_back_and_refuses_what_it_can_not_be() {
        let outliers = two_classes();
        let back = Outliers::new(outliers.means(), 2, outliers.quantiles().to_vec()).unwrap();
        assert_eq!(back, outliers);
        assert!(Outliers::new(vec![1.0; 5], 2, outliers.quantiles().to_vec()).is_err());
        assert!(Outliers::new(outliers.means(), 2, vec![1.0; 3]).is_err());
    }

    proptest! {
        #[test]
        fn the_farther_the_higher(a in proptest::array::uniform3(0f32..9.0), b in proptest::array::uniform3(0f32..9.0)) {
            let outliers = two_classes();
            let (near, far) = if distance(&outliers.means, &a) <= distance(&outliers.means, &b) { (a, b) } else { (b, a) };
            let (low, high) = (outliers.score(&near), outliers.score(&far));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
        }
    }
}
