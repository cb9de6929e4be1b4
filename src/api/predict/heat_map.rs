//! A heat map as a picture.

use std::io::Cursor;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, ImageError, ImageFormat, Luma, Rgba, RgbaImage};

use crate::vision::grad_cam::HeatMap;

/// Side of the picture in pixels: it is laid over pictures of any size, and smooth as it is stays so when stretched.
const SIDE: u32 = 224;

/// How much of what is below the strongest place hides, of 255.
const OPACITY: f32 = 170.0;

/// A PNG of the map, red where the class shows most and transparent where it doesn't, as a data URL.
pub(super) fn data_url(map: &HeatMap) -> Result<String, ImageError> {
    let side = u32::try_from(map.side).unwrap_or_default();
    let small: ImageBuffer<Luma<f32>, _> =
        ImageBuffer::from_fn(side, side, |x, y| Luma([map.values[y as usize * map.side + x as usize]]));
    let large = resize(&small, SIDE, SIDE, FilterType::Triangle);
    let coloured = RgbaImage::from_fn(SIDE, SIDE, |x, y| colour(large.get_pixel(x, y).0[0].clamp(0.0, 1.0)));
    let mut png = Cursor::new(Vec::new());
    coloured.write_to(&mut png, ImageFormat::Png)?;
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner())))
}

/// From yellow to red, and from clear to opaque.
fn colour(heat: f32) -> Rgba<u8> {
    // Both are from 0 to 255.
    Rgba([255, (255.0 * (1.0 - heat)) as u8, 0, (OPACITY * heat) as u8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_hot_where_the_map_is() {
        let map = HeatMap { side: 2, values: vec![0.0, 1.0, 0.0, 0.0] };
        let url = data_url(&map).unwrap();
        let png = BASE64_STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let picture = image::load_from_memory(&png).unwrap().into_rgba8();
        assert_eq!(picture.dimensions(), (SIDE, SIDE));
        assert_eq!(picture.get_pixel(SIDE - 1, 0).0, [255, 0, 0, 170]);
        assert_eq!(picture.get_pixel(0, SIDE - 1).0[3], 0);
    }
}
