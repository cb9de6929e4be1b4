//! Views as a whole.

use std::collections::HashSet;

use image::{Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::vision::picture::fixtures::{PNG, encoded, gradient};
use crate::vision::picture::{PictureLimits, decode};
use crate::vision::preprocessing::Resize;

const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const STRONG: Augmentation = Augmentation { crop_area_min: 0.1, flip: true, rotation: 180.0, color_jitter: 0.9 };
const NONE: Augmentation = Augmentation { crop_area_min: 1.0, flip: false, rotation: 0.0, color_jitter: 0.0 };
const SQUASH: Preprocessing = Preprocessing { input_size: 64, resize: Resize::Squash };
const CROP: Preprocessing = Preprocessing { input_size: 64, resize: Resize::Crop };

fn picture(image: RgbImage) -> Picture {
    decode(&encoded(&image.into(), PNG), &PictureLimits::default()).unwrap()
}

fn gradual(width: u32, height: u32) -> Picture {
    picture(gradient(width, height).to_rgb8())
}

fn augmented(picture: &Picture, number: u32, preprocessing: &Preprocessing, augmentation: &Augmentation) -> Vec<u8> {
    render(picture, SHA256, View::Augmented(number), preprocessing, augmentation)
}

#[test]
fn every_thread_renders_the_same_bytes() {
    let picture = gradual(217, 189);
    let views = || -> Vec<Vec<u8>> { (1..6).map(|number| augmented(&picture, number, &SQUASH, &STRONG)).collect() };
    let expected = views();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(views(), expected));
        }
    });
}

#[test]
fn views_differ_by_number_by_picture_and_from_the_evaluation_view() {
    let picture = gradual(120, 90);
    let weak = Augmentation { crop_area_min: 0.9, flip: false, rotation: 2.0, color_jitter: 0.0 };
    let mut seen: HashSet<Vec<u8>> = (0..50).map(|number| augmented(&picture, number, &CROP, &weak)).collect();
    seen.insert(render(&picture, SHA256, View::Evaluation, &CROP, &weak));
    seen.insert(render(&picture, &SHA256.replace('9', "8"), View::Augmented(0), &CROP, &weak));
    assert_eq!(seen.len(), 52);
}

#[test]
fn a_framed_view_is_the_evaluation_view_of_that_framing() {
    let picture = gradual(99, 70);
    let view = render(&picture, SHA256, View::Framed(Resize::Crop), &SQUASH, &STRONG);
    assert_eq!(view, CROP.render(&picture));
    assert_ne!(view, SQUASH.render(&picture));
}

#[test]
fn the_mirrored_view_is_the_exact_mirror() {
    let picture = gradual(99, 70);
    for preprocessing in [SQUASH, CROP] {
        let plain = render(&picture, SHA256, View::Evaluation, &preprocessing, &STRONG);
        assert_eq!(plain, preprocessing.render(&picture));
        let view = render(&picture, SHA256, View::Mirrored, &preprocessing, &STRONG);
        let pixel = |rgb: &[u8], x: usize, y: usize| rgb[(y * 64 + x) * 3..][..3].to_vec();
        for (x, y) in (0..64).flat_map(|x| (0..64).map(move |y| (x, y))) {
            assert_eq!(pixel(&view, x, y), pixel(&plain, 63 - x, y));
        }
    }
}

#[test]
fn without_strength_a_squashed_view_is_the_evaluation_view() {
    for (width, height) in [(120, 90), (1, 1), (500, 3)] {
        let picture = gradual(width, height);
        assert_eq!(augmented(&picture, 5, &SQUASH, &NONE), SQUASH.render(&picture), "{width}×{height}");
    }
}

#[test]
fn a_rotation_by_next_to_nothing_shows_next_to_the_same() {
    // Through the warp, which a rotation of 0 doesn't take.
    let smooth = picture(RgbImage::from_fn(300, 200, |x, y| Rgb([(x / 2) as u8, y as u8, ((x + y) / 4) as u8])));
    let hair = Augmentation { rotation: 1e-6, ..NONE };
    let (view, plain) = (augmented(&smooth, 5, &SQUASH, &hair), SQUASH.render(&smooth));
    let worst = view.iter().zip(&plain).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(1), "{worst:?}");
}

#[test]
fn pictures_of_any_shape_fill_the_square() {
    for (width, height) in [(1, 1), (500, 3), (3, 500), (2, 1), (64, 64)] {
        let picture = gradual(width, height);
        for preprocessing in [SQUASH, CROP] {
            for number in 0..20 {
                let view = augmented(&picture, number, &preprocessing, &STRONG);
                assert_eq!(view.len(), 64 * 64 * 3, "{width}×{height} view {number}");
            }
        }
    }
}

#[test]
fn nothing_but_the_picture_turns_in_at_the_corners() {
    let constant = picture(RgbImage::from_pixel(83, 131, Rgb([17, 201, 90])));
    let turned = Augmentation { color_jitter: 0.0, ..STRONG };
    for preprocessing in [SQUASH, CROP] {
        for number in 0..20 {
            let view = augmented(&constant, number, &preprocessing, &turned);
            assert!(view.as_chunks::<3>().0.iter().all(|pixel| *pixel == [17, 201, 90]), "view {number}");
        }
    }
}

#[test]
fn rotations_turn_clockwise() {
    let half = picture(RgbImage::from_fn(64, 64, |x, _| Rgb([if x < 32 { 255 } else { 0 }; 3])));
    let whole = Draw::new(&half, SHA256, 0, Resize::Squash, &NONE).crop;
    // Where the white left half is after the turn: a point well within it.
    for (degrees, x, y) in [(1.0, 8, 32), (45.0, 20, 20), (90.0, 32, 8), (135.0, 44, 20), (180.0, 56, 32), (-90.0, 32, 56)] {
        let view = warp::rotated(&half, &whole, degrees, 64);
        let at = |x: usize, y: usize| view[(y * 64 + x) * 3];
        assert_eq!((at(x, y), at(64 - x, 64 - y)), (255, 0), "{degrees}°");
    }
}

#[test]
fn keys_name_all_that_decides_a_pixel() {
    assert_eq!(NONE.cache_key(View::Evaluation), STRONG.cache_key(View::Evaluation));
    assert_eq!(STRONG.cache_key(View::Augmented(3)), "view3-area0.1-flip-rotation180-jitter0.9-1");
    let framed = [Resize::Squash, Resize::Crop, Resize::Square].map(View::Framed);
    let views = [View::Evaluation, View::Mirrored, View::Augmented(0), View::Augmented(1)].into_iter().chain(framed);
    let others = [
        Augmentation { crop_area_min: 0.2, ..STRONG },
        Augmentation { flip: false, ..STRONG },
        Augmentation { rotation: 18.0, ..STRONG },
        Augmentation { color_jitter: 0.8, ..STRONG },
    ];
    let keys = views.map(|view| STRONG.cache_key(view)).chain(others.map(|other| other.cache_key(View::Augmented(1))));
    assert_eq!(keys.collect::<HashSet<_>>().len(), 11);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn strengths_of_any_kind_fill_the_square(
        width in 1u32..90, height in 1u32..90, number: u32, crop_area_min in 0.05f64..=1.0, flip: bool,
        rotation in 0.0f64..=180.0, color_jitter in 0.0f64..=0.9, input_size in 32u32..80, crop: bool
    ) {
        let resize = if crop { Resize::Crop } else { Resize::Squash };
        let preprocessing = Preprocessing { input_size, resize };
        let augmentation = Augmentation { crop_area_min, flip, rotation, color_jitter };
        let view = augmented(&gradual(width, height), number, &preprocessing, &augmentation);
        prop_assert_eq!(view.len(), (input_size * input_size * 3) as usize);
    }
}
