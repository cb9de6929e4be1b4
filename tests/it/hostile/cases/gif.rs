//! GIFs (GIF89a specification).

use super::Seen::{Pixel, Rejected, Size};
use super::{Picture, picture};

/// A screen's size and whether it has a table of two colours: red and blue.
fn screen(width: u16, height: u16, table: bool) -> Vec<u8> {
    let flags = if table { 0x80 } else { 0 };
    let head = [b"GIF89a".as_slice(), &width.to_le_bytes(), &height.to_le_bytes(), &[flags, 0, 0]].concat();
    if table { [head, vec![255, 0, 0, 0, 0, 255]].concat() } else { head }
}

/// A frame at a place, all of its first colour where `codes` say so.
fn frame(left: u16, top: u16, width: u16, height: u16, codes: &[u8]) -> Vec<u8> {
    let numbers = [left, top, width, height].map(u16::to_le_bytes).concat();
    [&[0x2c], numbers.as_slice(), &[0, 2, codes.len() as u8], codes, &[0]].concat()
}

/// Codes of 3 bits for one pixel: clear, the colour, end.
fn one(colour: u8) -> [u8; 2] {
    let bits = 4 | u16::from(colour) << 3 | 5 << 6;
    bits.to_le_bytes()
}

fn gif(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0x3b]].concat()
}

pub fn cases() -> Vec<Picture> {
    let red = || frame(0, 0, 1, 1, &one(0));
    let blue = || frame(0, 0, 1, 1, &one(1));
    let script = [b"GIF89a/*".as_slice(), &[0; 20], b"*/=1;alert(1)//"].concat();
    vec![
        picture("gif-one-pixel", gif(&[screen(1, 1, true), red()]), Pixel(1, 1, [255, 0, 0])),
        picture("gif-animated", gif(&[screen(1, 1, true), blue(), red()]), Pixel(1, 1, [0, 0, 255])),
        picture("gif-60000", gif(&[screen(60_000, 60_000, true), red()]), Rejected("60000 × 60000 pixels")),
        picture("gif-65535", gif(&[screen(65_535, 65_535, true), red()]), Rejected("65535 × 65535 pixels")),
        picture("gif-no-screen", gif(&[screen(0, 0, true), red()]), Rejected("broken")),
        picture("gif-frame-without-pixels", gif(&[screen(2, 2, true), frame(0, 0, 0, 0, &one(0))]), Rejected("broken")),
        picture("gif-frame-beyond", gif(&[screen(1, 1, true), frame(60_000, 60_000, 1, 1, &one(0))]), Size(1, 1)),
        picture("gif-frame-larger", gif(&[screen(1, 1, true), frame(0, 0, 60_000, 60_000, &one(0))]), Rejected("memory")),
        picture("gif-without-colours", gif(&[screen(1, 1, false), red()]), Rejected("broken")),
        picture("gif-without-frames", gif(&[screen(5, 5, true)]), Rejected("broken")),
        picture("gif-garbage-codes", gif(&[screen(9, 9, true), frame(0, 0, 9, 9, &[0xff; 40])]), Rejected("broken")),
        picture("gif-too-few-codes", gif(&[screen(9, 9, true), frame(0, 0, 9, 9, &one(0))]), Rejected("broken")),
        picture("gif-cut", screen(1, 1, true), Rejected("again")),
        picture("gif-and-script", script, Rejected("broken")),
        picture("gif-extension-without-end", gif(&[screen(1, 1, true), vec![0x21, 0xff, 255]]), Rejected("again")),
    ]
}
