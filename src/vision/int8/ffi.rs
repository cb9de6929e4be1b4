//! The shim's functions as safe Rust.

use std::ffi::{CStr, c_char, c_double, c_int};
use std::ptr::null_mut;

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// Room for a message of libtorch; the rest of a longer one is cut off.
const MESSAGE: usize = 1024;

unsafe extern "C" {
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
}

/// Packs int8 weights `[outputs, inputs, 3, 3]`, one of `scales` an output channel, for input of `scale`, laid out for about
/// `side` × `side`; others can be computed too.
pub fn pack(weight: &Tensor, scales: &Tensor, scale: f64, side: usize) -> Result<Tensor, TchError> {
    let (weight, scales, side) = (weight.as_ptr(), scales.as_ptr(), side as i64);
    // SAFETY: the tensors are alive through the call, which only reads them; `tensor` gives the rest.
    tensor(|out, message| unsafe { topgraft_int8_pack(weight, scales, scale, side, out, message, MESSAGE) })
}

/// Convolution, bias and ReLU of uint8 `[N, C, H, W]`; uint8 out in steps of `out_scale`.
pub fn conv(
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
    // SAFETY: as in `pack`.
    tensor(|out, message| unsafe {
        topgraft_int8_conv(x, x_scale, packed, scales, zeros, bias, out_scale, out, message, MESSAGE)
    })
}

/// 2 × 2 maximum of uint8 `[N, C, H, W]`.
pub fn max_pool(x: &Tensor) -> Result<Tensor, TchError> {
    // SAFETY: as in `pack`.
    tensor(|out, message| unsafe { topgraft_int8_max_pool(x.as_ptr(), out, message, MESSAGE) })
}

/// Calls a shim function, which sets `out` to a new tensor and answers 0, or writes a message and answers 1.
fn tensor(call: impl FnOnce(*mut *mut C_tensor, *mut c_char) -> c_int) -> Result<Tensor, TchError> {
    let mut out = null_mut();
    let mut message = [0u8; MESSAGE];
    if call(&raw mut out, message.as_mut_ptr().cast()) == 0 {
        // SAFETY: the shim answered 0, so `out` is a tensor that it made with `new` and that nobody else holds.
        return Ok(unsafe { Tensor::from_ptr(out) });
    }
    let message = CStr::from_bytes_until_nul(&message).unwrap_or_default();
    Err(TchError::Torch(message.to_string_lossy().into_owned()))
}
