//! What is no archive, or more than one thing at once.

use super::Outcome::Refused;
use super::zip::zip_with;
use super::{Archive, archive, gzip, noise, small, written};

pub fn cases() -> Vec<Archive> {
    let unknown = |name: &str, bytes: Vec<u8>| archive(name, bytes, Refused("unknown_archive"));
    let jpeg = written(&image::RgbImage::new(8, 8), image::ImageFormat::Jpeg);
    vec![
        unknown("nothing", Vec::new()),
        unknown("one-byte", vec![b'P']),
        unknown("text", b"just some text".to_vec()),
        unknown("noise", noise(5000)),
        unknown("web-page", b"<!doctype html><html><script>alert(1)</script>".to_vec()),
        unknown("picture", small(1)),
        unknown("jpeg-and-zip", [jpeg, zip_with(&[])].concat()),
        unknown("gif-and-zip", [b"GIF89a".to_vec(), zip_with(&[])].concat()),
        unknown("pdf-and-zip", [b"%PDF-1.7\n".to_vec(), zip_with(&[])].concat()),
        unknown("rar", b"Rar!\x1a\x07\x01\0rest".to_vec()),
        unknown("seven-zip", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec()),
        unknown("xz", b"\xfd7zXZ\0rest".to_vec()),
        unknown("bzip2", b"BZh91AY&SY".to_vec()),
        archive("zeros", vec![0; 700_000], Refused("empty_archive")),
        unknown("gz-of-text", gzip(b"just some text")),
    ]
}
