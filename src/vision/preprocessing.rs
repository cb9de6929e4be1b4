//! From a decoded picture to the square that the network sees: view 0 of training and every request's view.

use std::num::NonZeroU32;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::ToSchema;

use crate::vision::picture::{self, Picture, PictureError, PictureLimits};

/// VGG16's input side in pixels (Simonyan and Zisserman 2014, section 2.1).
pub const DEFAULT_INPUT_SIZE: u32 = 224;

/// The smallest input side: five poolings of stride 2 leave one position.
pub const MIN_INPUT_SIZE: u32 = 32;

/// The largest input side: 1024 is twenty-one times the work of 224, and more than any ImageNet weights have use for.
pub const MAX_INPUT_SIZE: u32 = 1024;

/// How a picture of any shape becomes a square.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resize {
    /// The whole picture squashed to the square; the aspect ratio isn't kept, nothing is cut off.
    #[default]
    Squash,
    /// The shorter side scaled to 256/224 of the input, the aspect ratio kept, and the central square of the input's size
    /// cut out: what ImageNet networks are evaluated on (256 and 224 in Krizhevsky et al. 2012, section 2).
    Crop,
    /// The shorter side scaled to the input, the aspect ratio kept, and the central square cut out: nothing of the shorter
    /// side is lost.
    Square,
}

/// How pictures are brought to the network's input size. Part of a model's manifest, so that serving does what training
/// did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The side of the square in pixels, [`MIN_INPUT_SIZE`] to [`MAX_INPUT_SIZE`].
    #[serde(deserialize_with = "input_size")]
    pub input_size: u32,
    /// How a picture of any shape becomes a square.
    pub resize: Resize,
}

impl Resize {
    /// Its name in JSON and in keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Squash => "squash",
            Self::Crop => "crop",
            Self::Square => "square",
        }
    }
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self { input_size: DEFAULT_INPUT_SIZE, resize: Resize::Squash }
    }
}

/// Pixels of the decoded picture's shorter side for each pixel of the side that it is scaled to, beyond which a decoder may leave
/// detail out. Resampling averages what is left of it; and a crop of a ninth of the area still has a pixel for each that it shows.
const DETAIL: u32 = 3;

impl Preprocessing {
    /// Decodes an encoded picture with all the detail that a view can show, and not all of a picture that is far larger.
    ///
    /// # Errors
    /// As [`picture::decode`].
    pub fn decode(&self, bytes: &[u8], limits: &PictureLimits) -> Result<Picture, PictureError> {
        picture::decode_enough(bytes, limits, NonZeroU32::new(self.scaled_side() * DETAIL))
    }

    /// View 0 of `picture`: `input_size` × `input_size` × 3 bytes, row-major, channels last, RGB.
    ///
    /// Antialiased bilinear (each output pixel is a triangle-weighted mean of all that it covers), in fixed-point
    /// arithmetic on one thread: the same picture gives the same bytes wherever it is called, with SSE4.1, AVX2 or neither.
    pub fn render(&self, picture: &Picture) -> Vec<u8> {
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        let region = match self.resize {
            Resize::Squash => Region::around(picture, [width / 2.0, height / 2.0], [width, height]),
            Resize::Crop | Resize::Square => {
                // Scaling and then cutting is cutting and then scaling; so there is one resampling.
                let side = width.min(height) * f64::from(self.input_size) / f64::from(self.scaled_side());
                Region::around(picture, [width / 2.0, height / 2.0], [side; 2])
            }
        };
        resample(picture, &region, self.input_size, self.input_size)
    }

    /// What the shorter side is scaled to, in pixels.
    #[must_use]
    pub const fn scaled_side(&self) -> u32 {
        match self.resize {
            Resize::Squash | Resize::Square => self.input_size,
            Resize::Crop => (self.input_size * 256 + 112) / 224,
        }
    }

    /// A stable text for what [`Preprocessing::render`] does, for keys of caches: it changes when a pixel would. The last
    /// number is raised with the code of `render` or of the picture decoder.
    pub fn cache_key(&self) -> String {
        format!("{}-{}-bilinear-2", self.resize.as_str(), self.input_size)
    }
}

/// A part of a picture, in pixels from its top left corner. Never empty, never beyond the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Region {
    /// Left edge, then top edge.
    pub start: [f64; 2],
    /// Width, then height.
    pub size: [f64; 2],
}

impl Region {
    /// What lies in `picture` of the box of `size` (width, height) about `centre` (x, y).
    ///
    /// Edges fall on 65,536ths of a pixel: finer than any eye, and sums of them are exact, so no rounding takes an edge out
    /// of the picture and the last bit of a sine or a power, which C libraries differ in, is rounded away.
    pub fn around(picture: &Picture, centre: [f64; 2], size: [f64; 2]) -> Self {
        const GRID: f64 = 65_536.0;
        let limits = [picture.width(), picture.height()].map(f64::from);
        let mut region = Self { start: [0.0; 2], size: limits };
        for axis in 0..2 {
            let edge = |sign: f64| ((centre[axis] + sign * size[axis] / 2.0) * GRID).round() / GRID;
            let start = edge(-1.0).clamp(0.0, limits[axis] - 1.0 / GRID);
            region.start[axis] = start;
            region.size[axis] = edge(1.0).clamp(start + 1.0 / GRID, limits[axis]) - start;
        }
        region
    }
}

/// `region` of `picture` at `width` × `height` pixels: antialiased bilinear; `width` × `height` × 3 bytes.
pub(super) fn resample(picture: &Picture, region: &Region, width: u32, height: u32) -> Vec<u8> {
    let mut bytes = vec![0; width as usize * height as usize * 3];
    let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.rgb())
        .expect("a Picture's buffer is always height × width × 3 bytes");
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut bytes).expect("it was made that long");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        region.start[0],
        region.start[1],
        region.size[0],
        region.size[1],
    );
    // Of one type of pixels, as `resize` would be compiled for all thirteen: a seventh of this crate's machine code.
    Resizer::new().resize_typed(&source, &mut target, &options).expect("a Region lies in its picture; nothing else is refused");
    bytes
}

fn input_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let size = u32::deserialize(deserializer)?;
    if !(MIN_INPUT_SIZE..=MAX_INPUT_SIZE).contains(&size) {
        return Err(D::Error::custom(format!("input_size is {size}: choose one from {MIN_INPUT_SIZE} to {MAX_INPUT_SIZE}")));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::picture::decode;
    use crate::vision::picture::fixtures::{PNG, encoded, gradient};

    fn picture(width: u32, height: u32) -> Picture {
        decode(&encoded(&gradient(width, height), PNG), &PictureLimits::default()).unwrap()
    }

    #[test]
    fn a_view_has_the_size_of_the_input_whatever_the_picture() {
        for resize in [Resize::Squash, Resize::Crop, Resize::Square] {
            for (width, height) in [(1, 1), (500, 3), (3, 500), (224, 224), (640, 480)] {
                let view = Preprocessing { resize, ..Preprocessing::default() }.render(&picture(width, height));
                assert_eq!(view.len(), 224 * 224 * 3, "{resize:?} {width}×{height}");
            }
        }
    }

    #[test]
    fn a_picture_of_the_input_size_is_left_alone() {
        let picture = picture(224, 224);
        assert_eq!(Preprocessing::default().render(&picture), picture.rgb());
    }

    #[test]
    fn a_crop_is_the_central_square() {
        // The shorter side is 256, so nothing is scaled, and columns 36 to 259, rows 16 to 239 are cut out.
        let picture = picture(296, 256);
        let view = Preprocessing { resize: Resize::Crop, ..Preprocessing::default() }.render(&picture);
        for (row, line) in view.chunks_exact(224 * 3).enumerate() {
            let start = ((row + 16) * 296 + 36) * 3;
            assert_eq!(line, &picture.rgb()[start..start + 224 * 3], "row {row}");
        }
    }

    #[test]
    fn a_square_keeps_all_of_the_shorter_side() {
        let picture = picture(280, 224);
        let view = Preprocessing { resize: Resize::Square, ..Preprocessing::default() }.render(&picture);
        for (row, line) in view.chunks_exact(224 * 3).enumerate() {
            let start = (row * 280 + 28) * 3;
            assert_eq!(line, &picture.rgb()[start..start + 224 * 3], "row {row}");
        }
    }

    #[test]
    fn shrinking_averages_all_that_is_covered() {
        // Columns of black and white, one pixel wide: without antialiasing the result would be black or white.
        let stripes = image::RgbImage::from_fn(896, 896, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        let picture = decode(&encoded(&stripes.into(), PNG), &PictureLimits::default()).unwrap();
        let view = Preprocessing::default().render(&picture);
        // At the edges one stripe more or less is covered.
        assert!(view.iter().all(|value| (115..=140).contains(value)));
    }

    #[test]
    fn a_far_larger_jpeg_is_decoded_small_and_looks_the_same() {
        // Waves of some 40 pixels: 3 or so in the view, which a photograph has as well.
        let wave = |at: u32| ((f64::from(at) / 40.0).sin() * 100.0 + 128.0) as u8;
        let photograph = image::RgbImage::from_fn(1800, 1400, |x, y| image::Rgb([wave(x), wave(y), wave(x + y)]));
        let jpeg = encoded(&photograph.into(), image::ImageFormat::Jpeg);
        let limits = PictureLimits::default();
        let whole = decode(&jpeg, &limits).unwrap();
        for (resize, width) in [(Resize::Squash, 900), (Resize::Crop, 1800)] {
            let preprocessing = Preprocessing { resize, ..Preprocessing::default() };
            let picture = preprocessing.decode(&jpeg, &limits).unwrap();
            // 700 rows are enough for 3 × 224, and not for 3 × 256.
            assert_eq!(picture.width(), width, "{resize:?}");
            let (view, expected) = (preprocessing.render(&picture), preprocessing.render(&whole));
            let far = view.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(far <= Some(6), "{resize:?}: {far:?}");
        }
    }

    #[test]
    fn every_thread_renders_the_same_bytes() {
        let picture = picture(517, 389);
        let expected = Preprocessing::default().render(&picture);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(Preprocessing::default().render(&picture), expected));
            }
        });
    }

    #[test]
    fn serialises_as_the_manifest_has_it_and_refuses_sizes_out_of_range() {
        let json = r#"{"input_size":224,"resize":"squash"}"#;
        assert_eq!(serde_json::to_string(&Preprocessing::default()).unwrap(), json);
        assert_eq!(serde_json::from_str::<Preprocessing>(json).unwrap(), Preprocessing::default());
        for size in [0, 31, 1025, u32::MAX] {
            let json = format!(r#"{{"input_size":{size},"resize":"squash"}}"#);
            let error = serde_json::from_str::<Preprocessing>(&json).unwrap_err().to_string();
            assert!(error.contains("choose one from 32 to 1024"), "{error}");
        }
        assert_eq!(Preprocessing::default().cache_key(), "squash-224-bilinear-2");
        let crop = Preprocessing { input_size: 320, resize: Resize::Crop };
        assert_eq!(serde_json::to_string(&crop).unwrap(), r#"{"input_size":320,"resize":"crop"}"#);
        assert_eq!(crop.cache_key(), "crop-320-bilinear-2");
    }
}
