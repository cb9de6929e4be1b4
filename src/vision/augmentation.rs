//! Augmented views: from a decoded picture to one of the many squares that training may show in its place.
//!
//! A view is content: its pixels follow from the picture's hash, the view's number and the strengths, and from nothing
//! else, neither a training seed nor a thread. So features computed from a view serve every run that asks for it.
//!
//! The steps are torchvision's `RandomResizedCrop`, `RandomHorizontalFlip`, `RandomRotation` and `ColorJitter`, with
//! mirrored pixels instead of black where a rotation reaches beyond the picture.

mod colour;
mod draw;
#[cfg(test)]
mod tests;
mod warp;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::vision::picture::Picture;
use crate::vision::preprocessing::{Preprocessing, Resize, resample};
use draw::Draw;

/// Raised with the code of this module: a part of every augmented view's key, and of what its numbers are drawn from.
const VERSION: u32 = 1;

/// How far augmented views may stray from the evaluation view.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Augmentation {
    /// Smallest share of the picture's area that a crop keeps, 0.05 to 1. At 1 a squashed picture is kept whole.
    pub crop_area_min: f64,
    /// Whether half of the views, drawn by lot, are mirrored left-right.
    pub flip: bool,
    /// Largest rotation either way in degrees, 0 to 180.
    pub rotation: f64,
    /// Largest relative change of brightness, of contrast and of saturation, 0 to 0.9.
    pub color_jitter: f64,
}

/// One deterministic rendering of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// What serving sees: [`Preprocessing::render`].
    Evaluation,
    /// The evaluation view mirrored left-right.
    Mirrored,
    /// As the evaluation view, but for how the picture becomes the square.
    Framed(Resize),
    /// The random view of this number.
    Augmented(u32),
}

impl Augmentation {
    /// A stable text for what makes `view` differ from the evaluation view, for keys of caches: together with
    /// [`Preprocessing::cache_key`] it changes when a pixel would. Fit for a file's name.
    #[must_use]
    pub fn cache_key(&self, view: View) -> String {
        let Self { crop_area_min, flip, rotation, color_jitter } = self;
        match view {
            View::Evaluation => "evaluation".to_owned(),
            View::Mirrored => "mirrored".to_owned(),
            View::Framed(resize) => format!("framed-{}", resize.as_str()),
            View::Augmented(number) => {
                let flip = if *flip { "flip" } else { "noflip" };
                format!("view{number}-area{crop_area_min}-{flip}-rotation{rotation}-jitter{color_jitter}-{VERSION}")
            }
        }
    }
}

/// `view` of `picture`: `input_size` × `input_size` × 3 bytes, row-major, channels last, RGB. On the calling thread.
///
/// `sha256_of_picture` is the hash of the encoded picture in hexadecimal. Of it, of the view's number and of nothing else
/// the random numbers are made; strengths only scale them, so that view 7 at twice the rotation turns the same way.
pub fn render(
    picture: &Picture,
    sha256_of_picture: &str,
    view: View,
    preprocessing: &Preprocessing,
    augmentation: &Augmentation,
) -> Vec<u8> {
    let number = match view {
        View::Evaluation => return preprocessing.render(picture),
        View::Mirrored => {
            let mut rgb = preprocessing.render(picture);
            mirror(&mut rgb, preprocessing.input_size);
            return rgb;
        }
        View::Framed(resize) => return Preprocessing { resize, ..*preprocessing }.render(picture),
        View::Augmented(number) => number,
    };
    let side = preprocessing.input_size;
    let draw = Draw::new(picture, sha256_of_picture, number, preprocessing.resize, augmentation);
    let mut rgb = if draw.degrees == 0.0 {
        resample(picture, &draw.crop, side, side)
    } else {
        warp::rotated(picture, &draw.crop, draw.degrees, side)
    };
    if draw.mirrored {
        mirror(&mut rgb, side);
    }
    if augmentation.color_jitter > 0.0 {
        draw.jitter.apply(&mut rgb);
    }
    rgb
}

/// What serving sees of `picture`: the evaluation view and, if `flip`, its mirror image after it.
#[must_use]
pub fn evaluation_views(picture: &Picture, preprocessing: &Preprocessing, flip: bool) -> Vec<u8> {
    with_mirror_image(preprocessing.render(picture), preprocessing.input_size, flip)
}

/// View 0 of a picture, rows of `side` RGB pixels, and behind it, if `flip`, its mirror image.
#[must_use]
pub fn with_mirror_image(mut view: Vec<u8>, side: u32, flip: bool) -> Vec<u8> {
    if flip {
        let mut mirrored = view.clone();
        mirror(&mut mirrored, side);
        view.append(&mut mirrored);
    }
    view
}

/// Mirrors rows of `side` RGB pixels left-right.
fn mirror(rgb: &mut [u8], side: u32) {
    for row in rgb.chunks_exact_mut(side as usize * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}
