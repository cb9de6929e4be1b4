//! What is random about a view.

use sha2::{Digest, Sha256};

use super::colour::Jitter;
use super::{Augmentation, VERSION};
use crate::vision::picture::Picture;
use crate::vision::preprocessing::{Region, Resize};

/// Narrowest and widest crop, width over height (torchvision's `RandomResizedCrop`, after Szegedy et al. 2014).
const ASPECTS: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Crops drawn before the central one is taken, as in torchvision: a large one of a wide picture seldom fits.
const TRIES: u32 = 10;

/// One view's parameters.
pub(super) struct Draw {
    /// The part of the picture that fills the square.
    pub crop: Region,
    /// Clockwise, about the crop's centre; of the square, so of a squashed picture after squashing.
    pub degrees: f64,
    /// Whether left and right are exchanged, after the rotation.
    pub mirrored: bool,
    /// The change of colours, last of all.
    pub jitter: Jitter,
}

impl Draw {
    /// The parameters of view `number` of the picture with this hash.
    pub fn new(picture: &Picture, sha256: &str, number: u32, resize: Resize, strength: &Augmentation) -> Self {
        let uniform = |block| uniform(sha256, number, block);
        let [flip, rotation, brightness, contrast] = uniform(0);
        let [saturation, ..] = uniform(1);
        let factor = |uniform: f64| 1.0 + strength.color_jitter * (2.0 * uniform - 1.0);
        Self {
            crop: crop(picture, resize, strength.crop_area_min, |attempt| uniform(2 + attempt)),
            degrees: strength.rotation * (2.0 * rotation - 1.0),
            mirrored: strength.flip && flip < 0.5,
            jitter: Jitter { brightness: factor(brightness), contrast: factor(contrast), saturation: factor(saturation) },
        }
    }
}

/// The part of the picture that a view shows, for the four numbers of each try.
///
/// A squashed picture is cropped as the square that it becomes, so that views frame it as the evaluation view does: wide
/// pictures stay as squashed as they will be in serving. Otherwise crops have their aspect in the picture itself.
fn crop(picture: &Picture, resize: Resize, area_min: f64, numbers: impl Fn(u32) -> [f64; 4]) -> Region {
    let size = [picture.width(), picture.height()].map(f64::from);
    // Pixels to a unit of the space in which aspects count, and that space's sides.
    let (unit, space) = match resize {
        Resize::Squash => (size, [1.0; 2]),
        Resize::Crop | Resize::Square => ([1.0; 2], size),
    };
    let [narrowest, widest] = ASPECTS;
    for attempt in 0..TRIES {
        let [area, aspect, x, y] = numbers(attempt);
        let area = space[0] * space[1] * (area_min + (1.0 - area_min) * area);
        let aspect = narrowest * (widest / narrowest).powf(aspect);
        let sides = [(area * aspect).sqrt(), (area / aspect).sqrt()];
        if sides[0] <= space[0] && sides[1] <= space[1] {
            let place = |axis: usize, at: f64| (sides[axis] / 2.0 + at * (space[axis] - sides[axis])) * unit[axis];
            return Region::around(picture, [place(0, x), place(1, y)], [sides[0] * unit[0], sides[1] * unit[1]]);
        }
    }
    // The largest central crop of an allowed aspect.
    let sides = [space[0].min(space[1] * widest), space[1].min(space[0] / narrowest)];
    Region::around(picture, [size[0] / 2.0, size[1] / 2.0], [sides[0] * unit[0], sides[1] * unit[1]])
}

/// Four numbers from [0, 1), 53 bits each, out of one SHA-256 digest. Not a generator of `rand`'s: the algorithm of those
/// may change with a version, and views with it.
fn uniform(sha256: &str, number: u32, block: u32) -> [f64; 4] {
    let digest = Sha256::new()
        .chain_update("topgraft view")
        .chain_update(VERSION.to_le_bytes())
        .chain_update(number.to_le_bytes())
        .chain_update(block.to_le_bytes())
        .chain_update(sha256)
        .finalize();
    let mut numbers = [0.0; 4];
    for (number, bytes) in numbers.iter_mut().zip(digest.as_chunks::<8>().0) {
        *number = (u64::from_le_bytes(*bytes) >> 11) as f64 / (1u64 << 53) as f64;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::picture::fixtures::{PNG, encoded, gradient};
    use crate::vision::picture::{PictureLimits, decode};

    const WEAK: Augmentation = Augmentation { crop_area_min: 0.4, flip: true, rotation: 20.0, color_jitter: 0.2 };

    fn picture(width: u32, height: u32) -> Picture {
        decode(&encoded(&gradient(width, height), PNG), &PictureLimits::default()).unwrap()
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let numbers: Vec<f64> = (0..1000).flat_map(|number| uniform("00ff", number, 0)).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        for tenth in 0..10 {
            let share = numbers.iter().filter(|&&number| (number * 10.0) as usize == tenth).count();
            assert!((320..480).contains(&share), "{share} of 4,000 in tenth {tenth}");
        }
    }

    #[test]
    fn numbers_never_change() {
        // Worked out apart from this code, with Python's hashlib: views are kept on disk under keys that rely on them.
        let expected = [0.7425531981479718, 0.8841095629828502, 0.8025370503382884, 0.44516354857501805];
        assert_eq!(uniform("00ff", 7, 2), expected);
    }

    #[test]
    fn crops_keep_their_share_and_aspect() {
        let picture = picture(300, 200);
        for resize in [Resize::Squash, Resize::Crop, Resize::Square] {
            let (mut area, mut centre, mut flips) = (0.0, [0.0; 2], 0);
            for number in 0..1000 {
                let draw = Draw::new(&picture, "ab", number, resize, &WEAK);
                let [width, height] = draw.crop.size;
                assert!(width * height >= 0.399 * 60_000.0);
                let aspect = width / height / if resize == Resize::Squash { 1.5 } else { 1.0 };
                assert!((0.749..1.334).contains(&aspect), "{resize:?} {aspect}");
                area += width * height / 60_000.0 / 1000.0;
                (0..2).for_each(|axis| centre[axis] += (draw.crop.start[axis] + draw.crop.size[axis] / 2.0) / 1000.0);
                flips += u32::from(draw.mirrored);
                assert!(draw.degrees.abs() <= 20.0);
                let Jitter { brightness, contrast, saturation } = draw.jitter;
                assert!([brightness, contrast, saturation].iter().all(|factor| (0.8..1.2).contains(factor)));
            }
            // Large crops don't fit a wide picture, so there the mean is less than that of the shares, 0.7.
            assert!((0.5..0.7).contains(&area), "{resize:?} {area}");
            assert!((centre[0] - 150.0).abs() < 3.0 && (centre[1] - 100.0).abs() < 2.0, "{resize:?} {centre:?}");
            assert!((440..560).contains(&flips), "{resize:?} {flips}");
        }
    }

    #[test]
    fn what_never_fits_is_cropped_at_the_centre() {
        let whole = Augmentation { crop_area_min: 1.0, ..WEAK };
        let draw = |resize| Draw::new(&picture(300, 100), "ab", 1, resize, &whole).crop;
        assert_eq!(draw(Resize::Squash), Region { start: [0.0; 2], size: [300.0, 100.0] });
        let crop = draw(Resize::Crop);
        assert!((crop.size[0] - 400.0 / 3.0).abs() < 1e-4 && crop.size[1] == 100.0, "{crop:?}");
        assert!((crop.start[0] + crop.size[0] / 2.0 - 150.0).abs() < 1e-4 && crop.start[1] == 0.0, "{crop:?}");
    }
}
