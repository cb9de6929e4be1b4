//! What the machine could do at best: large matrix products, nothing else.

use tch::{Device, Kind, Tensor};
use topgraft::vision::layers::{CONVS, UnfreezeFrom};

use crate::table::best;

/// Side of the matrices: large enough that reading them costs nothing beside multiplying them.
const SIDE: i64 = 2048;

/// Side of those that tell whether a type is emulated: 2048 would take minutes then.
const PROBE: i64 = 256;

/// A type whose products take ten times as long as f32's has no instructions of its own.
const EMULATED: f64 = 0.1;

/// Multiplications and additions a second; none where there are no instructions for them, or libtorch has no such product.
pub struct Limits {
    pub bf16: Option<f64>,
    pub f32: f64,
    pub int8: Option<f64>,
}

/// Measures products of square matrices on all cores.
pub fn measure(device: Device) -> anyhow::Result<Limits> {
    let float = |kind, side| product(kind, side, device, |a, b| a.f_matmul(b));
    let int8 = |side| product(Kind::Int8, side, device, |a, b| a.f_internal_int_mm(b));
    let slowest = EMULATED * float(Kind::Float, PROBE)?;
    let limits = Limits {
        bf16: if float(Kind::BFloat16, PROBE)? < slowest { None } else { Some(float(Kind::BFloat16, SIDE)?) },
        f32: float(Kind::Float, SIDE)?,
        int8: int8(PROBE).ok().filter(|rate| *rate >= slowest).and_then(|_| int8(SIDE).ok()),
    };
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
