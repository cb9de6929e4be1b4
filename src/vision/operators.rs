//! Those of libtorch's operators that its Rust binding doesn't have, as safe Rust.

use std::ffi::{CStr, c_char, c_double, c_int};
use std::ptr::null_mut;

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// Room for a message of libtorch; the rest of a longer one is cut off.
const MESSAGE: usize = 1024;

unsafe extern "C" {
    fn topgraft_packed_conv(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        padding_y: i64,
        padding_x: i64,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_int8_pack(
        weight: *const C_tensor,
        scales: *const C_tensor,
        scale: c_double,
        side: i64,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_int8_conv(
        x: *const C_tensor,
        x_scale: c_double,
        packed: *const C_tensor,
        scales: *const C_tensor,
        zeros: *const C_tensor,
        bias: *const C_tensor,
        out_scale: c_double,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_int8_max_pool(x: *const C_tensor, out: *mut *mut C_tensor, message: *mut c_char, length: usize) -> c_int;
    fn topgraft_int8_clip(x: *const C_tensor, steps: *const C_tensor, message: *mut c_char, length: usize) -> c_int;
}

/// Convolution of `[N, C, H, W]` in channels-last memory with a kernel that is in oneDNN's layout; `padding` of rows, then columns.
/// No gradients.
pub fn packed_conv(x: &Tensor, weight: &Tensor, bias: &Tensor, [rows, columns]: [i64; 2]) -> Result<Tensor, TchError> {
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), bias.as_ptr());
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe { topgraft_packed_conv(x, weight, bias, rows, columns, out, message, MESSAGE) })
}

/// Packs int8 weights `[outputs, inputs, 3, 3]`, one of `scales` an output channel, for input of `scale`, laid out for about
/// `side` × `side`; others can be computed too.
pub fn pack_int8(weight: &Tensor, scales: &Tensor, scale: f64, side: usize) -> Result<Tensor, TchError> {
    let (weight, scales, side) = (weight.as_ptr(), scales.as_ptr(), side as i64);
    // SAFETY: the tensors are alive through the call, which only reads them; `tensor` gives the rest.
    tensor(|out, message| unsafe { topgraft_int8_pack(weight, scales, scale, side, out, message, MESSAGE) })
}

/// Convolution, bias and ReLU of uint8 `[N, C, H, W]`; uint8 out in steps of `out_scale`.
pub fn conv_int8(
    x: &Tensor,
    x_scale: f64,
    packed: &Tensor,
    scales: &Tensor,
    zeros: &Tensor,
    bias: &Tensor,
    out_scale: f64,
) -> Result<Tensor, TchError> {
    let (x, packed) = (x.as_ptr(), packed.as_ptr());
    let (scales, zeros, bias) = (scales.as_ptr(), zeros.as_ptr(), bias.as_ptr());
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe {
        topgraft_int8_conv(x, x_scale, packed, scales, zeros, bias, out_scale, out, message, MESSAGE)
    })
}

/// 2 × 2 maximum of uint8 `[N, C, H, W]`.
pub fn max_pool_uint8(x: &Tensor) -> Result<Tensor, TchError> {
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe { topgraft_int8_max_pool(x.as_ptr(), out, message, MESSAGE) })
}

/// f32 or bf16 to uint8 of the same shape: below 0 is 0, above 255 is 255, between them the fraction is cut off.
///
/// In one pass on whole vectors; libtorch's own clamp and conversion are two, the second of them number by number.
pub fn clip(x: &Tensor, steps: &mut Tensor) -> Result<(), TchError> {
    // SAFETY: the tensors are alive through the call, which reads the one and writes the other's numbers; `done` gives the rest.
    done(|message| unsafe { topgraft_int8_clip(x.as_ptr(), steps.as_ptr(), message, MESSAGE) })
}

/// Calls a shim function that answers with a new tensor.
fn tensor(call: impl FnOnce(*mut *mut C_tensor, *mut c_char) -> c_int) -> Result<Tensor, TchError> {
    let mut out = null_mut();
    done(|message| call(&raw mut out, message))?;
    // SAFETY: the shim answered 0, so `out` is a tensor that it made with `new` and that nobody else holds.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Calls a shim function, which answers 0, or writes a message of at most [`MESSAGE`] bytes and answers 1.
fn done(call: impl FnOnce(*mut c_char) -> c_int) -> Result<(), TchError> {
    let mut message = [0u8; MESSAGE];
    if call(message.as_mut_ptr().cast()) == 0 {
        return Ok(());
    }
    let message = CStr::from_bytes_until_nul(&message).unwrap_or_default();
    Err(TchError::Torch(message.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn clipped(x: &Tensor) -> Vec<u8> {
        let mut steps = x.empty_like().to_kind(Kind::Uint8);
        clip(x, &mut steps).unwrap();
        Vec::try_from(steps).unwrap()
    }

    #[test]
    fn every_number_of_bf16_is_clipped() {
        let numbers: Vec<f32> =
            (0..=u16::MAX).map(|bits| half::bf16::from_bits(bits).to_f32()).filter(|n| !n.is_nan()).collect();
        // An odd number of them, so that some are left over beside whole vectors.
        let numbers = &numbers[1..];
        let expected: Vec<u8> = numbers.iter().map(|&n| n as u8).collect();
        let x = Tensor::from_slice(numbers);
        assert_eq!(clipped(&x), expected);
        assert_eq!(clipped(&x.to_kind(Kind::BFloat16)), expected);
    }

    #[test]
    fn numbers_that_do_not_lie_side_by_side_are_clipped_too() {
        let numbers: Vec<f32> = (0..2 * 5 * 7 * 3).map(|n| 1.7 * n as f32 - 20.3).collect();
        let x = Tensor::from_slice(&numbers).reshape([2, 5, 7, 3]).permute([0, 3, 1, 2]);
        for x in [x.shallow_clone(), x.slice(3, 0, 7, 2), x.narrow(2, 1, 3)] {
            let mut steps = Tensor::zeros(x.size(), (Kind::Uint8, Device::Cpu));
            clip(&x, &mut steps).unwrap();
            assert!(steps.equal(&x.clamp(0.0, 255.0).to_kind(Kind::Uint8)));
        }
    }

    #[test]
    fn other_kinds_and_shapes_are_refused() {
        let mut steps = Tensor::zeros([2], (Kind::Uint8, Device::Cpu));
        let mut refused = |x: Tensor| clip(&x, &mut steps).unwrap_err().to_string();
        assert!(refused(Tensor::zeros([2], (Kind::Double, Device::Cpu))).contains("f32 and bf16"));
        assert!(refused(Tensor::zeros([3], (Kind::Float, Device::Cpu))).contains("as many"));
    }
}
