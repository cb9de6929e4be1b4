//! Every format, every orientation, and content that is none of it.

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, Rgba, RgbaImage};
use proptest::prelude::*;

use super::fixtures::*;
use super::*;

/// 16 × 16 CMYK with Adobe's inverted samples: cyan and yellow above, black and white below.
const CMYK_JPEG: &str = "\
ffd8ffee000e41646f626500640000000000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b0a\
0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc000140800100010044311004d11005911004b1100ff\
c400160001010100000000000000000000000000000a09ffc40014100100000000000000000000000000000000ffda000e0443004d0059\
004b00003f00caa6a9b54daa6aa812ae02aa12ae02aa1fffd9";

/// 4 × 4, lossless, a red frame and then a blue one.
const ANIMATED_WEBP: &str = "\
524946468400000057454250565038580a00000002000000030000030000414e494d06000000000000000000414e4d4628000000000000\
000000030000030000640000025650384c0f0000002f03c000000710fd8ffe0722a2ff0100414e4d462800000000000000000003000003\
0000640000005650384c0f0000002f03c000000710d1fffe0722a2ff0100";

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn decoded(bytes: &[u8]) -> Picture {
    let picture = decode(bytes, &PictureLimits::default()).unwrap();
    assert_eq!(picture.rgb().len(), picture.width() as usize * picture.height() as usize * 3);
    picture
}

fn refused(bytes: &[u8]) -> PictureError {
    decode(bytes, &PictureLimits::default()).unwrap_err()
}

#[test]
fn every_format_decodes_whatever_its_name_would_be() {
    for (image_format, format) in FORMATS {
        let bytes = encoded(&corners(), image_format);
        assert_eq!(PictureFormat::sniff(&bytes), Some(format));
        let picture = decoded(&bytes);
        assert_eq!((picture.format(), picture.width(), picture.height()), (format, 32, 16));
        assert_near(quarters(&picture), [RED, GREEN, BLUE, WHITE]);
    }
}

#[test]
fn format_names_are_the_same_everywhere() {
    for (_, format) in FORMATS {
        let json = serde_json::to_string(&format).unwrap();
        assert_eq!(json, format!("\"{}\"", format.as_str()));
        assert_eq!(serde_json::from_str::<PictureFormat>(&json).unwrap(), format);
        assert_eq!(PictureFormat::from_name(format.as_str()), Some(format));
        assert_eq!(format.media_type(), format!("image/{}", format.as_str()));
    }
}

#[test]
fn all_eight_orientations_come_out_upright() {
    // Where the stored corners belong, from the definition of each value (EXIF 2.3, tag 0x0112).
    let expected = [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (4, [BLUE, WHITE, RED, GREEN]),
        (5, [RED, BLUE, GREEN, WHITE]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (7, [WHITE, GREEN, BLUE, RED]),
        (8, [GREEN, WHITE, RED, BLUE]),
    ];
    let jpeg = encoded(&corners(), ImageFormat::Jpeg);
    for (orientation, corners) in expected {
        let picture = decoded(&with_exif(&jpeg, orientation));
        let size = if orientation < 5 { (32, 16) } else { (16, 32) };
        assert_eq!((picture.width(), picture.height()), size, "orientation {orientation}");
        assert_near(quarters(&picture), corners);
    }
    assert_near(quarters(&decoded(&with_exif(&jpeg, 77))), [RED, GREEN, BLUE, WHITE]);
}

#[test]
fn cmyk_comes_out_as_rgb() {
    let picture = decoded(&unhex(CMYK_JPEG));
    assert_near(quarters(&picture), [[0, 255, 255], [255, 255, 0], [0, 0, 0], WHITE]);
}

#[test]
fn grey_is_spread_and_sixteen_bits_are_scaled() {
    let grey = DynamicImage::from(image::GrayImage::from_pixel(8, 8, image::Luma([77])));
    assert_eq!(quarters(&decoded(&encoded(&grey, ImageFormat::Jpeg))), [[77; 3]; 4]);
    let deep = image::ImageBuffer::from_pixel(8, 8, Rgb([65535u16, 0x8000, 257 * 9]));
    for format in [PNG, ImageFormat::Tiff] {
        let bytes = encoded(&DynamicImage::ImageRgb16(deep.clone()), format);
        assert_eq!(quarters(&decoded(&bytes)), [[255, 128, 9]; 4]);
    }
}

#[test]
fn what_is_transparent_shows_white() {
    let pixels = [[255, 0, 0, 255], [255, 0, 0, 0], [255, 0, 0, 128], [0, 0, 0, 51]];
    let image = RgbaImage::from_fn(4, 4, |x, y| Rgba(pixels[(y / 2 * 2 + x / 2) as usize]));
    for format in [PNG, ImageFormat::WebP, ImageFormat::Tiff] {
        let picture = decoded(&encoded(&image.clone().into(), format));
        assert_eq!(quarters(&picture), [RED, WHITE, [255, 127, 127], [204; 3]], "{format:?}");
    }
    let grey = image::ImageBuffer::from_pixel(4, 4, image::LumaA([0u8, 0]));
    assert_eq!(quarters(&decoded(&encoded(&DynamicImage::ImageLumaA8(grey), PNG))), [WHITE; 4]);
}

#[test]
fn of_an_animation_the_first_frame_is_taken() {
    let mut gif = Vec::new();
    let frame = |[r, g, b]: [u8; 3]| Frame::new(RgbaImage::from_pixel(4, 4, Rgba([r, g, b, 255])));
    GifEncoder::new(&mut gif).encode_frames([frame(RED), frame(BLUE)]).unwrap();
    assert_near(quarters(&decoded(&gif)), [RED; 4]);
    assert_near(quarters(&decoded(&unhex(ANIMATED_WEBP))), [RED; 4]);
}

#[test]
fn floating_point_is_refused_with_its_reason() {
    let image = DynamicImage::ImageRgb32F(image::ImageBuffer::from_pixel(2, 2, Rgb([0.5f32; 3])));
    assert!(refused(&encoded(&image, ImageFormat::Tiff)).to_string().contains("floating-point"));
}

#[test]
fn what_is_cut_short_is_refused_in_every_format() {
    for (image_format, format) in FORMATS {
        let bytes = encoded(&gradient(64, 64), image_format);
        for cut in [bytes.len() / 2, bytes.len() * 3 / 4] {
            let error = refused(&bytes[..cut]);
            let expected = matches!(error, PictureError::CutShort { .. } | PictureError::Broken { .. });
            assert!(expected && error.to_string().contains("again"), "{format} cut at {cut}: {error}");
        }
    }
}

#[test]
fn a_jpeg_ends_at_its_own_end_and_not_at_its_thumbnails() {
    let jpeg = encoded(&gradient(64, 64), ImageFormat::Jpeg);
    let mut trailed = jpeg.clone();
    trailed.extend(b"a phone's trailer \xff\xd8");
    assert_eq!(decoded(&trailed), decoded(&jpeg));
    // A whole JPEG inside a metadata segment of one that is cut short.
    let length = (jpeg.len() as u16 + 2).to_be_bytes();
    let nested = [&jpeg[..2], &[0xff, 0xe2], &length, &jpeg, &jpeg[2..]].concat();
    assert_eq!(decoded(&nested), decoded(&jpeg));
    assert_eq!(refused(&nested[..nested.len() - 2]), PictureError::CutShort { format: PictureFormat::Jpeg });
}

fn decoded_enough(bytes: &[u8], enough: u32) -> Picture {
    decode_enough(bytes, &PictureLimits::default(), NonZeroU32::new(enough)).unwrap()
}

#[test]
fn a_jpeg_comes_as_small_as_is_enough() {
    let jpeg = encoded(&corners().resize_exact(641, 320, image::imageops::FilterType::Nearest), ImageFormat::Jpeg);
    for (enough, size) in [(40, (81, 40)), (41, (161, 80)), (81, (321, 160)), (160, (321, 160)), (161, (641, 320))] {
        let picture = decoded_enough(&jpeg, enough);
        assert_eq!((picture.width(), picture.height()), size, "{enough}");
        assert_near(quarters(&picture), [RED, GREEN, BLUE, WHITE]);
    }
    // Upright after it, grey and CMYK as ever, and no other format comes small.
    let turned = decoded_enough(&with_exif(&jpeg, 6), 40);
    assert_eq!((turned.width(), turned.height()), (40, 81));
    assert_near(quarters(&turned), [BLUE, RED, WHITE, GREEN]);
    let grey = DynamicImage::from(image::GrayImage::from_pixel(64, 64, image::Luma([77])));
    let grey = decoded_enough(&encoded(&grey, ImageFormat::Jpeg), 8);
    assert_eq!((grey.width(), quarters(&grey)), (8, [[77; 3]; 4]));
    let cmyk = unhex(CMYK_JPEG);
    assert_eq!(decoded_enough(&cmyk, 1), decoded(&cmyk));
    let png = encoded(&gradient(640, 640), PNG);
    assert_eq!(decoded_enough(&png, 8), decoded(&png));
}

/// A PNG whose header claims `width` × `height`, its checksum right.
fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut png = encoded(&gradient(1, 1), PNG);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    png
}

#[test]
fn sizes_are_refused_by_the_header_alone() {
    let (width, height) = (60_000u32, 60_000u32);
    // A screen of 60,000 × 60,000, and on it a frame of one pixel with two colours of its own.
    let frame = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0x80, 0, 0, 0, 255, 255, 255, 2, 2, 0x44, 1, 0, 0x3b];
    let gif = [b"GIF89a".as_slice(), &[0x60, 0xea, 0x60, 0xea, 0, 0, 0], &frame].concat();
    let mut bmp = encoded(&gradient(1, 1), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&width.to_le_bytes());
    bmp[22..26].copy_from_slice(&height.to_le_bytes());
    for bytes in [png_claiming(width, height), gif, bmp] {
        let limit = PictureLimits::default().max_pixels;
        assert_eq!(refused(&bytes), PictureError::TooManyPixels { width, height, limit });
    }
    let limits = PictureLimits { max_pixels: 4096, ..PictureLimits::default() };
    let bytes = encoded(&gradient(64, 64), PNG);
    assert!(decode(&bytes, &limits).is_ok());
    assert!(decode(&bytes, &PictureLimits { max_pixels: 4095, ..limits }).is_err());
    let max_bytes = bytes.len() as u64 - 1;
    let error = decode(&bytes, &PictureLimits { max_bytes, ..limits }).unwrap_err();
    assert_eq!(error, PictureError::TooManyBytes { bytes: max_bytes + 1, limit: max_bytes });
}

#[test]
fn what_is_no_picture_is_named() {
    assert_eq!(refused(b""), PictureError::Empty);
    for (bytes, expected) in [
        (b"name,label\n1.jpg,daisy\n".as_slice(), "; it looks like text"),
        ("pâquerette".as_bytes(), "; it looks like text"),
        (b"BM is no bitmap here", "; it looks like text"),
        (b"<?xml version=\"1.0\"?><svg width=\"4\"/>", "SVG"),
        (b"<!DOCTYPE html><html>404", "web page"),
        (b"%PDF-1.7\n\x80\x81", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"PK\x03\x04\x14\0", "zip"),
    ] {
        let message = refused(bytes).to_string();
        assert!(message.starts_with("not a picture: the content is none of JPEG, PNG"), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    assert!(refused(b"\x01\x02\x03\x04").to_string().ends_with("TIFF"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn damage_is_refused_or_decoded_and_never_worse(
        which in 0usize..6, damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut bytes = encoded(&gradient(24, 17), FORMATS[which].0);
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let limits = PictureLimits { max_pixels: 1 << 20, ..PictureLimits::default() };
        for picture in [decode(&bytes, &limits), decode_enough(&bytes, &limits, NonZeroU32::new(2))].into_iter().flatten() {
            prop_assert_eq!(picture.rgb().len(), picture.width() as usize * picture.height() as usize * 3);
            prop_assert!(u64::from(picture.width()) * u64::from(picture.height()) <= 1 << 20);
        }
    }
}
