//! A PNG writer that writes whatever it is told (PNG specification, third edition, sections 5 and 11).

use super::{crc, zlib};

/// Kinds of pixel.
pub const GREY: u8 = 0;
pub const RGB: u8 = 2;
pub const PALETTE: u8 = 3;
pub const GREY_ALPHA: u8 = 4;
pub const RGBA: u8 = 6;

pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&(data.len() as u32).to_be_bytes(), body.as_slice(), &crc(&body).to_be_bytes()].concat()
}

pub fn header(width: u32, height: u32, depth: u8, colour: u8, interlaced: bool) -> Vec<u8> {
    let rest = [depth, colour, 0, 0, u8::from(interlaced)];
    chunk(b"IHDR", &[&width.to_be_bytes(), height.to_be_bytes().as_slice(), &rest].concat())
}

/// The pixels' chunk; `rows` are filter bytes and samples.
pub fn content(rows: &[u8]) -> Vec<u8> {
    chunk(b"IDAT", &zlib(rows))
}

pub fn end() -> Vec<u8> {
    chunk(b"IEND", &[])
}

pub fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

/// Four pixels in a square, all the same, in a depth of 8 or 16.
pub fn square(depth: u8, colour: u8, pixel: &[u8], between: &[Vec<u8>]) -> Vec<u8> {
    let row = [&[0], pixel, pixel].concat();
    png(&[header(2, 2, depth, colour, false), between.concat(), content(&row.repeat(2)), end()])
}
