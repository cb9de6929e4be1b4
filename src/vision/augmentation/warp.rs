//! Rotation.

use crate::vision::picture::Picture;
use crate::vision::preprocessing::{Region, resample};

/// Fixed-point positions count 65,536ths of a pixel.
const FRACTION_BITS: u32 = 16;

/// `crop` of `picture` brought to `side` × `side` pixels and then turned by `degrees` clockwise about its centre.
///
/// What the corners turn in is the picture beyond the crop and, beyond the picture, its mirror image. Two steps: all that
/// shows is brought to the scale of the result, antialiased; pixels of the result are then interpolated between four of
/// it. The second step softens fine detail somewhat, as torchvision's does.
pub(super) fn rotated(picture: &Picture, crop: &Region, degrees: f64, side: u32) -> Vec<u8> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let square = f64::from(side);
    let centre: [f64; 2] = std::array::from_fn(|axis| crop.start[axis] + crop.size[axis] / 2.0);
    // The turned square's bounding box, and a pixel more on every side for the neighbours that are interpolated between.
    let reach = (sin.abs() + cos.abs()) * square + 2.0;
    let scale = crop.size.map(|size| size / square);
    let shown = Region::around(picture, centre, scale.map(|scale| scale * reach));
    // At least as fine as the result; less a hair, so that a rounding error adds no pixel.
    let size: [u32; 2] = std::array::from_fn(|axis| (shown.size[axis] / scale[axis] - 1e-6).ceil().max(1.0) as u32);
    let resampled = resample(picture, &shown, size[0], size[1]);
    let stage = Stage { pixels: resampled.as_chunks().0.iter().map(packed).collect(), size: size.map(|size| size as i32) };

    // From the result's pixels to the stage's, both counted from the middle of the first.
    let fine: [f64; 2] = std::array::from_fn(|axis| f64::from(size[axis]) / shown.size[axis]);
    let columns = [cos * scale[0] * fine[0], -sin * scale[1] * fine[1]];
    let rows = [sin * scale[0] * fine[0], cos * scale[1] * fine[1]];
    let middle = (square - 1.0) / 2.0;
    let one = f64::from(1u32 << FRACTION_BITS);
    let step = columns.map(|step| (step * one).round() as i32);
    let mut rgb = vec![0; side as usize * side as usize * 3];
    for (row, line) in rgb.chunks_exact_mut(side as usize * 3).enumerate() {
        let down = row as f64 - middle;
        let mut at: [i32; 2] = std::array::from_fn(|axis| {
            let origin = (centre[axis] - shown.start[axis]) * fine[axis] - 0.5;
            ((origin + rows[axis] * down - columns[axis] * middle) * one).round() as i32
        });
        for pixel in line.as_chunks_mut::<3>().0 {
            *pixel = stage.at(at);
            at = [at[0] + step[0], at[1] + step[1]];
        }
    }
    rgb
}

/// All of a picture that shows in a rotated crop, at the scale of the result.
struct Stage {
    /// Height × width, each [`packed`].
    pixels: Vec<u64>,
    /// Width, then height.
    size: [i32; 2],
}

impl Stage {
    /// The colour at a fixed-point position, 0 being the middle of the first pixel: bilinear.
    fn at(&self, position: [i32; 2]) -> [u8; 3] {
        let [x, y] = position.map(|position| position >> FRACTION_BITS);
        let [right, below] = position.map(|position| u64::from((position >> (FRACTION_BITS - 8)).cast_unsigned() & 0xff));
        let [width, height] = self.size;
        let pixel = |x: i32, y: i32| self.pixels[(y * width + x) as usize];
        let inside = (0..width - 1).contains(&x) && (0..height - 1).contains(&y);
        let [[a, b], [c, d]] = if inside {
            [y, y + 1].map(|y| [pixel(x, y), pixel(x + 1, y)])
        } else {
            [y, y + 1].map(|y| [x, x + 1].map(|x| pixel(mirrored(x, width), mirrored(y, height))))
        };
        // Weights in 256ths that are never negative and sum to 256: a constant stays constant, and no channel's sum
        // outgrows its 16 bits. A channel is at most one off what exact weights would give.
        let both = (right * below + 128) >> 8;
        let sum = a * (256 + both - right - below) + b * (right - both) + c * (below - both) + d * both;
        let rounded = sum + packed(&[128; 3]);
        [(rounded >> 8) as u8, (rounded >> 24) as u8, (rounded >> 40) as u8]
    }
}

/// A pixel's channels 16 bits apart, so that one multiplication weighs all three.
fn packed(pixel: &[u8; 3]) -> u64 {
    let [red, green, blue] = pixel.map(u64::from);
    red | green << 16 | blue << 32
}

/// The index that shows at `index` when `size` pixels are continued by their mirror image. One reflection is enough: a
/// crop lies within the picture, so its corners turn out of it by less than half its side.
fn mirrored(index: i32, size: i32) -> i32 {
    let index = if index < 0 { -1 - index } else { index };
    if index < size { index } else { (2 * size - 1 - index).max(0) }
}
