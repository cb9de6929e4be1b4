//! Small pictures for people to look at, of pictures of any size and format.

use std::num::NonZeroU32;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageError};

use crate::vision::picture::{self, PictureError, PictureLimits};
use crate::vision::preprocessing::{Region, resample};

/// Of the JPEG, of 100: at this size nobody sees what it leaves out.
const QUALITY: u8 = 80;

/// Pixels of the decoded picture's shorter side for each of the thumbnail's longer side, beyond which a decoder may leave detail
/// out: enough that no pixel of the thumbnail stretches over several.
const DETAIL: u32 = 2;

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// The picture can't be used.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// It can't be encoded: its sides are longer than a JPEG's can be.
    #[error("the thumbnail can't be encoded: {0}")]
    Encode(#[from] ImageError),
}

/// A JPEG of an encoded picture, upright, its longer side `side` pixels long, or as long as the picture's if that is shorter. The
/// aspect ratio is kept, to the nearest pixel.
///
/// # Errors
/// As [`picture::decode`]; a side that no JPEG can have.
pub fn thumbnail(bytes: &[u8], side: u32, limits: &PictureLimits) -> Result<Vec<u8>, ThumbnailError> {
    let picture = picture::decode_enough(bytes, limits, NonZeroU32::new(side.saturating_mul(DETAIL)))?;
    let size = [picture.width(), picture.height()];
    let [width, height] = fitted(size, side);
    let size = size.map(f64::from);
    let whole = Region::around(&picture, size.map(|length| length / 2.0), size);
    let rgb = resample(&picture, &whole, width, height);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(&rgb, width, height, ExtendedColorType::Rgb8)?;
    Ok(jpeg)
}

/// Width and height scaled down until neither is longer than `side`, and neither gone.
fn fitted(size: [u32; 2], side: u32) -> [u32; 2] {
    let longer = size[0].max(size[1]);
    if longer <= side {
        return size;
    }
    let (longer, side) = (u64::from(longer), u64::from(side));
    // At most `side`, as no length is longer than the longer one.
    size.map(|length| ((u64::from(length) * side + longer / 2) / longer).max(1) as u32)
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;
    use crate::vision::picture::fixtures::{
        BLUE, FORMATS, GREEN, PNG, RED, WHITE, assert_near, corners, encoded, gradient, quarters, with_exif,
    };
    use crate::vision::picture::{Picture, PictureFormat, decode};

    fn small(bytes: &[u8], side: u32) -> Picture {
        let limits = PictureLimits::default();
        let picture = decode(&thumbnail(bytes, side, &limits).unwrap(), &limits).unwrap();
        assert_eq!(picture.format(), PictureFormat::Jpeg);
        picture
    }

    fn size(picture: &Picture) -> (u32, u32) {
        (picture.width(), picture.height())
    }

    #[test]
    fn every_format_comes_as_a_small_jpeg() {
        // Of the JPEG, half is decoded: its shorter side is four times the thumbnail's longer one.
        let large = corners().resize_exact(640, 320, image::imageops::FilterType::Nearest);
        for (image_format, format) in FORMATS {
            let picture = small(&encoded(&large, image_format), 80);
            assert_eq!(size(&picture), (80, 40), "{format}");
            assert_near(quarters(&picture), [RED, GREEN, BLUE, WHITE]);
        }
        let turned = small(&with_exif(&encoded(&large, ImageFormat::Jpeg), 6), 80);
        assert_eq!(size(&turned), (40, 80));
        assert_near(quarters(&turned), [BLUE, RED, WHITE, GREEN]);
    }

    #[test]
    fn nothing_is_enlarged_and_no_side_goes() {
        for (width, height, expected) in
            [(40, 30, (40, 30)), (64, 64, (64, 64)), (65, 64, (64, 63)), (2000, 1, (64, 1)), (3, 700, (1, 64)), (1, 1, (1, 1))]
        {
            assert_eq!(size(&small(&encoded(&gradient(width, height), PNG), 64)), expected, "{width} × {height}");
        }
    }

    #[test]
    fn what_is_transparent_shows_white() {
        let image = RgbaImage::from_pixel(100, 100, Rgba([255, 0, 0, 0]));
        assert_near(quarters(&small(&encoded(&image.into(), PNG), 32)), [WHITE; 4]);
    }

    #[test]
    fn what_is_broken_has_none() {
        let png = encoded(&gradient(64, 64), PNG);
        let refused = |bytes: &[u8], limits: PictureLimits| thumbnail(bytes, 32, &limits).unwrap_err();
        assert!(matches!(refused(&png[..png.len() / 2], PictureLimits::default()), ThumbnailError::Picture(_)));
        let limits = PictureLimits { max_pixels: 4095, ..PictureLimits::default() };
        assert!(matches!(refused(&png, limits), ThumbnailError::Picture(PictureError::TooManyPixels { .. })));
        let long = encoded(&gradient(70_000, 1), PNG);
        let unlimited = thumbnail(&long, u32::MAX, &PictureLimits::default());
        assert!(matches!(unlimited, Err(ThumbnailError::Encode(_))), "no JPEG is 70,000 pixels wide");
    }

    proptest! {
        #[test]
        fn the_longer_side_is_the_one_asked_for(width in 1u32..100_000, height in 1u32..100_000, side in 1u32..1000) {
            let [w, h] = fitted([width, height], side);
            prop_assert_eq!(w.max(h), side.min(width.max(height)));
            prop_assert!(w > 0 && h > 0 && w <= width && h <= height);
            // Within half a pixel of the exact length, unless that would be none.
            let exact = [width, height].map(|length| f64::from(length) * f64::from(w.max(h)) / f64::from(width.max(height)));
            prop_assert!([w, h].iter().zip(exact).all(|(got, exact)| *got == 1 || (f64::from(*got) - exact).abs() <= 0.5));
        }
    }
}
