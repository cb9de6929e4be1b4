//! Pictures and archives made by code.

use std::io::{Cursor, Write};

use image::{ImageFormat, Rgb, RgbImage};

/// A picture of `class` (of a few that differ in colour and stripes); `n` varies it.
pub fn picture(class: usize, n: usize) -> RgbImage {
    sized(class, n, 96, 80)
}

/// The same in another size.
pub fn sized(class: usize, n: usize, width: u32, height: u32) -> RgbImage {
    let base = [[200, 60, 40], [40, 160, 70], [50, 80, 210], [210, 190, 50]][class % 4];
    let period = 6 + 5 * class as u32;
    RgbImage::from_fn(width, height, |x, y| {
        let stripe = (x + y * class as u32 + 3 * n as u32) % period < period / 2;
        let wobble = ((x * 7 + y * 13 + n as u32 * 29) % 23) as i32 - 11;
        Rgb(base.map(|c: i32| (c + wobble - if stripe { 40 } else { 0 }).clamp(0, 255) as u8))
    })
}

/// A picture of many blots, which are elsewhere for each `seed`: as unlike others as photographs are.
pub fn scene(seed: u32) -> RgbImage {
    let noise = |n: u32| (n.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 16;
    let blot = |n: u32| [noise(4 * n) % 320, noise(4 * n + 1) % 240, 6 + noise(4 * n + 2) % 40, noise(4 * n + 3) % 200];
    let blots: Vec<[f32; 4]> = (0..40).map(|n| blot(n).map(|value| value as f32)).collect();
    RgbImage::from_fn(320, 240, |x, y| {
        let height = |[cx, cy, r, v]: &[f32; 4]| {
            let far = (x as f32 - cx).powi(2) + (y as f32 - cy).powi(2);
            v * (-far / (r * r)).exp()
        };
        let sum: f32 = blots.iter().map(height).sum();
        Rgb([sum.min(255.0) as u8, (sum * 0.8).min(255.0) as u8, 60])
    })
}

/// An encoded picture.
pub fn encoded(class: usize, n: usize, format: ImageFormat) -> Vec<u8> {
    written(&picture(class, n), format)
}

/// A picture's file.
pub fn written(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A zip of the entries.
pub fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A tar of the entries.
pub fn tar(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// `Class/picture` entries: `each` PNGs of each of `classes` classes, named red, green, blue, yellow.
pub fn entries(classes: usize, each: usize) -> Vec<(String, Vec<u8>)> {
    let names = ["red", "green", "blue", "yellow"];
    let picture =
        |(class, n): (usize, usize)| (format!("toys/{}/{n:02}.png", names[class]), encoded(class, n, ImageFormat::Png));
    (0..classes).flat_map(|class| (0..each).map(move |n| (class, n))).map(picture).collect()
}
