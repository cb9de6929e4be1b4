//! A picture's outlines in 256 bits that saving it again hardly changes.

use std::sync::LazyLock;

use crate::vision::picture::Picture;
use crate::vision::preprocessing::{Preprocessing, Resize};

/// Side of the picture that is looked at, in pixels.
const SIDE: usize = 64;
/// Frequencies a direction, without the lowest, which is brightness.
const FREQUENCIES: usize = 16;
/// The most bits that two pictures of the same may differ in. Of the 924,000 pairs of the 17 Oxford flowers, 68 differ in fewer than 32,
/// being one photograph saved again, 3 in up to 72, and all others in more. Independent bits of unlike pictures differ in 128 ± 8.
const BITS: u32 = 40;
/// The most that two pictures of the same may differ by in the mean of red, green or blue, of 255. Outlines alone would take a plain
/// red sign for a blue one.
pub(super) const COLOUR: u8 = 12;
/// A frequency that a picture has: its part in the picture's standard deviation, in brightness of 255, is this over `SIDE`. What is
/// below is noise of saving, and its sign chance.
const PRESENT: f32 = 6.0;
/// Pictures with fewer frequencies than this are too plain to be told apart by them.
const ENOUGH: usize = FREQUENCIES * FREQUENCIES / 4;

/// Of each frequency whether the picture has more of it than of most, after Zauner (2010), "Implementation and Benchmarking of
/// Perceptual Image Hash Functions", section 3.2.1, with 256 bits instead of 64; and its mean colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureHash {
    bits: [u64; 4],
    colour: [u8; 3],
}

impl PictureHash {
    #[cfg(test)]
    pub(super) const fn new(bits: [u64; 4], colour: [u8; 3]) -> Self {
        Self { bits, colour }
    }

    /// A picture's; `None` if it is too plain to be known by its outlines.
    #[must_use]
    pub fn of(picture: &Picture) -> Option<Self> {
        let rgb = Preprocessing { input_size: SIDE as u32, resize: Resize::Squash }.render(picture);
        let mean = |channel: usize| {
            let sum: u32 = rgb.iter().skip(channel).step_by(3).map(|&value| u32::from(value)).sum();
            // A mean of bytes is a byte.
            (sum / (SIDE * SIDE) as u32) as u8
        };
        // Brightness of ITU-R BT.601, as JPEG has it.
        let brightness = |pixel: &[u8]| 0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]);
        let frequencies = frequencies(&rgb.chunks_exact(3).map(brightness).collect::<Vec<_>>());
        if frequencies.iter().filter(|part| part.abs() > PRESENT).count() < ENOUGH {
            return None;
        }
        let mut sorted = frequencies.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let median = f32::midpoint(sorted[sorted.len() / 2 - 1], sorted[sorted.len() / 2]);
        let mut bits = [0; 4];
        for (place, _) in frequencies.iter().enumerate().filter(|(_, part)| **part > median) {
            bits[place / 64] |= 1 << (place % 64);
        }
        Some(Self { bits, colour: [mean(0), mean(1), mean(2)] })
    }

    /// Whether the two are of the same picture.
    #[must_use]
    pub fn is_near(&self, other: &Self) -> bool {
        let colours = self.colour.iter().zip(other.colour);
        colours.into_iter().all(|(own, other)| own.abs_diff(other) <= COLOUR) && self.distance(other) <= BITS
    }

    /// How many bits differ.
    fn distance(&self, other: &Self) -> u32 {
        self.bits.iter().zip(other.bits).map(|(own, other)| (own ^ other).count_ones()).sum()
    }

    /// What those that are near differ in by [`COLOUR`] at most.
    pub(super) const fn sorted_by(&self) -> u8 {
        self.colour[1]
    }
}

/// The lower frequencies of a square of `SIDE` pixels by the orthonormal discrete cosine transform (type II), without those that
/// are constant in a direction: what scaling and saving keep.
fn frequencies(pixels: &[f32]) -> Vec<f32> {
    static WAVES: LazyLock<Vec<[f32; SIDE]>> = LazyLock::new(|| (1..=FREQUENCIES).map(wave).collect());
    let dot = |wave: &[f32; SIDE], row: &[f32]| wave.iter().zip(row).map(|(wave, value)| wave * value).sum::<f32>();
    // Rows first: for each frequency across, a column of its parts.
    let across: Vec<Vec<f32>> =
        WAVES.iter().map(|wave| pixels.chunks_exact(SIDE).map(|row| dot(wave, row)).collect()).collect();
    WAVES.iter().flat_map(|wave| across.iter().map(move |column| dot(wave, column))).collect()
}

fn wave(frequency: usize) -> [f32; SIDE] {
    let scale = (2.0 / SIDE as f32).sqrt();
    std::array::from_fn(|x| scale * (std::f32::consts::PI * (x as f32 + 0.5) * frequency as f32 / SIDE as f32).cos())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::codecs::jpeg::JpegEncoder;
    use image::imageops::FilterType;
    use image::{DynamicImage, ImageFormat, RgbImage};

    use super::*;
    use crate::vision::picture::{PictureLimits, decode};

    /// Blots of a few sizes at places that follow from `seed`.
    fn scene(seed: u32) -> RgbImage {
        let noise = |n: u32| (n.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 16;
        let blots: Vec<[f32; 4]> = (0..40)
            .map(|n| {
                [noise(4 * n) % 320, noise(4 * n + 1) % 240, 6 + noise(4 * n + 2) % 40, noise(4 * n + 3) % 200]
                    .map(|v| v as f32)
            })
            .collect();
        RgbImage::from_fn(320, 240, |x, y| {
            let sum: f32 = blots
                .iter()
                .map(|[cx, cy, r, v]| v * (-((x as f32 - cx).powi(2) + (y as f32 - cy).powi(2)) / (r * r)).exp())
                .sum();
            image::Rgb([sum.min(255.0) as u8, (sum * 0.8).min(255.0) as u8, 60])
        })
    }

    fn hash(encoded: &[u8]) -> Option<PictureHash> {
        PictureHash::of(&decode(encoded, &PictureLimits::default()).unwrap())
    }

    fn png(image: &RgbImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).unwrap();
        bytes
    }

    #[test]
    fn saved_again_smaller_or_worse_it_is_the_same_and_another_is_not() {
        for seed in 1..6 {
            let image = scene(seed);
            let original = hash(&png(&image)).unwrap();
            let small = DynamicImage::from(image.clone()).resize_exact(200, 150, FilterType::Lanczos3).to_rgb8();
            for (copy, what) in [(jpeg(&image, 90), "saved again"), (jpeg(&image, 40), "worse"), (jpeg(&small, 70), "smaller")]
            {
                let copy = hash(&copy).unwrap();
                assert!(original.is_near(&copy), "{what}: {} bits", original.distance(&copy));
            }
            let other = hash(&png(&scene(seed + 100))).unwrap();
            assert!(original.distance(&other) > 80, "{}", original.distance(&other));
        }
    }

    #[test]
    fn colour_counts() {
        let image = scene(1);
        let red = RgbImage::from_fn(320, 240, |x, y| image::Rgb([image.get_pixel(x, y)[0], image.get_pixel(x, y)[1], 200]));
        let (one, other) = (hash(&png(&image)).unwrap(), hash(&png(&red)).unwrap());
        assert!(one.distance(&other) <= BITS && !one.is_near(&other));
    }

    #[test]
    fn what_has_no_outlines_has_no_hash() {
        let plain = RgbImage::from_pixel(90, 60, image::Rgb([200, 30, 30]));
        let slope = RgbImage::from_fn(200, 100, |x, _| image::Rgb([x as u8, 10, 10]));
        assert_eq!((hash(&png(&plain)), hash(&jpeg(&plain, 60)), hash(&png(&slope))), (None, None, None));
        assert_eq!(hash(&png(&RgbImage::new(1, 1))), None);
    }
}
