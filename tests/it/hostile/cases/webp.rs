//! WebPs (RFC 9649).

use image::{ImageFormat, Rgb, RgbImage};

use super::Seen::{Pixel, Rejected, Size};
use super::{Picture, picture, written};

fn chunk(kind: &[u8; 4], bytes: &[u8]) -> Vec<u8> {
    let padding = vec![0; bytes.len() % 2];
    [kind, (bytes.len() as u32).to_le_bytes().as_slice(), bytes, &padding].concat()
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"WEBP".to_vec(), chunks.concat()].concat();
    [b"RIFF".to_vec(), (body.len() as u32).to_le_bytes().to_vec(), body].concat()
}

/// The extended header: flags, then width and height less one in 3 bytes each.
fn extended(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let size = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    chunk(b"VP8X", &[vec![flags, 0, 0, 0], size(width), size(height)].concat())
}

/// A lossless picture's start: its signature, then 14 bits of width less one, 14 of height less one, 4 of the rest.
fn lossless(width: u32, height: u32, rest: &[u8]) -> Vec<u8> {
    let head = (width - 1) | (height - 1) << 14;
    chunk(b"VP8L", &[&[0x2f], head.to_le_bytes().as_slice(), rest].concat())
}

/// A key frame's start: its tag, its start code, its size.
fn lossy(width: u16, height: u16, rest: &[u8]) -> Vec<u8> {
    let tag = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a];
    chunk(b"VP8 ", &[&tag, width.to_le_bytes().as_slice(), &height.to_le_bytes(), rest].concat())
}

pub fn cases() -> Vec<Picture> {
    const ANIMATED: u8 = 2;
    const ALPHA: u8 = 16;
    let whole = written(&RgbImage::from_pixel(7, 5, Rgb([9, 8, 7])), ImageFormat::WebP);
    let inner = whole[12..].to_vec();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let frame = chunk(b"ANMF", &[vec![0; 6], vec![6, 0, 0, 4, 0, 0], vec![0; 4], inner.clone()].concat());
    let frame_beyond = chunk(b"ANMF", &[vec![0xff; 6], vec![6, 0, 0, 4, 0, 0], vec![0; 4], inner.clone()].concat());
    let frame_large = chunk(b"ANMF", &[vec![0; 6], vec![0xff; 6], vec![0; 4], inner.clone()].concat());
    let animated = |frame: &[u8]| {
        let loops = chunk(b"ANIM", &[0; 6]);
        webp(&[extended(ANIMATED, 7, 5), loops, frame.to_vec()])
    };
    vec![
        picture("webp-lossless", whole.clone(), Pixel(7, 5, [9, 8, 7])),
        picture("webp-animated", animated(&frame), Pixel(7, 5, [9, 8, 7])),
        picture("webp-frame-beyond", animated(&frame_beyond), Rejected("broken")),
        picture("webp-frame-larger", animated(&frame_large), Rejected("broken")),
        picture("webp-animated-without-frames", animated(&[]), Rejected("broken")),
        picture("webp-extended-the-most", webp(&[extended(0, 1 << 24, 1 << 24), inner.clone()]), Rejected("broken")),
        picture("webp-extended-larger", webp(&[extended(0, 1900, 1900), inner.clone()]), Rejected("broken")),
        picture("webp-lossless-16383", webp(&[lossless(16_383, 16_383, &[0; 20])]), Rejected("16383 × 16383 pixels")),
        picture("webp-lossless-garbage", webp(&[lossless(40, 40, &[0xff; 40])]), Rejected("broken")),
        picture("webp-lossy-16383", webp(&[lossy(16_383, 16_383, &[0; 20])]), Rejected("16383 × 16383 pixels")),
        picture("webp-lossy-no-width", webp(&[lossy(0, 9, &[0; 20])]), Rejected("broken")),
        picture("webp-lossy-garbage", webp(&[lossy(40, 40, &[0xff; 200])]), Rejected("broken")),
        picture("webp-claims-4-gib", with(4, &[0xff; 4]), Size(7, 5)),
        picture("webp-claims-nothing", with(4, &[0; 4]), Pixel(7, 5, [9, 8, 7])),
        picture("webp-chunk-of-4-gib", with(16, &[0xff; 4]), Pixel(7, 5, [9, 8, 7])),
        picture("webp-chunk-of-nothing", with(16, &[0; 4]), Rejected("broken")),
        picture("webp-no-such-chunk", with(12, b"QQQQ"), Rejected("broken")),
        picture(
            "webp-alpha-garbage",
            webp(&[extended(ALPHA, 7, 5), chunk(b"ALPH", &[0xff; 9]), inner]),
            Pixel(7, 5, [9, 8, 7]),
        ),
        picture("webp-cut", whole[..whole.len() - 5].to_vec(), Rejected("again")),
        picture("webp-only-its-header", whole[..12].to_vec(), Rejected("again")),
    ]
}
