//! The one picture decoder, for training and serving, so a picture can never look different to the two. Both come by way of
//! [`Preprocessing::decode`](super::preprocessing::Preprocessing::decode), which says how much detail is enough.
//!
//! The format is found by content, never by name. The pixel count is checked from the header before pixels are
//! allocated. What comes out is always 8-bit RGB, upright: EXIF orientation applied, greyscale spread over three
//! channels, alpha composited onto white, CMYK converted, 16 bits scaled to 8. Of an animation, the first frame. Colour
//! profiles are ignored, as the pictures that ImageNet networks were trained on had theirs ignored.

#[cfg(test)]
pub(crate) mod fixtures;
mod format;
mod jpeg;
#[cfg(test)]
mod tests;

use std::io::Cursor;
use std::num::NonZeroU32;
use std::panic::catch_unwind;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use serde::{Deserialize, Serialize};

pub use format::PictureFormat;

/// The most that a decoder may allocate for each pixel, in bytes. 16-bit CMYK TIFF is the dearest: 8 bytes of samples
/// and 6 of RGB.
const BYTES_PER_PIXEL: u64 = 16;

/// What a decoder may allocate whatever the picture's size (tables, windows, metadata), in bytes.
const DECODER_OVERHEAD: u64 = 64 << 20;

/// What a single picture may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PictureLimits {
    /// The largest encoded picture, in bytes.
    pub max_bytes: u64,
    /// The most pixels (width × height) that a picture may have.
    pub max_pixels: u64,
}

impl Default for PictureLimits {
    /// 32 MiB holds any JPEG that a camera makes; 64 Mi pixels holds a 50-megapixel photograph and decodes to 192 MiB.
    fn default() -> Self {
        Self { max_bytes: 32 << 20, max_pixels: 64 << 20 }
    }
}

/// Why a picture can't be used. Each message says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// None of the formats that are read; `found` says what the content seems to be.
    #[error("not a picture: the content is none of JPEG, PNG, WebP, GIF, BMP, TIFF{found}")]
    NotAPicture {
        /// Empty, or a clause such as "; it looks like text".
        found: &'static str,
    },
    /// More encoded bytes than [`PictureLimits::max_bytes`].
    #[error("the picture has {bytes} bytes and at most {limit} are taken: save it smaller or as JPEG")]
    TooManyBytes {
        /// The bytes it has.
        bytes: u64,
        /// The bytes it may have.
        limit: u64,
    },
    /// More pixels than [`PictureLimits::max_pixels`].
    #[error("the picture has {width} × {height} pixels and at most {limit} in all are taken: scale it down")]
    TooManyPixels {
        /// Width in pixels, as the header says.
        width: u32,
        /// Height in pixels, as the header says.
        height: u32,
        /// The pixels it may have.
        limit: u64,
    },
    /// The decoder would need more memory than a picture of this many pixels should.
    #[error("this {format} needs too much memory to decode: save it again as JPEG or PNG")]
    TooMuchMemory {
        /// The format.
        format: PictureFormat,
    },
    /// The content ends before the picture does.
    #[error("this {format} is cut short: the file ends before the picture does; copy or export it again")]
    CutShort {
        /// The format.
        format: PictureFormat,
    },
    /// The decoder found the content broken.
    #[error("this {format} is broken ({detail}): copy or export it again")]
    Broken {
        /// The format.
        format: PictureFormat,
        /// The decoder's words.
        detail: String,
    },
    /// A corner of the format that isn't read.
    #[error("this {format} isn't read ({detail}): save it as an 8-bit RGB JPEG or PNG")]
    Unsupported {
        /// The format.
        format: PictureFormat,
        /// The decoder's words.
        detail: String,
    },
}

/// A decoded picture: 8-bit RGB, row-major, channels last (H × W × 3), upright. Has at least one pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    format: PictureFormat,
    rgb: Vec<u8>,
}

impl Picture {
    /// Width in pixels, after orientation.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, after orientation.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The format that it was decoded from.
    pub fn format(&self) -> PictureFormat {
        self.format
    }

    /// The pixels: height × width × 3 bytes, rows from the top, R then G then B.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} {}×{})", self.format, self.width, self.height)
    }
}

/// Decodes a whole encoded picture.
///
/// # Errors
/// When the content isn't one of the six formats, is broken or cut short, or goes beyond `limits`.
pub fn decode(bytes: &[u8], limits: &PictureLimits) -> Result<Picture, PictureError> {
    decode_enough(bytes, limits, None)
}

/// Decodes an encoded picture to a size that leaves its shorter side `enough` pixels: a JPEG that is far larger comes at a half,
/// a quarter or an eighth of its size, which costs less. `None` for the whole picture. What [`decode`] takes, this takes; of the
/// damage that makes [`decode`] refuse a far larger JPEG, it may overlook some.
///
/// # Errors
/// As [`decode`].
pub fn decode_enough(bytes: &[u8], limits: &PictureLimits, enough: Option<NonZeroU32>) -> Result<Picture, PictureError> {
    let length = bytes.len() as u64;
    if length > limits.max_bytes {
        return Err(PictureError::TooManyBytes { bytes: length, limit: limits.max_bytes });
    }
    let format = PictureFormat::sniff(bytes).ok_or_else(|| not_a_picture(bytes))?;
    // The decoders are fuzzed, but a panic left in one must cost the sender of that picture, not everyone else.
    let rgb = catch_unwind(|| decode_as(format, bytes, limits, enough))
        .unwrap_or_else(|_| Err(PictureError::Broken { format, detail: "the decoder gave up on it".into() }))?;
    let (width, height) = rgb.dimensions();
    Ok(Picture { width, height, format, rgb: rgb.into_raw() })
}

fn not_a_picture(bytes: &[u8]) -> PictureError {
    if bytes.is_empty() {
        return PictureError::Empty;
    }
    PictureError::NotAPicture { found: format::lookalike(bytes) }
}

fn decode_as(
    format: PictureFormat,
    bytes: &[u8],
    limits: &PictureLimits,
    enough: Option<NonZeroU32>,
) -> Result<RgbImage, PictureError> {
    if format == PictureFormat::Jpeg {
        return jpeg::decode(bytes, limits, enough);
    }
    let explain = |error| explain(format, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.for_decoder());
    // Opening reads headers only; the picture's own limit is set once its size is known.
    reader.limits(decoder_limits(0));
    let mut decoder = reader.into_decoder().map_err(explain)?;

    let pixels = pixels_of(format, decoder.dimensions(), limits)?;
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        // Nothing says which value is white, so any scaling to 8 bits would be a guess.
        return Err(PictureError::Unsupported { format, detail: "it holds floating-point samples".into() });
    }
    decoder.set_limits(decoder_limits(pixels)).map_err(explain)?;
    // Broken metadata doesn't make the pixels any worse.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok(upright(to_rgb(DynamicImage::from_decoder(decoder).map_err(explain)?), orientation))
}

/// Pixels of a picture of this width and height, one at least.
///
/// # Errors
/// It has none, or more than `limits` say.
fn pixels_of(format: PictureFormat, (width, height): (u32, u32), limits: &PictureLimits) -> Result<u64, PictureError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(PictureError::Broken { format, detail: "it has no pixels".into() });
    }
    if pixels > limits.max_pixels {
        return Err(PictureError::TooManyPixels { width, height, limit: limits.max_pixels });
    }
    Ok(pixels)
}

fn upright(rgb: RgbImage, orientation: Orientation) -> RgbImage {
    let mut upright = DynamicImage::ImageRgb8(rgb);
    upright.apply_orientation(orientation);
    upright.into_rgb8()
}

fn decoder_limits(pixels: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(decoder_bytes(pixels) as u64);
    limits
}

/// What a decoder may allocate for a picture of so many pixels, in bytes.
fn decoder_bytes(pixels: u64) -> usize {
    let bytes = pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(DECODER_OVERHEAD);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// To 8-bit RGB; what is transparent shows a white page behind it.
fn to_rgb(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u16::from);
        // The sum is at most 255 × 255, and half of 255 rounds to the nearest.
        image::Rgb([r, g, b].map(|c| ((c * a + 255 * (255 - a) + 127) / 255) as u8))
    })
}

fn explain(format: PictureFormat, error: ImageError) -> PictureError {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => PictureError::CutShort { format },
        ImageError::Limits(_) => PictureError::TooMuchMemory { format },
        ImageError::Unsupported(error) => PictureError::Unsupported { format, detail: error.to_string() },
        other => PictureError::Broken { format, detail: other.to_string() },
    }
}
