//! Raw RGB pixels as the numbers that the weights were trained on.

use std::array;
use std::sync::Arc;

use half::bf16;
use tch::{Device, Kind, TchError, Tensor};

use super::device;
use super::weights::Normalisation;

/// (value − mean) · scale, channel by channel, in the weights' order of channels.
#[derive(Debug)]
pub enum Pixels {
    /// On a CPU: what each value of a byte becomes, looked up. libtorch's own operators go over the picture five times, which takes
    /// as long as a convolution of block 2.
    Bf16(Arc<Table<2>>),
    /// The same in f32.
    F32(Arc<Table<4>>),
    /// On a GPU, to which bytes are sent, not numbers.
    Computed { reversed: bool, mean: Tensor, scale: Tensor, kind: Kind },
}

/// What a byte of each channel becomes: a number of `BYTES` bytes, as it lies in memory.
#[derive(Debug)]
pub struct Table<const BYTES: usize> {
    /// Which of R, G and B each channel of the network is.
    order: [usize; 3],
    numbers: [[[u8; BYTES]; 256]; 3],
}

impl<const BYTES: usize> Table<BYTES> {
    fn new(normalisation: Normalisation, rounded: impl Fn(f32) -> [u8; BYTES]) -> Self {
        let Normalisation { reversed, mean, scale } = normalisation;
        let number = |channel: usize, byte: usize| rounded((byte as f32 - mean[channel]) * scale[channel]);
        let numbers = [0, 1, 2].map(|channel| array::from_fn(|byte| number(channel, byte)));
        Self { order: if reversed { [2, 1, 0] } else { [0, 1, 2] }, numbers }
    }

    fn tensor(&self, rgb: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, TchError> {
        let ([i, j, k], [first, second, third]) = (self.order, &self.numbers);
        let mut numbers = Vec::with_capacity(rgb.len());
        for pixel in rgb.as_chunks::<3>().0 {
            numbers.extend([first[usize::from(pixel[i])], second[usize::from(pixel[j])], third[usize::from(pixel[k])]]);
        }
        Tensor::f_from_data_size(numbers.as_flattened(), shape, kind)
    }
}

impl Pixels {
    /// In numbers of `kind`, bf16 or f32, on `device`.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn new(normalisation: Normalisation, kind: Kind, device: Device) -> Result<Self, TchError> {
        Ok(match kind {
            _ if device.is_cuda() => Self::computed(normalisation, kind, device)?,
            Kind::BFloat16 => Self::Bf16(Arc::new(Table::new(normalisation, |n| bf16::from_f32(n).to_ne_bytes()))),
            _ => Self::F32(Arc::new(Table::new(normalisation, f32::to_ne_bytes))),
        })
    }

    fn computed(normalisation: Normalisation, kind: Kind, device: Device) -> Result<Self, TchError> {
        let tensor = |values: [f32; 3]| Tensor::f_from_slice(&values)?.f_to_device(device);
        let Normalisation { reversed, mean, scale } = normalisation;
        Ok(Self::Computed { reversed, mean: tensor(mean)?, scale: tensor(scale)?, kind })
    }

    /// A second handle on the same numbers.
    #[must_use]
    pub fn share(&self) -> Self {
        match self {
            Self::Bf16(table) => Self::Bf16(table.clone()),
            Self::F32(table) => Self::F32(table.clone()),
            Self::Computed { reversed, mean, scale, kind } => {
                Self::Computed { reversed: *reversed, mean: mean.shallow_clone(), scale: scale.shallow_clone(), kind: *kind }
            }
        }
    }

    /// Whole pictures, one after another, `side × side × 3` bytes each, row-major RGB, as `[N, 3, side, side]` in channels-last
    /// memory.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or a length that isn't whole pictures.
    pub fn tensor(&self, rgb: &[u8], side: usize) -> Result<Tensor, TchError> {
        let pictures = rgb.len() / (side * side * 3);
        if rgb.len() != pictures * side * side * 3 {
            return Err(TchError::Shape(format!("{} bytes aren't whole pictures of {side} × {side} pixels", rgb.len())));
        }
        let shape = [pictures, side, side, 3].map(|n| n as i64);
        let x = match self {
            Self::Bf16(table) => table.tensor(rgb, &shape, Kind::BFloat16)?,
            Self::F32(table) => table.tensor(rgb, &shape, Kind::Float)?,
            Self::Computed { reversed, mean, scale, kind } => {
                let mut x = device::upload(&Tensor::f_from_data_size(rgb, &shape, Kind::Uint8)?, mean.device())?;
                if *reversed {
                    x = x.f_flip([3])?;
                }
                x.f_to_kind(Kind::Float)?.f_sub_(mean)?.f_mul_(scale)?.f_to_kind(*kind)?
            }
        };
        x.f_permute([0, 3, 1, 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::weights::PixelConvention;

    #[test]
    fn numbers_are_the_same_wherever_they_are_made() {
        // Every value in every channel, and two pictures.
        let rgb: Vec<u8> = (0..2 * 16 * 16 * 3u32).map(|n| (n * 7 / 3) as u8).collect();
        for convention in [PixelConvention::CaffeBgr, PixelConvention::TorchRgb] {
            for normalisation in [convention.normalisation(), convention.normalisation().whole().0] {
                for kind in [Kind::BFloat16, Kind::Float] {
                    let looked_up = Pixels::new(normalisation, kind, Device::Cpu).unwrap().tensor(&rgb, 16).unwrap();
                    let computed = Pixels::computed(normalisation, kind, Device::Cpu).unwrap().tensor(&rgb, 16).unwrap();
                    assert_eq!((looked_up.kind(), looked_up.size()), (kind, vec![2, 3, 16, 16]));
                    assert!(looked_up.equal(&computed), "{normalisation:?} {kind:?}");
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_picture_is_refused() {
        let pixels = Pixels::new(PixelConvention::CaffeBgr.normalisation(), Kind::Float, Device::Cpu).unwrap();
        assert!(pixels.tensor(&[0; 2 * 2 * 3 + 3], 2).is_err());
        assert!(pixels.tensor(&[0; 2 * 2 * 3 + 1], 2).is_err());
    }
}
