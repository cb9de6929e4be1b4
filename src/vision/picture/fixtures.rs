//! Pictures that tests are made of, here and in other modules.

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::*;

pub(crate) const PNG: ImageFormat = ImageFormat::Png;

pub(crate) const FORMATS: [(ImageFormat, PictureFormat); 6] = [
    (ImageFormat::Jpeg, PictureFormat::Jpeg),
    (ImageFormat::Png, PictureFormat::Png),
    (ImageFormat::WebP, PictureFormat::WebP),
    (ImageFormat::Gif, PictureFormat::Gif),
    (ImageFormat::Bmp, PictureFormat::Bmp),
    (ImageFormat::Tiff, PictureFormat::Tiff),
];

pub(crate) const RED: [u8; 3] = [255, 0, 0];
pub(crate) const GREEN: [u8; 3] = [0, 255, 0];
pub(crate) const BLUE: [u8; 3] = [0, 0, 255];
pub(crate) const WHITE: [u8; 3] = [255, 255, 255];

/// A picture no two of whose neighbours are alike.
pub(crate) fn gradient(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x + y) as u8])).into()
}

pub(crate) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// 32 × 16: red and green above, blue and white below.
pub(crate) fn corners() -> DynamicImage {
    let quarters = [RED, GREEN, BLUE, WHITE];
    RgbImage::from_fn(32, 16, |x, y| Rgb(quarters[(y / 8 * 2 + x / 16) as usize])).into()
}

/// A TIFF structure with an orientation alone, as EXIF has it, in an APP1 segment after the start of image.
pub(crate) fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

/// The middles of the four quarters: top left, top right, bottom left, bottom right.
pub(crate) fn quarters(picture: &Picture) -> [[u8; 3]; 4] {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    [(w / 4, h / 4), (w * 3 / 4, h / 4), (w / 4, h * 3 / 4), (w * 3 / 4, h * 3 / 4)].map(|(x, y)| {
        let at = (y * w + x) * 3;
        [picture.rgb()[at], picture.rgb()[at + 1], picture.rgb()[at + 2]]
    })
}

#[track_caller]
pub(crate) fn assert_near(got: [[u8; 3]; 4], expected: [[u8; 3]; 4]) {
    let worst = got.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(8), "{got:?} isn't {expected:?}");
}
