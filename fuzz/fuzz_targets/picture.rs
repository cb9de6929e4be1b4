//! Any bytes as a picture: refused with a reason, or a picture of the size that it says, within the limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topgraft::vision::picture::{Picture, PictureLimits, decode};
use topgraft::vision::preprocessing::{Preprocessing, Resize};
use topgraft_fuzz::{pictures, plant};

const LIMITS: PictureLimits = PictureLimits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

/// The smallest input, so that a JPEG need not be large to be decoded small.
const SMALL: Preprocessing = Preprocessing { input_size: 32, resize: Resize::Squash };

fuzz_target!(init: plant(pictures), |bytes: &[u8]| {
    let whole = decode(bytes, &LIMITS).map(|picture| judge(&picture));
    let enough = SMALL.decode(bytes, &LIMITS).map(|picture| judge(&picture));
    // What decodes whole can be had small. Not the reverse: the decoder that makes it small overlooks some damage that the other
    // finds.
    assert!(whole.is_err() || enough.is_ok(), "{enough:?}");
});

fn judge(picture: &Picture) {
    let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
    assert!((1..=LIMITS.max_pixels).contains(&(width * height)));
    assert_eq!(picture.rgb().len() as u64, width * height * 3);
    for resize in [Resize::Squash, Resize::Crop, Resize::Square] {
        assert_eq!(Preprocessing { resize, ..SMALL }.render(picture).len(), 32 * 32 * 3);
    }
}
