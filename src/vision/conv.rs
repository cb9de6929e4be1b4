//! The one forward pass through convolutions, for training and serving, frozen or learning.
//!
//! Activations are `[N, C, H, W]` tensors in channels-last memory (an `[N, H, W, C]` block, permuted): measured on a CPU
//! with AVX512-BF16, bf16 channels-last takes 79 ms a picture where f32 channels-first takes 224.

use tch::{Device, Kind, TchError, Tensor};

use super::layers::{ConvSpec, KERNEL};
use super::operators;
use super::preprocessing::DEFAULT_INPUT_SIZE;

/// Rows or columns that a kernel reaches beyond its own, on each side.
pub const PADDING: i64 = KERNEL as i64 / 2;

/// How a kernel's numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `[outputs, inputs, 3, 3]`; what learns lies so.
    Usual,
    /// As oneDNN's convolution reads them, and nobody else.
    Packed,
    /// Transformed for minimal filtering, see [`operators::transformed_kernels`].
    Transformed,
}

/// A convolution's kernel and bias.
#[derive(Debug)]
pub struct Conv {
    /// Its place in the network.
    pub spec: ConvSpec,
    /// The kernel: `[outputs, inputs, 3, 3]`, unless it is [fixed](Self::fixed).
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
    layout: Layout,
}

impl Conv {
    /// Takes the numbers over to `device` as f32.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn new(spec: ConvSpec, weight: &[f32], bias: &[f32], device: tch::Device) -> Result<Self, TchError> {
        let shape = spec.weight_shape().map(|n| n as i64);
        Ok(Self {
            spec,
            weight: channels_last(&Tensor::f_from_slice(weight)?.f_reshape(shape)?)?.f_to_device(device)?,
            bias: Tensor::f_from_slice(bias)?.f_to_device(device)?,
            layout: Layout::Usual,
        })
    }

    /// A copy whose numbers are of another kind.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn to_kind(&self, kind: Kind) -> Result<Self, TchError> {
        Ok(Self { weight: self.weight.f_to_kind(kind)?, bias: self.bias.f_to_kind(kind)?, ..*self })
    }

    /// A copy to compute with that doesn't learn. On a CPU its kernel lies as what computes with it reads it, which would be made anew
    /// in every call: in bf16, for one picture in block 5, that takes as long as the convolution. The sums are the same.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn fixed(&self, kind: Kind) -> Result<Self, TchError> {
        let _fixed = tch::no_grad_guard();
        let conv = self.to_kind(kind)?;
        if conv.is_filtered(kind, conv.weight.device()) {
            return Ok(Self { weight: operators::transformed_kernels(&conv.weight)?, layout: Layout::Transformed, ..conv });
        }
        if kind != Kind::BFloat16 || conv.weight.device() != Device::Cpu {
            return Ok(conv);
        }
        let side = self.spec.input_side(DEFAULT_INPUT_SIZE as usize) as i64;
        let input = [1, self.spec.inputs as i64, side, side];
        let packed = conv.weight.f_to_mkldnn(None);
        let packed =
            packed.and_then(|kernel| kernel.f_mkldnn_reorder_conv2d_weight([PADDING; 2], [1, 1], [1, 1], 1, &input[..]));
        // Where oneDNN has no bf16, which is on processors without AVX-512, libtorch has, slowly, from the usual layout.
        let Ok(weight) = packed else { return Ok(conv) };
        Ok(Self { weight, layout: Layout::Packed, ..conv })
    }

    /// Whether minimal filtering computes it for maps of `kind` on `device`: a quarter of a convolution's multiplications. That is as
    /// accurate as it is fast in f32 only, and GPUs have their own.
    fn is_filtered(&self, kind: Kind, device: Device) -> bool {
        kind == Kind::Float && device == Device::Cpu && self.spec.inputs.is_multiple_of(operators::FILTERED_CHANNELS)
    }

    /// A second handle on the same numbers.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), ..*self }
    }

    /// The convolution alone, in the arithmetic of `x`.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn linear(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match self.layout {
            Layout::Usual if self.is_filtered(x.kind(), x.device()) => {
                operators::filtered_conv_learning(x, &self.weight, &self.bias)
            }
            Layout::Usual => self.direct(x, [PADDING, PADDING]),
            Layout::Packed => operators::packed_conv(x, &self.weight, &self.bias),
            Layout::Transformed => operators::filtered_conv(x, &self.weight, &self.bias),
        }
    }

    /// The convolution alone of rows that come with their neighbours above and below: `[N, C, H + 2, W]` to `[N, C, H, W]`; of kernels
    /// in their usual layout.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or a kernel that is [fixed](Self::fixed).
    pub fn rows(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.direct(x, [0, PADDING])
    }

    fn direct(&self, x: &Tensor, padding: [i64; 2]) -> Result<Tensor, TchError> {
        // Master weights are f32; the conversion is part of the graph, so gradients reach the f32 originals.
        let (weight, bias) = (self.weight.f_to_kind(x.kind())?, self.bias.f_to_kind(x.kind())?);
        x.f_conv2d(&weight, Some(bias), [1, 1], padding, [1, 1], 1)
    }

    /// Convolution, pooling where the block ends, ReLU; in the arithmetic of `x`.
    ///
    /// Pooling comes first because it leaves a quarter of the numbers, and the maximum of clamped numbers is the clamped
    /// maximum: the values are those of the usual order.
    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut y = self.linear(x)?;
        if self.spec.pooled {
            y = y.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?;
        }
        y.f_relu_()
    }
}

/// Runs `x` through `convs` in order.
///
/// # Errors
/// libtorch's refusal, such as want of memory.
pub fn forward(convs: &[Conv], x: &Tensor) -> Result<Tensor, TchError> {
    convs.iter().try_fold(x.shallow_clone(), |x, conv| conv.forward(&x))
}

/// The same numbers, laid out so that channels lie side by side.
fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::layers::CONVS;

    #[test]
    fn what_is_fixed_computes_the_same_to_the_bit() {
        let numbers = |len: usize| (0..len).map(|n| ((n * n) as f32 * 0.37).sin() / (1 + n % 9) as f32).collect::<Vec<_>>();
        for spec in [CONVS[1], CONVS[10], CONVS[12]] {
            let conv = Conv::new(spec, &numbers(spec.weight_len()), &numbers(spec.outputs), Device::Cpu).unwrap();
            for kind in [Kind::BFloat16, Kind::Float] {
                let (plain, fixed) = (conv.to_kind(kind).unwrap(), conv.fixed(kind).unwrap());
                // The size that it is laid out for, and others.
                for [pictures, height, width] in [[1, 14, 14], [5, 14, 14], [1, 28, 28], [3, 7, 11]] {
                    let x = Tensor::from_slice(&numbers(pictures * height * width * spec.inputs));
                    let x =
                        x.reshape([pictures, height, width, spec.inputs].map(|n| n as i64)).permute([0, 3, 1, 2]).to_kind(kind);
                    let (expected, y) = (plain.forward(&x).unwrap(), fixed.forward(&x).unwrap());
                    assert!(y.equal(&expected), "{} {kind:?}, {pictures} × {height} × {width}", spec.name);
                    assert_eq!((y.kind(), y.stride()), (kind, expected.stride()));
                }
            }
        }
    }
}
