//! Those of libtorch's operators that its Rust binding doesn't have, as safe Rust.

use std::ffi::{CStr, c_char, c_double, c_int};
use std::ptr::null_mut;

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// Channels that come and go must be a multiple of this for [`filtered_conv`] and [`filtered_conv_int8`].
pub const FILTERED_CHANNELS: usize = 16;

/// Room for a message of libtorch; the rest of a longer one is cut off.
const MESSAGE: usize = 1024;

unsafe extern "C" {
    fn topgraft_packed_conv(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_winograd_kernels(
        weight: *const C_tensor,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_winograd_conv(
        x: *const C_tensor,
        kernels: *const C_tensor,
        bias: *const C_tensor,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_winograd_learning(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_winograd_int8_kernels(
        weight: *const C_tensor,
        out: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
    fn topgraft_winograd_int8_conv(
        x: *const C_tensor,
        x_scale: c_double,
        kernels: *const C_tensor,
        scales: *const C_tensor,
        bias: *const C_tensor,
        out_scale: c_double,
        pooled: c_int,
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
    fn topgraft_adam(
        p: *const C_tensor,
        gradient: *const C_tensor,
        first: *const C_tensor,
        second: *const C_tensor,
        step: i64,
        rate: c_double,
        beta_1: c_double,
        beta_2: c_double,
        epsilon: c_double,
        weight_decay: c_double,
        decoupled: c_int,
        message: *mut c_char,
        length: usize,
    ) -> c_int;
}

/// Convolution of `[N, C, H, W]` in channels-last memory with a kernel that is in oneDNN's layout. No gradients.
pub fn packed_conv(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), bias.as_ptr());
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe { topgraft_packed_conv(x, weight, bias, out, message, MESSAGE) })
}

/// Kernels `[outputs, inputs, 3, 3]` in f32 as [`filtered_conv`] takes them: 36 matrices, each as panels `[outputs / 16, inputs, 16]`; four
/// times as large.
pub fn transformed_kernels(weight: &Tensor) -> Result<Tensor, TchError> {
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe { topgraft_winograd_kernels(weight.as_ptr(), out, message, MESSAGE) })
}

/// Convolution of `[N, C, H, W]` in f32 on the CPU by minimal filtering, a quarter of the multiplications, with kernels that were
/// transformed before; best in channels-last memory. No gradients.
pub fn filtered_conv(x: &Tensor, kernels: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
    let (x, kernels, bias) = (x.as_ptr(), kernels.as_ptr(), bias.as_ptr());
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe { topgraft_winograd_conv(x, kernels, bias, out, message, MESSAGE) })
}

/// The same with kernels `[outputs, inputs, 3, 3]`, and with gradients of all three.
pub fn filtered_conv_learning(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), bias.as_ptr());
    // SAFETY: as in `pack_int8`; what the graph keeps of the tensors it holds by counted references of its own.
    tensor(|out, message| unsafe { topgraft_winograd_learning(x, weight, bias, out, message, MESSAGE) })
}

/// int8 kernels `[outputs, inputs, 3, 3]` as [`filtered_conv_int8`] takes them: 36 matrices of int16, eight times as large.
///
/// Refuses kernels whose sums may not fit into 26 bits.
pub fn transformed_int8_kernels(steps: &Tensor) -> Result<Tensor, TchError> {
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe { topgraft_winograd_int8_kernels(steps.as_ptr(), out, message, MESSAGE) })
}

/// What [`conv_int8`] computes, and the 2 × 2 maximum of it if `pooled`, by exact minimal filtering in 16-bit products, with kernels that
/// were transformed before: to the bit the same, on every processor.
pub fn filtered_conv_int8(
    x: &Tensor,
    x_scale: f64,
    kernels: &Tensor,
    scales: &Tensor,
    bias: &Tensor,
    out_scale: f64,
    pooled: bool,
) -> Result<Tensor, TchError> {
    let (x, kernels) = (x.as_ptr(), kernels.as_ptr());
    let (scales, bias) = (scales.as_ptr(), bias.as_ptr());
    // SAFETY: as in `pack_int8`.
    tensor(|out, message| unsafe {
        topgraft_winograd_int8_conv(x, x_scale, kernels, scales, bias, out_scale, pooled.into(), out, message, MESSAGE)
    })
}

/// Packs int8 weights `[outputs, inputs, 3, 3]`, one of `scales` an output channel, for input of `scale`, laid out for about
/// `side` × `side`; others can be computed too.
pub fn pack_int8(weight: &Tensor, scales: &Tensor, scale: f64, side: usize) -> Result<Tensor, TchError> {
    let (weight, scales, side) = (weight.as_ptr(), scales.as_ptr(), side as i64);
    // SAFETY: the tensors are alive through the call, which only reads them; `tensor` gives the rest.
    tensor(|out, message| unsafe { topgraft_int8_pack(weight, scales, scale, side, out, message, MESSAGE) })
}

/// Convolution, bias and ReLU of uint8 `[N, C, H, W]`; uint8 out in steps of `out_scale`. On processors without VNNI oneDNN's sums of two
/// products saturate at 16 bits.
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

/// Constants of [`adam`], in the words of Kingma and Ba (2014).
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    /// Decay of the mean gradient, and of the mean squared one.
    pub betas: (f64, f64),
    /// Keeps the root of the latter from zero.
    pub epsilon: f64,
    /// Per step, times the learning rate if it is decoupled.
    pub weight_decay: f64,
    /// Decay moves weights apart from the gradient (AdamW, Loshchilov and Hutter 2019) instead of being part of it.
    pub decoupled: bool,
}

/// Step number `step`, 1 and up, of Adam in one pass: moves the parameters `p` by the learning `rate`, and both moments of the gradient.
/// All four are f32 of one shape on one device, side by side in memory.
pub fn adam(
    adam: &Adam,
    p: &mut Tensor,
    gradient: &Tensor,
    first: &mut Tensor,
    second: &mut Tensor,
    step: i32,
    rate: f64,
) -> Result<(), TchError> {
    let Adam { betas: (beta_1, beta_2), epsilon, weight_decay, decoupled } = *adam;
    let (p, gradient, first, second) = (p.as_ptr(), gradient.as_ptr(), first.as_ptr(), second.as_ptr());
    let (step, decoupled) = (step.into(), decoupled.into());
    // SAFETY: the tensors are alive through the call, which writes three tensors' numbers and reads the fourth's; it checks that they are
    // of one size and without gaps; `done` gives the rest.
    done(|message| unsafe {
        topgraft_adam(
            p,
            gradient,
            first,
            second,
            step,
            rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
            decoupled,
            message,
            MESSAGE,
        )
    })
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
mod tests;
