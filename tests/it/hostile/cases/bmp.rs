//! BMPs (BITMAPINFOHEADER).

use super::Seen::{Pixel, Rejected, Size};
use super::{Picture, picture};

const RLE8: u32 = 1;
const BITFIELDS: u32 = 3;

/// What is written.
struct Bmp {
    width: i32,
    height: i32,
    depth: u16,
    compression: u32,
    /// How many colours it says that its table has.
    colours: u32,
    /// Instead of where the pixels are.
    offset: Option<u32>,
    table: Vec<u8>,
    pixels: Vec<u8>,
}

/// A file of 24 bits a pixel.
fn plain(width: i32, height: i32, pixels: &[u8]) -> Bmp {
    Bmp { width, height, depth: 24, compression: 0, colours: 0, offset: None, table: Vec::new(), pixels: pixels.to_vec() }
}

/// A file of 8 bits a pixel: black, then orange.
fn table(width: i32, height: i32, compression: u32, pixels: &[u8]) -> Bmp {
    let table = [0, 0, 0, 0, 0, 128, 255, 0].to_vec();
    Bmp { depth: 8, compression, colours: 2, table, ..plain(width, height, pixels) }
}

impl Bmp {
    fn bytes(&self) -> Vec<u8> {
        let offset = self.offset.unwrap_or(54 + self.table.len() as u32);
        let size = 54 + self.table.len() + self.pixels.len();
        let mut bytes = b"BM".to_vec();
        for number in [size as u32, 0, offset, 40, self.width as u32, self.height as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([1, 0]);
        bytes.extend(self.depth.to_le_bytes());
        for number in [self.compression, 0, 0, 0, self.colours, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&self.table);
        bytes.extend(&self.pixels);
        bytes
    }
}

pub fn cases() -> Vec<Picture> {
    // A row of one pixel is filled up to 4 bytes; the lower row comes first, and blue first of a pixel.
    let rows = [1, 2, 3, 0, 4, 5, 6, 0];
    let runs = [2, 1, 0, 1];
    let masks = |masks: [u32; 3]| {
        let table = masks.map(u32::to_le_bytes).concat();
        Bmp { depth: 16, compression: BITFIELDS, table, ..plain(1, 1, &[0xff, 0xff, 0, 0]) }.bytes()
    };
    vec![
        picture("bmp-bottom-up", plain(1, 2, &rows).bytes(), Pixel(1, 2, [6, 5, 4])),
        picture("bmp-top-down", plain(1, -2, &rows).bytes(), Pixel(1, 2, [3, 2, 1])),
        picture("bmp-60000", plain(60_000, 60_000, &rows).bytes(), Rejected("60000 × 60000 pixels")),
        picture("bmp-the-most", plain(i32::MAX, i32::MAX, &rows).bytes(), Rejected("broken")),
        picture("bmp-negative-width", plain(-1, 2, &rows).bytes(), Rejected("broken")),
        picture("bmp-the-least-height", plain(1, i32::MIN, &rows).bytes(), Rejected("broken")),
        picture("bmp-no-width", plain(0, 2, &rows).bytes(), Rejected("isn't read")),
        picture("bmp-no-height", plain(1, 0, &rows).bytes(), Rejected("isn't read")),
        picture("bmp-table", table(1, 1, 0, &[1, 0, 0, 0]).bytes(), Pixel(1, 1, [255, 128, 0])),
        picture("bmp-beyond-the-table", table(1, 1, 0, &[200, 0, 0, 0]).bytes(), Size(1, 1)),
        picture("bmp-table-of-4-gib", Bmp { colours: u32::MAX, ..table(1, 1, 0, &[1, 0, 0, 1]) }.bytes(), Rejected("broken")),
        picture("bmp-runs", table(2, 1, RLE8, &runs).bytes(), Pixel(2, 1, [255, 128, 0])),
        picture("bmp-runs-of-nothing", table(2000, 2000, RLE8, &[0, 1]).bytes(), Size(2000, 2000)),
        picture("bmp-runs-beyond", table(2, 2, RLE8, &[255, 1, 255, 1, 0, 1]).bytes(), Size(2, 2)),
        picture("bmp-runs-move-beyond", table(2, 2, RLE8, &[0, 2, 255, 255, 2, 1, 0, 1]).bytes(), Rejected("broken")),
        picture("bmp-runs-top-down", table(2, -2, RLE8, &runs).bytes(), Rejected("broken")),
        picture("bmp-masks", masks([0x7c00, 0x03e0, 0x001f]), Pixel(1, 1, [255; 3])),
        picture("bmp-masks-none", masks([0; 3]), Rejected("broken")),
        picture("bmp-masks-scattered", masks([0x5555, 0x2aaa, 0x8001]), Rejected("broken")),
        picture("bmp-pixels-beyond", Bmp { offset: Some(u32::MAX), ..plain(1, 2, &rows) }.bytes(), Rejected("again")),
        picture("bmp-pixels-in-the-header", Bmp { offset: Some(0), ..plain(1, 2, &rows) }.bytes(), Size(1, 2)),
        picture("bmp-three-bits", Bmp { depth: 3, ..plain(1, 1, &rows) }.bytes(), Rejected("broken")),
        picture("bmp-no-such-compression", Bmp { compression: 99, ..plain(1, 1, &rows) }.bytes(), Rejected("broken")),
        picture("bmp-cut", plain(1, 2, &rows[..5]).bytes(), Rejected("cut short")),
        picture("bmp-cut-in-the-header", plain(1, 2, &rows).bytes()[..30].to_vec(), Rejected("again")),
    ]
}
