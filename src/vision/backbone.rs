//! The frozen body: ImageNet VGG16 up to any layer.

use tch::{Device, Kind, TchError, Tensor};

use super::conv::{self, Conv};
use super::device;
use super::layers::CONVS;
use super::precision::Precision;
use super::weights::{BodyWeights, PixelConvention};

/// All 13 convolutions with fixed weights, in one precision, on one device.
#[derive(Debug)]
pub struct Backbone {
    convs: Vec<Conv>,
    pixels: Pixels,
    precision: Precision,
    device: Device,
}

/// How raw RGB pixels become the numbers that the weights were trained on: (value − mean) · scale, channel by channel.
#[derive(Debug)]
struct Pixels {
    /// The channels' order: the weights want BGR.
    reversed: bool,
    mean: Tensor,
    scale: Tensor,
}

impl Backbone {
    /// Prepares the weights: device, precision, memory layout, channel order.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn new(body: &BodyWeights, precision: Precision, device: Device) -> Result<Self, TchError> {
        let convs = body
            .layers()
            .iter()
            .map(|layer| Conv::new(layer.spec, &layer.weight, &layer.bias, device)?.to_kind(device::kind(precision)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { convs, pixels: Pixels::new(body.pixel_convention(), device)?, precision, device })
    }

    /// The precision of its arithmetic.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// Pictures as the first convolution takes them.
    ///
    /// `rgb` holds whole pictures one after another, each `side × side × 3` bytes, row-major RGB.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or a length that isn't whole pictures.
    pub fn pixels(&self, rgb: &[u8], side: usize) -> Result<Tensor, TchError> {
        let pictures = rgb.len() / (side * side * 3);
        let shape = [pictures, side, side, 3].map(|n| n as i64);
        let mut x = Tensor::f_from_data_size(rgb, &shape, Kind::Uint8)?.f_to_device(self.device)?;
        if self.pixels.reversed {
            x = x.f_flip([3])?;
        }
        let x = x.f_to_kind(Kind::Float)?.f_sub_(&self.pixels.mean)?.f_mul_(&self.pixels.scale)?;
        x.f_to_kind(device::kind(self.precision))?.f_permute([0, 3, 1, 2])
    }

    /// Runs activations through convolutions `from..to` (indices into [`CONVS`]), pooling included; no gradients.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn forward(&self, x: &Tensor, from: usize, to: usize) -> Result<Tensor, TchError> {
        let _frozen = tch::no_grad_guard();
        conv::forward(&self.convs[from.min(CONVS.len())..to.min(CONVS.len())], x)
    }
}

impl Pixels {
    fn new(convention: PixelConvention, device: Device) -> Result<Self, TchError> {
        let tensor = |values: [f32; 3]| Tensor::f_from_slice(&values)?.f_to_device(device);
        match convention {
            // Oxford's own weights: BGR, 0 to 255, the training set's mean subtracted, no division.
            PixelConvention::CaffeBgr => {
                Ok(Self { reversed: true, mean: tensor([103.939, 116.779, 123.68])?, scale: tensor([1.0; 3])? })
            }
            // torchvision's: RGB, 0 to 1, ImageNet's mean and standard deviation; here in units of 0 to 255.
            PixelConvention::TorchRgb => Ok(Self {
                reversed: false,
                mean: tensor([0.485, 0.456, 0.406].map(|mean| mean * 255.0))?,
                scale: tensor([0.229, 0.224, 0.225].map(|deviation| 1.0 / (deviation * 255.0)))?,
            }),
        }
    }
}
