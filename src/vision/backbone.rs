//! The frozen body: ImageNet VGG16 up to any layer, and what the layers above it take.
//!
//! Two arithmetics may meet in it: the frozen layers' (8-bit integers where the CPU multiplies them fast) and the learning
//! layers' (bf16 or f32). Where learning begins, activations pass from one to the other: [`Backbone::handed_over`].

use tch::{Device, Kind, TchError, Tensor};

use super::conv::{self, Conv};
use super::device;
use super::int8::{Int8Layers, Profile};
use super::layers::{CONVS, UnfreezeFrom};
use super::pixels::Pixels;
use super::precision::Precision;
use super::weights::BodyWeights;

/// What [`Backbone::together`] is at most: more pictures save less and less, and take more memory.
const TOGETHER: usize = 4;

/// All 13 convolutions with fixed weights, on one device.
#[derive(Debug)]
pub struct Backbone {
    /// The uppermost convolutions in the learning layers' arithmetic: all of them, unless those below are in 8-bit integers.
    convs: Vec<Conv>,
    /// In 8-bit integers, if the frozen layers are; on the CPU whatever the device.
    int8: Option<Int8Layers>,
    pixels: Pixels,
    precision: Precision,
    device: Device,
}

impl Backbone {
    /// Prepares the weights: device, precision, memory layout, channel order. In 8-bit integers, layers below `boundary` are prepared
    /// frozen, and those from there up as what learns.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory; 8-bit integers for weights that have no scales.
    pub fn new(body: &BodyWeights, precision: Precision, device: Device, boundary: UnfreezeFrom) -> Result<Self, TchError> {
        let kind = device::kind(precision.learning());
        let (int8, from) = if precision.is_int8() {
            let profile = Profile::of(body).ok_or_else(|| TchError::Torch("these weights have no 8-bit scales".to_owned()))?;
            let frozen = boundary.frozen();
            (Some(Int8Layers::new(body, frozen, profile, kind)?), frozen)
        } else {
            (None, 0)
        };
        let convs = body.layers()[from..]
            .iter()
            .map(|layer| Conv::new(layer.spec, &layer.weight, &layer.bias, device)?.fixed(kind))
            .collect::<Result<Vec<_>, _>>()?;
        let normalisation = body.pixel_convention().normalisation();
        let pixels = if precision.is_int8() {
            // What the first layer's bias makes up for.
            Pixels::new(normalisation.whole().0, kind, Device::Cpu)?
        } else {
            Pixels::new(normalisation, kind, device)?
        };
        Ok(Self { convs, int8, pixels, precision, device })
    }

    /// A second handle on the same weights, for another thread.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            convs: self.convs.iter().map(Conv::share).collect(),
            int8: self.int8.as_ref().map(Int8Layers::share),
            pixels: self.pixels.share(),
            ..*self
        }
    }

    /// The precision of its arithmetic.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// Where the learning layers are.
    #[must_use]
    pub const fn device(&self) -> Device {
        self.device
    }

    /// Where the frozen layers are: with 8-bit integers always on the CPU.
    #[must_use]
    pub const fn frozen_device(&self) -> Device {
        if self.int8.is_some() { Device::Cpu } else { self.device }
    }

    /// Element type of the frozen layers' activations.
    #[must_use]
    pub const fn frozen_kind(&self) -> Kind {
        if self.int8.is_some() { Kind::Uint8 } else { device::kind(self.precision.learning()) }
    }

    /// Pictures that [`Backbone::upper`] computes from layer `from` up in less time together than one by one, to the same bits: in block 5,
    /// whose weights (14 MB in bf16, by minimal filtering 113 MB in f32) are then read once for all of them.
    #[must_use]
    pub fn together(&self, from: usize) -> usize {
        if self.device == Device::Cpu && from >= UnfreezeFrom::BLOCK5_CONV1.frozen() { TOGETHER } else { 1 }
    }

    /// Pictures as the first convolution takes them.
    ///
    /// `rgb` holds whole pictures one after another, each `side × side × 3` bytes, row-major RGB.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or a length that isn't whole pictures.
    pub fn pixels(&self, rgb: &[u8], side: usize) -> Result<Tensor, TchError> {
        self.pixels.tensor(rgb, side)
    }

    /// Runs activations through frozen convolutions `from..to` (indices into [`CONVS`]), pooling included; no gradients.
    /// Takes what [`Backbone::pixels`] makes if `from` is 0, else activations of [`Backbone::frozen_kind`].
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn frozen(&self, x: &Tensor, from: usize, to: usize) -> Result<Tensor, TchError> {
        match &self.int8 {
            Some(int8) => int8.forward(x, from, to),
            None => self.upper(x, from, to),
        }
    }

    /// Activations after `passed` frozen convolutions as the learning layers take them: in their arithmetic, on their device.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn handed_over(&self, x: &Tensor, passed: usize) -> Result<Tensor, TchError> {
        let x = x.f_to_device(self.device)?;
        match &self.int8 {
            Some(int8) if passed > 0 => int8.dequantised(&x, passed, device::kind(self.precision.learning())),
            _ => Ok(x),
        }
    }

    /// Runs activations through convolutions `from..to` with the ImageNet weights in the learning layers' arithmetic: what
    /// fine-tuning starts from, so what the head is warmed up on. No gradients.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory; layers that are in 8-bit integers.
    pub fn upper(&self, x: &Tensor, from: usize, to: usize) -> Result<Tensor, TchError> {
        let _frozen = tch::no_grad_guard();
        let below = CONVS.len() - self.convs.len();
        let [from, to] = [from, to].map(|layer| layer.min(CONVS.len()));
        let Some(first) = from.checked_sub(below) else {
            return Err(TchError::Torch(format!("{} is in 8-bit integers", CONVS[from].name)));
        };
        conv::forward(&self.convs[first..to - below], x)
    }
}
