//! Archives and pictures that mean harm, or that look as if they did, each with what must become of it. All are made by code.

mod bmp;
mod gif;
mod jpeg;
mod jpegs;
mod names;
mod other;
mod png;
mod pngs;
mod tar;
mod tar_headers;
mod tars;
mod tiff;
mod webp;
mod zip;
mod zip_lies;
mod zips;

use std::io::{Cursor, Write};

use image::{ImageFormat, Rgb, RgbImage};

/// An upload, and what must become of it.
pub struct Archive {
    pub name: String,
    pub bytes: Vec<u8>,
    pub outcome: Outcome,
}

/// What must become of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It isn't taken at all, with this code.
    Refused(&'static str),
    /// It is taken and then fails, with this code.
    Failed(&'static str),
    /// It becomes a data set of so many pictures. The entries that aren't taken, in any order: how each path ends, and a part of
    /// the reason.
    Ready(u64, Vec<(&'static str, &'static str)>),
}

/// A file that claims to be a picture, and what must become of it.
pub struct Picture {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub outcome: Seen,
}

/// What must become of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is a picture of this width and height.
    Size(u32, u32),
    /// The same, and its top left pixel is this one, give or take 2.
    Pixel(u32, u32, [u8; 3]),
    /// It isn't taken; a part of the reason.
    Rejected(&'static str),
}

/// The limits that the cases are made for, as flags of the server.
pub const LIMITS: [(&str, u64); 5] = [
    ("--max-entries", 200),
    ("--max-path-bytes", 256),
    ("--max-expanded-bytes", 100 << 20),
    ("--max-picture-bytes", 1 << 20),
    ("--max-picture-pixels", 4_000_000),
];

/// Every archive.
pub fn archives() -> Vec<Archive> {
    [names::cases(), zips::cases(), zip_lies::cases(), tars::cases(), tar_headers::cases(), other::cases()].concat_all()
}

/// Every picture.
pub fn pictures() -> Vec<Picture> {
    [pngs::cases(), jpegs::cases(), gif::cases(), bmp::cases(), tiff::cases(), webp::cases()].concat_all()
}

/// Joins lists of what can't be cloned.
trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}

fn archive(name: impl Into<String>, bytes: Vec<u8>, outcome: Outcome) -> Archive {
    Archive { name: name.into(), bytes, outcome }
}

fn picture(name: &'static str, bytes: Vec<u8>, outcome: Seen) -> Picture {
    Picture { name, bytes, outcome }
}

/// A small PNG; different numbers give different ones.
pub fn small(number: u8) -> Vec<u8> {
    written(&RgbImage::from_fn(6, 5, |x, y| Rgb([number, (x * 40) as u8, (y * 50) as u8])), ImageFormat::Png)
}

/// The file of a picture.
pub fn written(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A JPEG with an EXIF segment that has only an orientation.
pub fn turned(jpeg: &[u8], orientation: u16) -> Vec<u8> {
    [&jpeg[..2], &jpeg::orientation(orientation), &jpeg[2..]].concat()
}

/// Two pictures of each of two classes: what makes a data set of an archive, whatever else is in it.
fn good() -> Vec<(&'static str, Vec<u8>)> {
    vec![("a/1.png", small(1)), ("a/2.png", small(2)), ("b/3.png", small(3)), ("b/4.png", small(4))]
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Bytes that don't compress: a linear congruential generator's (Knuth's MMIX constants) upper byte.
fn noise(count: usize) -> Vec<u8> {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(1u64), next).map(|state| (state >> 56) as u8).take(count).collect()
}
