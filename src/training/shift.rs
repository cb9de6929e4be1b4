//! Pictures moved at the features. A cell where learning begins is a step of the network's grid, 16 pixels of the input at
//! `block4_pool`: the features of a picture that is moved by whole cells are the features moved by as many, but for its edges. So
//! each epoch sees every picture elsewhere, whatever was computed of it, and the head, which has weights of its own for each
//! place, learns what a class looks like anywhere.

use rand::RngExt;
use rand::rngs::StdRng;
use tch::{TchError, Tensor};

/// Draws how far each picture of a step is moved.
pub struct Shift {
    /// Largest move in each direction, as a share of the side.
    share: f64,
    rng: StdRng,
}

impl Shift {
    /// Moves of up to `share` of the side, rounded to whole cells.
    pub const fn new(share: f64, rng: StdRng) -> Self {
        Self { share, rng }
    }

    /// The batch's features `[N, C, H, W]`, each picture's moved; zeros, which is what is left of features that aren't there,
    /// come in at the edges.
    pub fn features(&mut self, x: Tensor) -> Result<Tensor, TchError> {
        let (count, _, height, width) = x.size4()?;
        // Sides are of tens of cells.
        let reach = |cells: i64| (cells as f64 * self.share).round() as i64;
        let (down, across) = (reach(height), reach(width));
        if down == 0 && across == 0 {
            return Ok(x);
        }
        let framed = x.f_constant_pad_nd([across, across, down, down])?;
        let moved = (0..count).map(|picture| {
            let (top, left) = (self.rng.random_range(0..=2 * down), self.rng.random_range(0..=2 * across));
            framed.f_narrow(0, picture, 1)?.f_narrow(2, top, height)?.f_narrow(3, left, width)
        });
        Tensor::f_cat(&moved.collect::<Result<Vec<_>, TchError>>()?, 0)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::training::seeds;

    fn numbers(x: &Tensor) -> Vec<f32> {
        Vec::try_from(x.contiguous().view(-1)).unwrap()
    }

    #[test]
    fn every_picture_is_moved_by_itself_and_by_whole_cells() {
        let one = Tensor::arange(64, (Kind::Float, Device::Cpu)).view([1, 1, 8, 8]) + 1.0;
        let x = one.repeat([100, 1, 1, 1]);
        let moved = Shift::new(0.25, seeds::generator(1, "shift", 1)).features(x).unwrap();
        assert_eq!(moved.size(), [100, 1, 8, 8]);
        let mut seen = std::collections::HashSet::new();
        for picture in 0..100 {
            let picture = numbers(&moved.get(picture));
            // Where the middle of the picture came to lie: it never leaves it.
            let place = picture.iter().position(|n| *n == 28.0).unwrap();
            let (down, across) = (place as i64 / 8 - 3, place as i64 % 8 - 3);
            assert!(down.abs() <= 2 && across.abs() <= 2, "{down} {across}");
            let expected = (0..64).map(|place| {
                let (row, column) = (place / 8 - down, place % 8 - across);
                let inside = (0..8).contains(&row) && (0..8).contains(&column);
                if inside { (row * 8 + column + 1) as f32 } else { 0.0 }
            });
            assert_eq!(picture, expected.collect::<Vec<_>>());
            seen.insert((down, across));
        }
        assert!(seen.len() > 20, "{} of 25 moves", seen.len());
    }

    #[test]
    fn moves_of_less_than_half_a_cell_are_none_and_memory_stays_channels_last() {
        let x = Tensor::rand([2, 6, 4, 4], (Kind::Float, Device::Cpu));
        let still = Shift::new(0.12, seeds::generator(1, "shift", 1)).features(x.shallow_clone()).unwrap();
        assert_eq!(numbers(&still), numbers(&x));
        let channels_last = Tensor::rand([3, 4, 4, 6], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]);
        let moved = Shift::new(0.25, seeds::generator(1, "shift", 1)).features(channels_last).unwrap();
        assert!(moved.permute([0, 2, 3, 1]).is_contiguous());
    }
}
