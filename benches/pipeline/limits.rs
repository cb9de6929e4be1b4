//! What the machine could do at best: large matrix products, nothing else.

use tch::{Device, Kind, Tensor};
use topgraft::vision::device;
use topgraft::vision::layers::{CONVS, UnfreezeFrom};
use topgraft::vision::precision::Precision;

use crate::table::best;

/// Side of the matrices: large enough that reading them costs nothing beside multiplying them.
const SIDE: i64 = 2048;

/// Side of those that tell whether libtorch emulates a product of 8 bits: 2048 would take a minute then.
const PROBE: i64 = 256;

/// Products of 8 bits that take ten times as long as f32's are emulated.
const EMULATED: f64 = 0.1;

/// Multiplications and additions a second; none where the device has no instructions for them, or libtorch no product that uses them.
pub struct Limits {
    pub bf16: Option<f64>,
    pub f32: f64,
    pub int8: Option<f64>,
}

/// Measures products of square matrices on all cores.
pub fn measure(device: Device) -> anyhow::Result<Limits> {
    let float = |kind| product(kind, SIDE, device, |a, b| a.f_matmul(b));
    let int8 = |side| product(Kind::Int8, side, device, |a, b| a.f_internal_int_mm(b));
    let bf16 = device::fast(device, true).contains(&Precision::Bf16).then(|| float(Kind::BFloat16)).transpose()?;
    let f32 = float(Kind::Float)?;
    // With AVX2 alone 8-bit layers are fast by products of our own; libtorch's aren't.
    let int8 = int8(PROBE).ok().filter(|rate| *rate >= EMULATED * f32).and_then(|_| int8(SIDE).ok());
    let limits = Limits { bf16, f32, int8 };
    let giga = |rate: Option<f64>| rate.map_or_else(|| "none".into(), |rate| format!("{:.0} G/s", rate / 1e9));
    println!(
        "products of {SIDE} × {SIDE} matrices: bf16 {}, f32 {}, int8 {}\n",
        giga(limits.bf16),
        giga(Some(limits.f32)),
        giga(limits.int8)
    );
    Ok(limits)
}

fn product(
    kind: Kind,
    side: i64,
    device: Device,
    multiply: impl Fn(&Tensor, &Tensor) -> Result<Tensor, tch::TchError>,
) -> anyhow::Result<f64> {
    let matrix = || Tensor::f_randn([side, side], (Kind::Float, device))?.f_to_kind(kind);
    let (a, b) = (matrix()?, matrix()?);
    let seconds = best(|| {
        // Read one number back, so that a device that works behind the caller's back has done.
        let _ = multiply(&a, &b)?.f_double_value(&[0, 0])?;
        Ok(())
    })?;
    Ok(2.0 * (side as f64).powi(3) / seconds)
}

/// Multiplications and additions of a picture's forward pass through convolutions `from..to`.
pub fn operations(from: usize, to: usize, input_size: usize) -> f64 {
    let convs = CONVS.iter().zip(UnfreezeFrom::all()).take(to).skip(from);
    convs
        .map(|(conv, below)| {
            let [height, width, _] = below.boundary_shape(input_size);
            2.0 * (height * width * conv.weight_len()) as f64
        })
        .sum()
}
