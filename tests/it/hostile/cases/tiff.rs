//! TIFFs (TIFF 6.0, and BigTIFF's header).

use super::Seen::{Pixel, Rejected};
use super::{Picture, picture, zlib};

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const STRIP_OFFSETS: u16 = 273;
const ORIENTATION: u16 = 274;
const SAMPLES: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTES: u16 = 279;
const PLANAR: u16 = 284;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;
const SAMPLE_FORMAT: u16 = 339;

/// Deflate's number among compressions.
const DEFLATE: u32 = 8;

/// The content comes first, at 8, then the only page's folder.
struct Tiff {
    content: Vec<u8>,
    /// Tag, how many values, and the value or where they are.
    entries: Vec<(u16, u32, u32)>,
    /// Where the next folder is; `None` for this one again.
    next: Option<u32>,
}

/// A grey page of one strip.
fn page(width: u32, height: u32, content: &[u8]) -> Tiff {
    let strip = [(STRIP_OFFSETS, 1, 8), (ROWS_PER_STRIP, 1, height), (STRIP_BYTES, 1, content.len() as u32)];
    let entries =
        [(WIDTH, 1, width), (HEIGHT, 1, height), (BITS, 1, 8), (COMPRESSION, 1, 1), (PHOTOMETRIC, 1, 1), (SAMPLES, 1, 1)];
    Tiff { content: content.to_vec(), entries: [entries.as_slice(), &strip].concat(), next: Some(0) }
}

impl Tiff {
    /// With a tag's single value, instead of what it had.
    fn set(self, tag: u16, value: u32) -> Self {
        self.set_many(tag, 1, value)
    }

    fn set_many(mut self, tag: u16, count: u32, value: u32) -> Self {
        self.entries.retain(|entry| entry.0 != tag);
        self.entries.push((tag, count, value));
        self.entries.sort_unstable();
        self
    }

    fn without(mut self, tag: u16) -> Self {
        self.entries.retain(|entry| entry.0 != tag);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let at = 8 + self.content.len() as u32;
        let mut bytes = [b"II\x2a\0", at.to_le_bytes().as_slice(), &self.content].concat();
        bytes.extend((self.entries.len() as u16).to_le_bytes());
        for (tag, count, value) in &self.entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(4u16.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(self.next.unwrap_or(at).to_le_bytes());
        bytes
    }
}

pub fn cases() -> Vec<Picture> {
    [pages(), lies()].into_iter().flatten().collect()
}

fn tiled(side: u32, content: &[u8]) -> Tiff {
    let page = page(2, 2, content).without(STRIP_OFFSETS).without(ROWS_PER_STRIP).without(STRIP_BYTES);
    let page = page.set(TILE_WIDTH, side).set(TILE_HEIGHT, side);
    page.set(TILE_OFFSETS, 8).set(TILE_BYTES, content.len() as u32)
}

fn pages() -> Vec<Picture> {
    let ramp = [10, 20, 30, 40, 50, 60];
    let zeros = zlib(&vec![0; 4_000_000]);
    vec![
        picture("tiff-grey", page(3, 2, &ramp).bytes(), Pixel(3, 2, [10; 3])),
        picture("tiff-white-is-zero", page(3, 2, &ramp).set(PHOTOMETRIC, 0).bytes(), Pixel(3, 2, [245; 3])),
        picture("tiff-turned", page(3, 2, &ramp).set(ORIENTATION, 6).bytes(), Pixel(2, 3, [40; 3])),
        picture("tiff-orientation-77", page(3, 2, &ramp).set(ORIENTATION, 77).bytes(), Pixel(3, 2, [10; 3])),
        picture("tiff-tile", tiled(16, &[70; 256]).bytes(), Pixel(2, 2, [70; 3])),
        picture("tiff-deflated", page(2000, 2000, &zeros).set(COMPRESSION, DEFLATE).bytes(), Pixel(2000, 2000, [0; 3])),
        picture("tiff-follows-itself", Tiff { next: None, ..page(3, 2, &ramp) }.bytes(), Rejected("cycle")),
        picture("tiff-next-beyond", Tiff { next: Some(u32::MAX), ..page(3, 2, &ramp) }.bytes(), Pixel(3, 2, [10; 3])),
    ]
}

fn lies() -> Vec<Picture> {
    let ramp = [10, 20, 30, 40, 50, 60];
    let plain = || page(3, 2, &ramp);
    let bomb = zlib(&vec![0; 64 << 20]);
    let refused = |name, tiff: Tiff, reason| picture(name, tiff.bytes(), Rejected(reason));
    let mut big = b"II\x2b\0\x08\0\0\0".to_vec();
    big.extend(u64::MAX.to_le_bytes());
    let mut folder_beyond = plain().bytes();
    folder_beyond[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut folder_in_the_header = plain().bytes();
    folder_in_the_header[4..8].copy_from_slice(&[0; 4]);
    vec![
        picture("tiff-60000", page(60_000, 60_000, &ramp).bytes(), Rejected("60000 × 60000 pixels")),
        refused("tiff-the-most", page(u32::MAX, u32::MAX, &ramp), "pixels"),
        refused("tiff-no-width", page(0, 2, &ramp), "broken"),
        refused("tiff-no-height", page(3, 0, &ramp), "broken"),
        refused("tiff-strip-beyond", plain().set(STRIP_OFFSETS, 0xffff_0000), "cut short"),
        picture("tiff-strip-of-4-gib", plain().set(STRIP_BYTES, u32::MAX).bytes(), Rejected("memory")),
        picture("tiff-strip-of-nothing", plain().set(STRIP_BYTES, 0).bytes(), Pixel(3, 2, [10; 3])),
        refused("tiff-strips-4-gi", plain().set_many(STRIP_OFFSETS, u32::MAX, 8).set_many(STRIP_BYTES, u32::MAX, 8), "memory"),
        picture("tiff-rows-per-strip-0", plain().set(ROWS_PER_STRIP, 0).bytes(), Rejected("broken")),
        picture("tiff-rows-per-strip-the-most", plain().set(ROWS_PER_STRIP, u32::MAX).bytes(), Pixel(3, 2, [10; 3])),
        refused("tiff-tile-60000", tiled(60_000, &[70; 256]), "cut short"),
        refused("tiff-tile-the-most", tiled(u32::MAX - 15, &[70; 256]), "cut short"),
        refused("tiff-tile-of-nothing", tiled(0, &[70; 256]), "broken"),
        refused("tiff-deflate-bomb", page(60_000, 1000, &bomb).set(COMPRESSION, DEFLATE), "pixels"),
        picture("tiff-deflates-to-more", page(3, 2, &bomb).set(COMPRESSION, DEFLATE).bytes(), Pixel(3, 2, [0; 3])),
        refused("tiff-deflate-garbage", plain().set(COMPRESSION, DEFLATE), "broken"),
        refused("tiff-jpeg-inside", plain().set(COMPRESSION, 7), "broken"),
        refused("tiff-old-jpeg-inside", plain().set(COMPRESSION, 6), "isn't read"),
        refused("tiff-jpeg-2000-inside", plain().set(COMPRESSION, 34_712), "isn't read"),
        refused("tiff-no-such-compression", plain().set(COMPRESSION, 65_000), "isn't read"),
        refused("tiff-samples-255", plain().set(SAMPLES, 255), "isn't read"),
        refused("tiff-samples-65535", plain().set(SAMPLES, 65_535), "isn't read"),
        refused("tiff-bits-64", plain().set(BITS, 64), "isn't read"),
        refused("tiff-bits-4-gi", plain().set_many(BITS, u32::MAX, 8), "memory"),
        refused("tiff-no-such-colour", plain().set(PHOTOMETRIC, 999), "isn't read"),
        refused("tiff-no-such-plane", plain().set(PLANAR, 9), "broken"),
        refused("tiff-no-such-sample", plain().set(SAMPLE_FORMAT, 9), "isn't read"),
        refused("tiff-without-width", plain().without(WIDTH), "broken"),
        refused("tiff-without-strips", plain().without(STRIP_OFFSETS), "broken"),
        picture("tiff-folder-beyond", folder_beyond, Rejected("again")),
        picture("tiff-folder-in-the-header", folder_in_the_header, Rejected("cut short")),
        picture("tiff-big-folder-beyond", big, Rejected("again")),
        picture("tiff-only-its-header", b"II\x2a\0\x08\0\0\0".to_vec(), Rejected("cut short")),
    ]
}
