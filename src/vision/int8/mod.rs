//! The frozen body in 8-bit integers, for CPUs that multiply them (VNNI): about twice as fast as bf16.
//!
//! Activations are uint8 with one scale a layer, weights int8 with one scale an output channel (symmetric, so zero is
//! exact and padding costs nothing), sums int32: oneDNN's quantised convolutions inside libtorch. The first convolution
//! stays in floating point, since its input is centred pixels. What is lost costs no accuracy, because the layers that
//! learn are trained on the very activations that they will meet when served.

mod ffi;
mod profile;

use tch::{Device, Kind, TchError, Tensor};

use super::conv::Conv;
use super::layers::CONVS;
use super::weights::BodyWeights;
pub use profile::Profile;

/// Largest int8 weight: symmetric, so −128 isn't used.
const WEIGHT_STEPS: f64 = 127.0;
/// Largest uint8 activation.
const ACTIVATION_STEPS: f64 = 255.0;

/// The 13 convolutions, the first in floating point.
#[derive(Debug)]
pub struct Int8Layers {
    first: Conv,
    layers: Vec<Layer>,
    profile: Profile,
}

/// One packed convolution.
#[derive(Debug)]
struct Layer {
    packed: Tensor,
    /// A weight step's size, an output channel.
    scales: Tensor,
    /// Zero points of the weights: all zero.
    zeros: Tensor,
    bias: Tensor,
    pooled: bool,
}

impl Int8Layers {
    /// Quantises and packs the weights; `kind` is the arithmetic of the first convolution.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or a build without oneDNN.
    pub fn new(body: &BodyWeights, profile: Profile, kind: Kind) -> Result<Self, TchError> {
        let first = first_layer(body, profile, kind)?;
        let layers = body.layers().iter().enumerate().skip(1).map(|(index, layer)| {
            let shape = layer.spec.weight_shape().map(|n| n as i64);
            let weight = Tensor::f_from_slice(&layer.weight)?.f_reshape(shape)?;
            let scales = weight
                .f_abs()?
                .f_amax([1, 2, 3], true)?
                .f_clamp_min(f64::from(f32::MIN_POSITIVE))?
                .f_div_scalar(WEIGHT_STEPS)?;
            let steps = weight.f_div(&scales)?.f_round()?.f_clamp(-WEIGHT_STEPS, WEIGHT_STEPS)?.f_to_kind(Kind::Int8)?;
            let scales = scales.f_flatten(0, -1)?;
            Ok(Layer {
                packed: ffi::pack(&steps, &scales, profile.scale(index))?,
                zeros: Tensor::f_zeros([shape[0]], (Kind::Int, Device::Cpu))?,
                scales,
                bias: Tensor::f_from_slice(&layer.bias)?,
                pooled: layer.spec.pooled,
            })
        });
        Ok(Self { first, layers: layers.collect::<Result<_, TchError>>()?, profile })
    }

    /// A second handle on the same weights, for another thread.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { first: self.first.share(), layers: self.layers.iter().map(Layer::share).collect(), profile: self.profile }
    }

    /// Runs activations through convolutions `from..to`, pooling included: pixels (of the first convolution's kind) if `from`
    /// is 0, else uint8; uint8 out. All in channels-last memory.
    ///
    /// One picture after the other: the lower layers of a single picture stay in the processor's cache, which makes a batch
    /// of 16 a tenth faster than all at once.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn forward(&self, x: &Tensor, from: usize, to: usize) -> Result<Tensor, TchError> {
        let _frozen = tch::no_grad_guard();
        let pictures = (0..x.size()[0]).map(|place| self.picture(&x.f_narrow(0, place, 1)?, from, to));
        let mut pictures = pictures.collect::<Result<Vec<_>, TchError>>()?;
        if pictures.len() == 1 { Ok(pictures.remove(0)) } else { Tensor::f_cat(&pictures, 0) }
    }

    fn picture(&self, x: &Tensor, from: usize, to: usize) -> Result<Tensor, TchError> {
        let mut x = x.shallow_clone();
        for index in from..to.min(CONVS.len()) {
            x = match index.checked_sub(1) {
                // Its scale is in its weights already: what is left is to clip (0 is its ReLU) and to cut off.
                None => self.first.linear(&x)?.f_clamp_(0.0, ACTIVATION_STEPS)?.f_to_kind(Kind::Uint8)?,
                Some(place) => self.layers[place].forward(&x, self.profile.scale(index), self.profile.scale(index + 1))?,
            };
        }
        Ok(x)
    }

    /// Activations after `level` convolutions (uint8) as floating point numbers of `kind`.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn dequantised(&self, x: &Tensor, level: usize, kind: Kind) -> Result<Tensor, TchError> {
        let mut x = x.f_to_kind(kind)?;
        x.f_mul_scalar_(self.profile.scale(level))
    }
}

/// The first convolution, its weights divided by its activations' scale and its bias raised by half a step, so that cutting
/// off rounds.
fn first_layer(body: &BodyWeights, profile: Profile, kind: Kind) -> Result<Conv, TchError> {
    let layer = &body.layers()[0];
    let scale = profile.scale(1);
    let steps = |numbers: &[f32], more: f64| numbers.iter().map(|n| (f64::from(*n) / scale + more) as f32).collect::<Vec<_>>();
    Conv::new(layer.spec, &steps(&layer.weight, 0.0), &steps(&layer.bias, 0.5), Device::Cpu)?.to_kind(kind)
}

impl Layer {
    fn share(&self) -> Self {
        Self {
            packed: self.packed.shallow_clone(),
            scales: self.scales.shallow_clone(),
            zeros: self.zeros.shallow_clone(),
            bias: self.bias.shallow_clone(),
            pooled: self.pooled,
        }
    }

    fn forward(&self, x: &Tensor, x_scale: f64, out_scale: f64) -> Result<Tensor, TchError> {
        let y = ffi::conv(x, x_scale, &self.packed, &self.scales, &self.zeros, &self.bias, out_scale)?;
        if self.pooled { ffi::max_pool(&y) } else { Ok(y) }
    }
}
