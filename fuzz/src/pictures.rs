//! Small pictures of every format and kind of pixel.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgba, RgbaImage};

use super::{LONGEST, cases};

/// 9 × 7, no two neighbours alike.
pub(crate) fn small() -> DynamicImage {
    RgbaImage::from_fn(9, 7, |x, y| Rgba([(x * 27) as u8, (y * 35) as u8, (x * y) as u8, (255 - x * 20) as u8])).into()
}

pub(crate) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("a Vec takes anything and the kind of pixel is the format's");
    bytes.into_inner()
}

/// An orientation as EXIF has it, in an APP1 segment after the start of image.
fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

/// Every format in every kind of pixel that its encoder takes, and the tests' own.
#[must_use]
pub fn pictures() -> Vec<Vec<u8>> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let image = small();
    let (rgb, grey) = (DynamicImage::from(image.to_rgb8()), DynamicImage::from(image.to_luma8()));
    let deep = [DynamicImage::from(image.to_rgb16()), DynamicImage::from(image.to_luma_alpha16())];
    let large = rgb.resize_exact(130, 70, image::imageops::FilterType::Nearest);
    let mut pictures: Vec<_> = [Png, WebP, Gif, Bmp, Tiff].map(|format| encoded(&image, format)).into();
    pictures.extend([Png, WebP, Gif, Bmp, Tiff, Jpeg].map(|format| encoded(&rgb, format)));
    pictures.extend([Png, Bmp, Tiff, Jpeg].map(|format| encoded(&grey, format)));
    pictures.push(encoded(&deep[0], Png));
    pictures.push(encoded(&deep[1], Png));
    pictures.push(encoded(&deep[0], Tiff));
    let jpeg = encoded(&large, Jpeg);
    pictures.push(with_exif(&jpeg, 6));
    pictures.push(jpeg);
    let mut gif = Vec::new();
    let frames = [255, 0].map(|red| Frame::new(RgbaImage::from_pixel(4, 4, Rgba([red, 0, 0, 255]))));
    GifEncoder::new(&mut gif).encode_frames(frames).expect("a Vec takes anything");
    pictures.push(gif);
    pictures.extend(cases::pictures().into_iter().map(|case| case.bytes).filter(|bytes| bytes.len() <= LONGEST));
    pictures
}
