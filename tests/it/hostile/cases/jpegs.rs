//! JPEGs.

use image::{ImageFormat, Rgb, RgbImage};

use super::Seen::{Pixel, Rejected, Size};
use super::jpeg::{ARITHMETIC, EXTENDED, Jpeg, LOSSLESS, PROGRESSIVE, exif, flat, orientation, scan, segment};
use super::{Picture, picture, written};

pub fn cases() -> Vec<Picture> {
    [colours(), frames(), metadata(), scans(), damage()].into_iter().flatten().collect()
}

fn grey() -> Jpeg {
    flat(16, 8, &[200])
}

/// Colours in every way of writing them.
fn colours() -> Vec<Picture> {
    let adobe = |components: &[u8], transform| flat(16, 8, components).with(|jpeg| jpeg.adobe = Some(transform)).bytes();
    vec![
        picture("jpeg-grey", grey().bytes(), Pixel(16, 8, [200; 3])),
        // Red in YCbCr (JFIF 1.02).
        picture("jpeg-ycbcr", flat(16, 8, &[76, 85, 255]).bytes(), Pixel(16, 8, [254, 0, 0])),
        picture("jpeg-rgb", adobe(&[250, 120, 10], 0), Pixel(16, 8, [250, 120, 10])),
        // Adobe stores how much of each ink is left out.
        picture("jpeg-cmyk", adobe(&[0, 255, 255, 255], 0), Pixel(16, 8, [0, 255, 255])),
        picture("jpeg-cmyk-black", adobe(&[255, 255, 255, 0], 0), Pixel(16, 8, [0; 3])),
        // What Y, Cb and Cr come to is the ink: red is what cyan leaves out.
        picture("jpeg-ycck", adobe(&[76, 85, 255, 255], 2), Pixel(16, 8, [1, 255, 255])),
        picture("jpeg-ycck-half-black", adobe(&[76, 85, 255, 128], 2), Pixel(16, 8, [1, 128, 128])),
        picture("jpeg-two-components", flat(16, 8, &[1, 2]).bytes(), Rejected("2 components")),
        picture("jpeg-five-components", flat(16, 8, &[1, 2, 3, 4, 5]).bytes(), Rejected("5 components")),
        picture("jpeg-no-components", flat(16, 8, &[]).bytes(), Rejected("0 components")),
    ]
}

/// Frames that lie, and frames of kinds that nobody writes.
fn frames() -> Vec<Picture> {
    let kind = |frame| grey().with(|jpeg| jpeg.frame = frame).bytes();
    let deep = |precision| grey().with(|jpeg| (jpeg.frame, jpeg.precision) = (EXTENDED, precision)).bytes();
    vec![
        picture("jpeg-one-pixel", flat(1, 1, &[31]).bytes(), Pixel(1, 1, [31; 3])),
        picture("jpeg-tall", flat(1, 4000, &[32]).bytes(), Pixel(1, 4000, [32; 3])),
        picture("jpeg-wide", flat(4000, 1, &[33]).bytes(), Pixel(4000, 1, [33; 3])),
        picture("jpeg-65535", flat(65_535, 65_535, &[34]).bytes(), Rejected("65535 × 65535 pixels")),
        picture("jpeg-no-width", flat(0, 8, &[35]).bytes(), Rejected("broken")),
        picture("jpeg-no-height", flat(8, 0, &[36]).bytes(), Rejected("broken")),
        picture("jpeg-progressive", kind(PROGRESSIVE), Pixel(16, 8, [200; 3])),
        picture("jpeg-lossless", kind(LOSSLESS), Rejected("baseline and progressive")),
        picture("jpeg-arithmetic", kind(ARITHMETIC), Rejected("baseline and progressive")),
        picture("jpeg-12-bits", deep(12), Rejected("12 bits")),
        picture("jpeg-255-bits", deep(255), Rejected("255 bits")),
        picture("jpeg-without-tables", grey().with(|jpeg| jpeg.tables = false).bytes(), Rejected("broken")),
    ]
}

/// EXIF and profiles that lie.
fn metadata() -> Vec<Picture> {
    let before = |value, segments: Vec<u8>| flat(16, 8, &[value]).with(|jpeg| jpeg.before.clone_from(&segments)).bytes();
    let turned = |value, orientation_value| before(value, orientation(orientation_value));
    // An entry that points to its own folder, which also follows itself.
    let looped = exif(&[0x87, 0x69, 0, 4, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8], 1);
    let beyond = exif(&[0x01, 0x12, 0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0xffff);
    let profile =
        |number: u8, of: u8, bytes: &[u8]| segment(0xe2, &[b"ICC_PROFILE\0", [number, of].as_slice(), bytes].concat());
    let huge: Vec<u8> = (1..=13).flat_map(|number| profile(number, 13, &[7; 60_000])).collect();
    let gap = [profile(1, 255, b"one"), profile(0, 0, b"none"), profile(9, 3, b"nine")].concat();
    vec![
        picture("jpeg-orientation-0", turned(1, 0), Pixel(16, 8, [1; 3])),
        picture("jpeg-orientation-9", turned(2, 9), Pixel(16, 8, [2; 3])),
        picture("jpeg-orientation-65535", turned(3, 65_535), Pixel(16, 8, [3; 3])),
        picture("jpeg-orientation-6", turned(4, 6), Pixel(8, 16, [4; 3])),
        picture("jpeg-exif-loop", before(5, looped), Pixel(16, 8, [5; 3])),
        picture("jpeg-exif-beyond", before(6, beyond), Pixel(16, 8, [6; 3])),
        picture("jpeg-exif-cut", before(7, segment(0xe1, b"Exif\0\0MM")), Pixel(16, 8, [7; 3])),
        picture("jpeg-exif-many", before(8, orientation(3).repeat(2000)), Pixel(16, 8, [8; 3])),
        picture("jpeg-profile-garbage", before(9, profile(1, 1, b"garbage")), Pixel(16, 8, [9; 3])),
        picture("jpeg-profile-huge", before(10, huge), Pixel(16, 8, [10; 3])),
        picture("jpeg-profile-gap", before(11, gap), Pixel(16, 8, [11; 3])),
        picture("jpeg-comment-is-a-page", before(12, segment(0xfe, b"<script>alert(1)</script>")), Pixel(16, 8, [12; 3])),
    ]
}

/// Scan after scan: each makes the decoder go through the whole picture again.
fn scans() -> Vec<Picture> {
    let again = |count: usize| {
        // The next bit of each mean, and nothing that says it.
        let more = [scan(1, [0, 0], 0x10), vec![0]].concat().repeat(count);
        flat(1600, 1600, &[60]).with(|jpeg| (jpeg.frame, jpeg.after) = (PROGRESSIVE, more.clone())).bytes()
    };
    let baseline = [scan(1, [0, 63], 0), vec![0; 4]].concat().repeat(30_000);
    vec![
        picture("jpeg-scans-30000", again(30_000), Rejected("scans")),
        picture("jpeg-scans-90", again(90), Size(1600, 1600)),
        picture(
            "jpeg-baseline-scans",
            flat(1600, 1600, &[61]).with(|jpeg| jpeg.after.clone_from(&baseline)).bytes(),
            Rejected("scans"),
        ),
    ]
}

fn damage() -> Vec<Picture> {
    let photograph = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, (x ^ y) as u8 * 4]));
    let whole = written(&photograph, ImageFormat::Jpeg);
    let cut = |at: usize| whole[..at].to_vec();
    let scan_at = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let mut restarts = whole.clone();
    for at in (scan_at + 20..whole.len() - 20).step_by(50) {
        restarts[at..at + 2].copy_from_slice(&[0xff, 0xd3]);
    }
    let mut noisy = whole.clone();
    for at in (scan_at + 20..whole.len() - 4).step_by(3) {
        noisy[at] = 0x5a;
    }
    let long = |marker| [&whole[..2], &[0xff, marker, 0xff, 0xff], &whole[2..]].concat();
    vec![
        picture("jpeg-cut-in-a-table", cut(40), Rejected("again")),
        picture("jpeg-cut-before-the-scan", cut(scan_at), Rejected("again")),
        picture("jpeg-cut-in-the-scan", cut(scan_at + 100), Rejected("again")),
        picture("jpeg-cut-before-its-end", cut(whole.len() - 2), Rejected("cut short")),
        picture("jpeg-only-its-start", vec![0xff, 0xd8, 0xff], Rejected("again")),
        picture("jpeg-start-and-end", vec![0xff, 0xd8, 0xff, 0xd9], Rejected("broken")),
        picture("jpeg-restarts", restarts, Size(64, 64)),
        picture("jpeg-noise-in-the-scan", noisy, Size(64, 64)),
        picture("jpeg-comment-too-long", long(0xfe), Rejected("again")),
        picture("jpeg-table-too-long", long(0xc4), Rejected("again")),
        picture("jpeg-and-zip", [whole.clone(), super::zip::zip_with(&[])].concat(), Size(64, 64)),
        picture("jpeg-and-page", [whole, b"<script>alert(1)</script>".to_vec()].concat(), Size(64, 64)),
    ]
}
