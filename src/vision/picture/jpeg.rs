//! What is particular to JPEG: where it ends, how often it is gone through, and that it can be decoded small.

use std::num::NonZeroU32;

use image::RgbImage;
use jpeg_decoder::{Decoder, PixelFormat};

/// The most scans that are read; progressive JPEGs have about ten. Each makes a decoder go through the whole picture again, and
/// takes a dozen bytes.
pub const MAX_SCANS: usize = 100;

/// How many scans a JPEG has up to its end-of-image marker; `None` when its marker stream doesn't reach one. What follows that
/// marker (a phone's trailer, a second picture) is nobody's business; a thumbnail's own end, inside a metadata segment, doesn't
/// count.
pub fn scans(bytes: &[u8]) -> Option<usize> {
    const END_OF_IMAGE: u8 = 0xd9;
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2; // past the start-of-image marker
    let mut scans = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != 0xff {
            // Between segments the decoder skips stray bytes as well.
            continue;
        }
        // A marker may be padded with any number of 0xff.
        while bytes.get(at) == Some(&0xff) {
            at += 1;
        }
        let marker = *bytes.get(at)?;
        at += 1;
        match marker {
            END_OF_IMAGE => return Some(scans),
            // A stuffed zero, a restart marker and a temporary marker have no length.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            // In a scan, what isn't a real segment's marker is damage that the decoder judges.
            0x02..=0xbf if scans > 0 => {}
            _ => {
                let &[high, low] = bytes.get(at..at + 2)? else { return None };
                at += usize::from(u16::from_be_bytes([high, low]));
                scans += usize::from(marker == START_OF_SCAN);
            }
        }
    }
    None
}

/// The picture at 1/2, 1/4 or 1/8 of its size, the smallest whose shorter side still has `enough` pixels: each block of 8 × 8
/// pixels is brought back from its lower frequencies alone, which saves most of the memory and a part of the time.
///
/// `None` where even half would be too small, and where this decoder has its doubts or the picture is neither grey nor of three
/// colours: it must be decoded whole then. Which of the two happens follows from the bytes and `enough` alone.
pub fn reduced(bytes: &[u8], enough: NonZeroU32, max_bytes: usize) -> Option<RgbImage> {
    let mut decoder = Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(max_bytes);
    decoder.read_info().ok()?;
    let info = decoder.info()?;
    let grey = match info.pixel_format {
        PixelFormat::L8 => true,
        PixelFormat::RGB24 => false,
        PixelFormat::L16 | PixelFormat::CMYK32 => return None,
    };
    let shorter = u32::from(info.width.min(info.height));
    let by = [8, 4, 2].into_iter().find(|by| shorter / u32::from(*by) >= enough.get())?;
    let size = decoder.scale(info.width.div_ceil(by), info.height.div_ceil(by)).ok()?;
    let pixels = decoder.decode().ok()?;
    let rgb = if grey { pixels.iter().flat_map(|&grey| [grey; 3]).collect() } else { pixels };
    RgbImage::from_raw(size.0.into(), size.1.into(), rgb)
}
