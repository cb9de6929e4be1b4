//! What the machine could do at best: large matrix products, nothing else.

use tch::{Device, Kind, Tensor};
use topgraft::vision::layers::{CONVS, UnfreezeFrom};

use crate::table::best;

/// Side of the matrices: large enough that reading them costs nothing beside multiplying them.
const SIDE: i64 = 2048;

/// Multiplications and additions a second.
pub struct Limits {
    pub bf16: f64,
    pub f32: f64,
    /// None where this libtorch has no 8-bit product for the device.
    pub int8: Option<f64>,
}

/// Measures products of square matrices on all cores.
pub fn measure(device: Device) -> anyhow::Result<Limits> {
    let float = |kind| product(kind, device, |a, b| a.f_matmul(b));
    let limits = Limits {
        bf16: float(Kind::BFloat16)?,
        f32: float(Kind::Float)?,
        int8: product(Kind::Int8, device, |a, b| a.f_internal_int_mm(b)).ok(),
    };
    let giga = |rate: f64| rate / 1e9;
    println!(
        "products of {SIDE} × {SIDE} matrices: bf16 {:.0} GFLOP/s, f32 {:.0} GFLOP/s",
        giga(limits.bf16),
        giga(limits.f32)
    );
    if let Some(int8) = limits.int8 {
        println!("                                     int8 {:.0} GOP/s", giga(int8));
    }
    println!();
    Ok(limits)
}

fn product(
    kind: Kind,
    device: Device,
    multiply: impl Fn(&Tensor, &Tensor) -> Result<Tensor, tch::TchError>,
) -> anyhow::Result<f64> {
    let matrix = || Tensor::f_randn([SIDE, SIDE], (Kind::Float, device))?.f_to_kind(kind);
    let (a, b) = (matrix()?, matrix()?);
    let seconds = best(|| {
        // Read one number back, so that a device that works behind the caller's back has done.
        let _ = multiply(&a, &b)?.f_double_value(&[0, 0])?;
        Ok(())
    })?;
    Ok(2.0 * (SIDE as f64).powi(3) / seconds)
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
