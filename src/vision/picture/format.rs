//! What a file is, by its first bytes.

use std::fmt;

use image::ImageFormat;
use serde::{Deserialize, Serialize};

/// The picture formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureFormat {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG; of an animated one, the still picture.
    Png,
    /// WebP, lossy or lossless.
    #[serde(rename = "webp")]
    WebP,
    /// GIF, the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF, the first page.
    Tiff,
}

/// The sizes that a BMP's second header can have, which tells a bitmap from a text that begins with "BM".
const BMP_HEADER_SIZES: [u32; 7] = [12, 40, 52, 56, 64, 108, 124];

impl PictureFormat {
    /// The format by content; `None` when it is none of them.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            [b'B', b'M', rest @ ..] => {
                let size = rest.get(12..16)?.try_into().map(u32::from_le_bytes).ok()?;
                BMP_HEADER_SIZES.contains(&size).then_some(Self::Bmp)
            }
            _ => None,
        }
    }

    /// The registered media type, as for a `Content-Type` header.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
        }
    }

    /// The stable lower-case name, the same as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }

    /// The format by its stable name, as [`PictureFormat::as_str`] gives it.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Jpeg, Self::Png, Self::WebP, Self::Gif, Self::Bmp, Self::Tiff].into_iter().find(|f| f.as_str() == name)
    }

    pub(super) fn for_decoder(self) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::WebP => ImageFormat::WebP,
            Self::Gif => ImageFormat::Gif,
            Self::Bmp => ImageFormat::Bmp,
            Self::Tiff => ImageFormat::Tiff,
        }
    }
}

impl fmt::Display for PictureFormat {
    /// The name as people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        })
    }
}

/// What content that isn't a picture seems to be, as the end of a sentence; empty when nothing can be said.
pub(super) fn lookalike(bytes: &[u8]) -> &'static str {
    // Enough to meet a byte that no text has, if there is one.
    let head = &bytes[..bytes.len().min(1024)];
    match head {
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..] => "; it looks like HEIC or a film: save it as JPEG",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => "; it looks like AVIF: save it as JPEG",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "; it looks like a film",
        [b'%', b'P', b'D', b'F', ..] => "; it looks like a PDF document",
        [b'P', b'K', 3, 4, ..] => "; it looks like a zip archive or an office document",
        _ if looks_like_text(head) => {
            let lower = head.to_ascii_lowercase();
            let has = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
            if has(b"<svg") {
                "; it looks like an SVG drawing: export it as PNG"
            } else if has(b"<html") || has(b"<!doctype html") {
                "; it looks like a web page, as saved when a picture's link has died"
            } else {
                "; it looks like text"
            }
        }
        _ => "",
    }
}

fn looks_like_text(head: &[u8]) -> bool {
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    // The cut may have split a character, so an incomplete last one is no evidence against text.
    let utf8 = std::str::from_utf8(head).err().is_none_or(|error| error.error_len().is_none());
    utf8 && head.iter().all(printable)
}
