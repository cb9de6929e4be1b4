//! The frozen body in 8-bit integers, for CPUs: with VNNI about twice as fast as bf16, without it half as fast again as f32.
//!
//! Activations are uint8 with one scale a layer, weights int8 with one scale an output channel (symmetric, so zero is
//! exact and padding costs nothing), sums whole numbers, the same on every processor ([`layer`]). The first convolution
//! stays in floating point, since its input is centred pixels, with numbers whose sums are exact. What is lost costs no accuracy, because the layers that
//! learn are trained on the very activations that they will meet when served.

mod layer;
mod profile;
mod steps;

use tch::{Device, Kind, TchError, Tensor};

use super::conv::{self, Conv};
use super::operators;
use super::weights::BodyWeights;
use layer::{Arithmetic, Layer};
pub use profile::Profile;
pub use steps::{KernelSteps, first_layer};

/// Largest uint8 activation.
pub const ACTIVATION_STEPS: f64 = 255.0;

/// Bytes of the first convolution's result at a time: half of a core's second-level cache, or a good part of it.
const STRIP_BYTES: usize = 1 << 20;

/// The lower convolutions, the first in floating point.
#[derive(Debug)]
pub struct Int8Layers {
    first: Conv,
    layers: Vec<Layer>,
    profile: Profile,
}

impl Int8Layers {
    /// Quantises and lays out the weights of the lowest `count` layers; `kind` is the arithmetic of the first.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or a build without oneDNN.
    pub fn new(body: &BodyWeights, count: usize, profile: Profile, kind: Kind) -> Result<Self, TchError> {
        let [weight, bias] = first_layer(body, profile);
        let first = Conv::new(body.layers()[0].spec, &weight, &bias, Device::Cpu)?.to_kind(kind)?;
        let arithmetic = Arithmetic::of_this_processor();
        let layers = body.layers().iter().enumerate().take(count).skip(1);
        let layers =
            layers.map(|(index, layer)| Layer::new(layer, [index, index + 1].map(|level| profile.scale(level)), arithmetic));
        Ok(Self { first, layers: layers.collect::<Result<_, TchError>>()?, profile })
    }

    /// A second handle on the same weights, for another thread.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { first: self.first.share(), layers: self.layers.iter().map(Layer::share).collect(), profile: self.profile }
    }

    /// Runs activations through convolutions `from..to` of those that it has, pooling included: pixels (of the first convolution's kind) if `from`
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
        for index in from..to.min(1 + self.layers.len()) {
            x = match index.checked_sub(1) {
                None => self.first_steps(&x)?,
                Some(place) => self.layers[place].forward(&x)?,
            };
        }
        Ok(x)
    }

    /// The first convolution of a picture, rounded to uint8, a strip of rows after the other: a strip is still in the processor's
    /// cache when it is rounded, the whole would not be (with AMX, rounding it was a fifth of extraction).
    ///
    /// Its scale is in its weights already: what is left is to clip (0 is its ReLU) and to cut off.
    fn first_steps(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, _, height, width) = x.size4()?;
        let outputs = self.first.spec.outputs as i64;
        let bytes = (height * width * outputs) as usize * x.kind().elt_size_in_bytes();
        let rows = (height as usize).div_ceil(bytes.div_ceil(STRIP_BYTES)) as i64;
        let x = x.f_constant_pad_nd([0, 0, conv::PADDING, conv::PADDING])?;
        let steps = Tensor::f_empty([1, height, width, outputs], (Kind::Uint8, Device::Cpu))?.f_permute([0, 3, 1, 2])?;
        for top in (0..height).step_by(rows as usize) {
            let rows = rows.min(height - top);
            let strip = self.first.rows(&x.f_narrow(2, top, rows + 2 * conv::PADDING)?)?;
            operators::clip(&strip, &mut steps.f_narrow(2, top, rows)?)?;
        }
        Ok(steps)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::layers::CONVS;
    use crate::vision::weights::PixelConvention;

    /// Weights that nobody trained.
    pub fn body() -> BodyWeights {
        let numbers = |len: usize| (0..len).map(|place| ((place * place) as f32 * 0.37).sin() / (1.0 + (place % 9) as f32));
        let lookup = |name: &str| {
            let (layer, part) = name.split_once('.')?;
            let spec = CONVS.iter().find(|spec| spec.name == layer)?;
            let shape = if part == "weight" { spec.weight_shape().to_vec() } else { vec![spec.outputs] };
            let numbers: Vec<f32> = numbers(shape.iter().product()).collect();
            Some((shape, numbers))
        };
        BodyWeights::from_tensors(PixelConvention::CaffeBgr, lookup).unwrap()
    }

    #[test]
    fn strips_of_the_first_layer_are_what_the_whole_is() {
        let body = body();
        for kind in [Kind::BFloat16, Kind::Float] {
            let layers = Int8Layers::new(&body, CONVS.len(), Profile::imagenet(), kind).unwrap();
            // One strip, several of which the last is shorter, and a row each.
            for (height, width) in [(16, 20), (333, 160), (3, 20_000)] {
                let numbers: Vec<f32> = (0..height * width * 3).map(|place| ((place * 97) % 256) as f32 - 117.0).collect();
                let x = Tensor::from_slice(&numbers).reshape([1, height, width, 3]).permute([0, 3, 1, 2]).to_kind(kind);
                let whole = layers.first.linear(&x).unwrap().clamp(0.0, ACTIVATION_STEPS).to_kind(Kind::Uint8);
                let strips = layers.forward(&x, 0, 1).unwrap();
                assert_eq!(strips.size(), [1, 64, height, width]);
                assert!(strips.equal(&whole), "{kind:?}, {height} × {width}");
            }
        }
    }
}
