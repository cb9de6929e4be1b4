//! A convolution in 8-bit integers, by whichever instructions the processor has: the same to the bit.

use tch::{Device, Kind, TchError, Tensor};

use super::KernelSteps;
use crate::vision::operators;
use crate::vision::processor;
use crate::vision::weights::ConvWeights;

/// Side of the input that weights are packed for, in pixels, whatever the layer. oneDNN chooses a layout by the size of its work, and
/// libtorch asks it before it can know that results are 8 bits wide; so layers near the top, which are smaller, would be given one
/// that no call reads, and be laid out anew in each: a twentieth of extraction with AMX. At this size it is the one that input of
/// 192 to 448 pixels calls for (`ONEDNN_VERBOSE=1` shows reorders); smaller input still has two layers laid out anew. Without AMX all
/// sizes have one layout.
const PACKED_FOR: usize = 112;

/// How sums of 8-bit products are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// By oneDNN, with instructions that add up products of 8 bits in 32 (VNNI, AMX). Without them its sums saturate on the way.
    EightBit,
    /// By minimal filtering in 16 bits, which is exact on any processor, and fast with AVX2.
    Filtered,
}

impl Arithmetic {
    /// The faster one here.
    pub fn of_this_processor() -> Self {
        if processor::has_avx2() && !processor::has_vnni() { Self::Filtered } else { Self::EightBit }
    }
}

/// Convolution, bias, ReLU and rounding to steps, then pooling where a block ends.
#[derive(Debug)]
pub struct Layer {
    kernels: Kernels,
    /// A weight step's size, an output channel.
    scales: Tensor,
    bias: Tensor,
    pooled: bool,
    /// Sizes of a step of what comes and of what goes.
    steps: [f64; 2],
}

#[derive(Debug)]
enum Kernels {
    /// In oneDNN's layout, and the zero points of the weights: all zero.
    Packed { packed: Tensor, zeros: Tensor },
    /// See [`operators::transformed_int8_kernels`].
    Transformed(Tensor),
}

impl Layer {
    /// Quantises and lays out a layer's weights; `steps` are the sizes of a step of the activations that come and of its own.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or a build without oneDNN; weights whose sums may be too large.
    pub fn new(layer: &ConvWeights, steps: [f64; 2], arithmetic: Arithmetic) -> Result<Self, TchError> {
        let shape = layer.spec.weight_shape().map(|n| n as i64);
        let KernelSteps { steps: weight, scales } = KernelSteps::of(layer);
        let weight = Tensor::f_from_slice(&weight)?.f_reshape(shape)?;
        let scales = Tensor::f_from_slice(&scales)?;
        let kernels = match arithmetic {
            Arithmetic::EightBit => Kernels::Packed {
                packed: operators::pack_int8(&weight, &scales, steps[0], PACKED_FOR)?,
                zeros: Tensor::f_zeros([shape[0]], (Kind::Int, Device::Cpu))?,
            },
            Arithmetic::Filtered => Kernels::Transformed(operators::transformed_int8_kernels(&weight)?),
        };
        Ok(Self { kernels, scales, bias: Tensor::f_from_slice(&layer.bias)?, pooled: layer.spec.pooled, steps })
    }

    /// A second handle on the same weights.
    pub fn share(&self) -> Self {
        let kernels = match &self.kernels {
            Kernels::Packed { packed, zeros } => {
                Kernels::Packed { packed: packed.shallow_clone(), zeros: zeros.shallow_clone() }
            }
            Kernels::Transformed(kernels) => Kernels::Transformed(kernels.shallow_clone()),
        };
        Self { kernels, scales: self.scales.shallow_clone(), bias: self.bias.shallow_clone(), ..*self }
    }

    /// uint8 `[N, C, H, W]` in channels-last memory to such.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let [from, to] = self.steps;
        match &self.kernels {
            Kernels::Packed { packed, zeros } => {
                let y = operators::conv_int8(x, from, packed, &self.scales, zeros, &self.bias, to)?;
                if self.pooled { operators::max_pool_uint8(&y) } else { Ok(y) }
            }
            Kernels::Transformed(kernels) => {
                operators::filtered_conv_int8(x, from, kernels, &self.scales, &self.bias, to, self.pooled)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::int8::tests::body;
    use crate::vision::layers::CONVS;

    #[test]
    fn both_ways_to_a_layer_are_the_same_to_the_bit() {
        let body = body();
        for index in [1, 2, 9, 12] {
            let mut weights = body.layers()[index].clone();
            // So that oneDNN's sums of two neighbours don't saturate where they could: 255 · 63 · 2 is less than 2¹⁵, and the largest
            // weight, which is 127 steps, has a neighbour of 0.
            let inner = weights.weight.len() / weights.spec.outputs;
            for channel in weights.weight.chunks_exact_mut(inner) {
                let most = channel.iter().fold(0f32, |most, n| most.max(n.abs()));
                channel.iter_mut().for_each(|n| *n = n.clamp(-most * 0.49, most * 0.49));
                [channel[0], channel[9]] = [most, 0.0];
            }
            let spec = CONVS[index];
            for [height, width] in [[14, 14], [7, 11], [30, 33]] {
                let len = height * width * spec.inputs;
                let steps: Vec<u8> = (0..len).map(|n| ((n * n * 31 + n * 7) % 257).saturating_sub(1) as u8).collect();
                let x =
                    Tensor::from_slice(&steps).reshape([1, height, width, spec.inputs].map(|n| n as i64)).permute([0, 3, 1, 2]);
                let [packed, filtered] = [Arithmetic::EightBit, Arithmetic::Filtered]
                    .map(|arithmetic| Layer::new(&weights, [3.0, 40.0], arithmetic).unwrap().share().forward(&x).unwrap());
                assert_eq!((filtered.size(), filtered.stride()), (packed.size(), packed.stride()));
                assert!(filtered.equal(&packed), "{} of {height} × {width}", spec.name);
                let mean = packed.mean(Kind::Float).double_value(&[]);
                assert!((1.0..254.0).contains(&mean), "numbers that tell: {mean}");
            }
        }
    }
}
