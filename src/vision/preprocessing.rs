//! From a decoded picture to the square that the network sees: view 0 of training and every request's view.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::ToSchema;

use crate::vision::picture::Picture;

/// VGG16's input side in pixels (Simonyan and Zisserman 2014, section 2.1).
pub const DEFAULT_INPUT_SIZE: u32 = 224;

/// The smallest input side: five poolings of stride 2 leave one position.
pub const MIN_INPUT_SIZE: u32 = 32;

/// The largest input side: 1024 is twenty-one times the work of 224, and more than any ImageNet weights have use for.
pub const MAX_INPUT_SIZE: u32 = 1024;

/// How a picture of any shape becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resize {
    /// The whole picture squashed to the square; the aspect ratio isn't kept, nothing is cut off.
    #[default]
    Squash,
    /// The shorter side scaled to 256/224 of the input, the aspect ratio kept, and the central square of the input's size
    /// cut out: what ImageNet networks are evaluated on (256 and 224 in Krizhevsky et al. 2012, section 2).
    Crop,
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

impl Default for Preprocessing {
    fn default() -> Self {
        Self { input_size: DEFAULT_INPUT_SIZE, resize: Resize::Squash }
    }
}

impl Preprocessing {
    /// View 0 of `picture`: `input_size` × `input_size` × 3 bytes, row-major, channels last, RGB.
    ///
    /// Antialiased bilinear (each output pixel is a triangle-weighted mean of all that it covers), in fixed-point
    /// arithmetic on one thread: the same picture gives the same bytes wherever it is called, with SSE4.1, AVX2 or neither.
    pub fn render(&self, picture: &Picture) -> Vec<u8> {
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        let region = match self.resize {
            Resize::Squash => Region::around(picture, [width / 2.0, height / 2.0], [width, height]),
            Resize::Crop => {
                // Scaling and then cutting is cutting and then scaling; so there is one resampling.
                let side = width.min(height) * f64::from(self.input_size) / f64::from(self.scaled_side());
                Region::around(picture, [width / 2.0, height / 2.0], [side; 2])
            }
        };
        resample(picture, &region, self.input_size, self.input_size)
    }

    /// What [`Resize::Crop`] scales the shorter side to, in pixels.
    #[must_use]
    pub const fn scaled_side(&self) -> u32 {
        (self.input_size * 256 + 112) / 224
    }

    /// A stable text for what [`Preprocessing::render`] does, for keys of caches: it changes when a pixel would. The last
    /// number is raised with the code of `render` or of the picture decoder.
    pub fn cache_key(&self) -> String {
        let resize = match self.resize {
            Resize::Squash => "squash",
            Resize::Crop => "crop",
        };
        format!("{resize}-{}-bilinear-1", self.input_size)
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
    let source = ImageRef::new(picture.width(), picture.height(), picture.rgb(), PixelType::U8x3)
        .expect("a Picture's buffer is always height × width × 3 bytes");
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        region.start[0],
        region.start[1],
        region.size[0],
        region.size[1],
    );
    Resizer::new()
        .resize(&source, &mut target, &options)
        .expect("both images have the pixel type U8x3 and a Region lies in its picture, the only causes of an error");
    target.into_vec()
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
    use crate::vision::picture::tests::{PNG, encoded, gradient};
    use crate::vision::picture::{PictureLimits, decode};

    fn picture(width: u32, height: u32) -> Picture {
        decode(&encoded(&gradient(width, height), PNG), &PictureLimits::default()).unwrap()
    }

    #[test]
    fn a_view_has_the_size_of_the_input_whatever_the_picture() {
        for resize in [Resize::Squash, Resize::Crop] {
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
    fn shrinking_averages_all_that_is_covered() {
        // Columns of black and white, one pixel wide: without antialiasing the result would be black or white.
        let stripes = image::RgbImage::from_fn(896, 896, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        let picture = decode(&encoded(&stripes.into(), PNG), &PictureLimits::default()).unwrap();
        let view = Preprocessing::default().render(&picture);
        // At the edges one stripe more or less is covered.
        assert!(view.iter().all(|value| (115..=140).contains(value)));
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
        assert_eq!(Preprocessing::default().cache_key(), "squash-224-bilinear-1");
        let crop = Preprocessing { input_size: 320, resize: Resize::Crop };
        assert_eq!(serde_json::to_string(&crop).unwrap(), r#"{"input_size":320,"resize":"crop"}"#);
        assert_eq!(crop.cache_key(), "crop-320-bilinear-1");
    }
}
