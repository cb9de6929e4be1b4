//! What is particular to JPEG: what its markers say before it is decoded, and that it can be decoded small.

use std::num::NonZeroU32;
use std::panic::catch_unwind;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, PixelFormat};
use memchr::memchr;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{PictureError, PictureFormat, PictureLimits, decoder_bytes, pixels_of, upright};

/// The most scans that are read; progressive JPEGs have about ten. Each makes a decoder go through the whole picture again, and
/// takes a dozen bytes.
const MAX_SCANS: usize = 100;

/// Start-of-frame markers of the processes that are read: baseline, extended, progressive (ITU-T T.81, table B.1).
const READ: std::ops::RangeInclusive<u8> = 0xc0..=0xc2;

/// What a JPEG's markers say of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Outline {
    scans: usize,
    /// The first one's.
    frame: Option<Frame>,
}

/// What a start of frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    marker: u8,
    /// Bits of a sample.
    precision: u8,
    components: u8,
}

/// Decodes a JPEG, as [`super::decode_enough`] does any picture. Not by way of `image`, which calls the same decoder, but copies the
/// encoded bytes and reads headers three times.
///
/// # Errors
/// As [`super::decode`].
pub fn decode(bytes: &[u8], limits: &PictureLimits, enough: Option<NonZeroU32>) -> Result<RgbImage, PictureError> {
    check(bytes)?;
    // Not strict: what other programs show, this shows. Its own limits are lower than some pictures are wide; ours follow.
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(explain)?;
    let info = decoder.info().ok_or_else(|| broken("it has no header"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let pixels = pixels_of(PictureFormat::Jpeg, (width, height), limits)?;
    // Broken metadata doesn't make the pixels any worse.
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
    // If it panics, it had its doubts too.
    let reduced = |by| catch_unwind(|| reduced(bytes, by, decoder_bytes(pixels))).unwrap_or_default();
    if let Some(rgb) = enough.and_then(|enough| reduction(width.min(height), enough)).and_then(reduced) {
        return Ok(upright(rgb, orientation));
    }
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let colours = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let samples = decoder.decode().map_err(explain)?;
    let image = match grey {
        true => GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8),
        false => RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8),
    };
    let image = image.ok_or_else(|| broken("it has another size than its header says"))?;
    Ok(upright(image.into_rgb8(), orientation))
}

fn explain(error: DecodeErrors) -> PictureError {
    let detail = error.to_string();
    match error {
        DecodeErrors::Unsupported(_) => PictureError::Unsupported { format: PictureFormat::Jpeg, detail },
        _ => broken(&detail),
    }
}

fn broken(detail: &str) -> PictureError {
    PictureError::Broken { format: PictureFormat::Jpeg, detail: detail.into() }
}

/// Refuses what the decoder fills up, takes for something else, or is busy with for hours.
///
/// # Errors
/// [`PictureError::CutShort`] and [`PictureError::Unsupported`].
fn check(bytes: &[u8]) -> Result<(), PictureError> {
    let format = PictureFormat::Jpeg;
    // The decoder fills what is missing with grey; a half-grey picture must not teach anything.
    let Outline { scans, frame } = outline(bytes).ok_or(PictureError::CutShort { format })?;
    let detail = match frame {
        Some(Frame { marker, .. }) if !READ.contains(&marker) => "of JPEGs, baseline and progressive ones are read".to_owned(),
        Some(Frame { precision, .. }) if precision != 8 => format!("it has {precision} bits a sample"),
        Some(Frame { components, .. }) if !matches!(components, 1 | 3 | 4) => format!("it has {components} components"),
        _ if scans > MAX_SCANS => format!("it has {scans} scans, and at most {MAX_SCANS} are read"),
        _ => return Ok(()),
    };
    Err(PictureError::Unsupported { format, detail })
}

/// What the markers say up to the end of image; `None` when they don't reach one. What follows that marker (a phone's trailer, a
/// second picture) is nobody's business; a thumbnail's own end, inside a metadata segment, doesn't count.
fn outline(bytes: &[u8]) -> Option<Outline> {
    const END_OF_IMAGE: u8 = 0xd9;
    const START_OF_SCAN: u8 = 0xda;
    let mut outline = Outline::default();
    let mut at = 2; // past the start-of-image marker
    // In a scan most bytes are its data; between segments the decoder skips stray bytes as well.
    while let Some(data) = memchr(0xff, bytes.get(at..)?) {
        at += data + 1;
        // A marker may be padded with any number of 0xff.
        while bytes.get(at) == Some(&0xff) {
            at += 1;
        }
        let marker = *bytes.get(at)?;
        at += 1;
        match marker {
            END_OF_IMAGE => return Some(outline),
            // A stuffed zero, a restart marker and a temporary marker have no length.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            // In a scan, what isn't a real segment's marker is damage that the decoder judges.
            0x02..=0xbf if outline.scans > 0 => {}
            _ => {
                let segment = bytes.get(at..)?;
                let &[high, low] = segment.first_chunk()?;
                at += usize::from(u16::from_be_bytes([high, low]));
                outline.scans += usize::from(marker == START_OF_SCAN);
                outline.frame = outline.frame.or_else(|| frame(marker, segment));
            }
        }
    }
    None
}

/// What `segment` says, if its marker is a start of frame's: all of 0xc0 to 0xcf but those of tables and of an extension.
fn frame(marker: u8, segment: &[u8]) -> Option<Frame> {
    // Its length, the precision, height and width, then the number of components.
    let &[_, _, precision, _, _, _, _, components] = segment.first_chunk()?;
    let is_frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
    is_frame.then_some(Frame { marker, precision, components })
}

/// What a picture whose shorter side has `shorter` pixels may be divided by, 2, 4 or 8, so that `enough` are left of it. `None`
/// where even half would be too small.
fn reduction(shorter: u32, enough: NonZeroU32) -> Option<u16> {
    [8, 4, 2].into_iter().find(|by| shorter / u32::from(*by) >= enough.get())
}

/// The picture at 1/`by` of its size: each block of 8 × 8 pixels is brought back from its lower frequencies alone, which saves most
/// of the memory and a part of the time.
///
/// `None` where this decoder has its doubts or the picture is neither grey nor of three colours: it must be decoded whole then.
/// Which of the two happens follows from the bytes and `by` alone.
fn reduced(bytes: &[u8], by: u16, max_bytes: usize) -> Option<RgbImage> {
    let mut decoder = Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(max_bytes);
    decoder.read_info().ok()?;
    let info = decoder.info()?;
    let grey = match info.pixel_format {
        PixelFormat::L8 => true,
        PixelFormat::RGB24 => false,
        PixelFormat::L16 | PixelFormat::CMYK32 => return None,
    };
    let size = decoder.scale(info.width.div_ceil(by), info.height.div_ceil(by)).ok()?;
    let pixels = decoder.decode().ok()?;
    let rgb = if grey { pixels.iter().flat_map(|&grey| [grey; 3]).collect() } else { pixels };
    RgbImage::from_raw(size.0.into(), size.1.into(), rgb)
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;

    use super::*;
    use crate::vision::picture::fixtures::{encoded, gradient};

    #[test]
    fn what_is_not_read_is_refused_with_its_reason() {
        let jpeg = encoded(&gradient(16, 16), ImageFormat::Jpeg);
        assert_eq!(check(&jpeg), Ok(()));
        let position = |marker: u8| jpeg.windows(2).position(|pair| pair == [0xff, marker]).unwrap();
        let (frame, scan) = (position(0xc0), position(0xda));
        for (at, value, reason) in
            [(frame + 1, 0xc9, "baseline and progressive"), (frame + 4, 12, "12 bits"), (frame + 9, 2, "2 components")]
        {
            let mut changed = jpeg.clone();
            changed[at] = value;
            assert!(check(&changed).unwrap_err().to_string().contains(reason), "{reason}");
        }
        let end = jpeg.len() - 2;
        let scans = |count: usize| [&jpeg[..end], &jpeg[scan..end].repeat(count), &jpeg[end..]].concat();
        assert_eq!(check(&scans(MAX_SCANS - 1)), Ok(()));
        assert!(check(&scans(MAX_SCANS)).unwrap_err().to_string().contains("101 scans"));
        assert_eq!(check(&jpeg[..end]), Err(PictureError::CutShort { format: PictureFormat::Jpeg }));
    }
}
