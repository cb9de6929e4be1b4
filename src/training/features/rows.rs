//! What the bytes of a row mean.

use tch::{Kind, Tensor};

use super::shelf::Packed;
use crate::training::TrainingError;
use crate::vision::backbone::Backbone;
use crate::vision::layers::UnfreezeFrom;

/// How the activations of a picture's view lie in a row: height × width × channels, in the element type that the next layer
/// takes. At the input these are the pixels, RGB bytes.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    level: UnfreezeFrom,
    /// Height, width, channels.
    shape: [usize; 3],
    kind: Kind,
}

impl Rows {
    /// Rows of activations below `level`, of element type `kind`, for input of `input_size` pixels a side.
    pub fn new(level: UnfreezeFrom, input_size: u32, kind: Kind) -> Self {
        let kind = if level.frozen() == 0 { Kind::Uint8 } else { kind };
        Self { level, shape: level.boundary_shape(input_size as usize), kind }
    }

    /// Convolutions that the activations have passed.
    pub const fn passed(&self) -> usize {
        self.level.frozen()
    }

    /// The layer.
    pub const fn level(&self) -> UnfreezeFrom {
        self.level
    }

    /// Numbers a row.
    pub const fn numbers(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// Bytes a row.
    pub fn bytes(&self) -> usize {
        self.numbers() * self.kind.elt_size_in_bytes()
    }

    /// A row as it is stored.
    pub fn packed(&self, row: &[u8]) -> Packed {
        match self.kind.elt_size_in_bytes() {
            1 => Packed::of::<1>(row),
            2 => Packed::of::<2>(row),
            _ => Packed::of::<4>(row),
        }
    }

    /// Whole rows as the next layer takes them: `[N, C, H, W]`, channels-last; pixels made ready for the first layer.
    pub fn tensor(&self, rows: &[u8], backbone: &Backbone) -> Result<Tensor, TrainingError> {
        if self.passed() == 0 {
            return Ok(backbone.pixels(rows, self.shape[0])?);
        }
        let [height, width, channels] = self.shape.map(|n| n as i64);
        let count = (rows.len() / self.bytes()) as i64;
        let x = Tensor::f_from_data_size(rows, &[count, height, width, channels], self.kind)?;
        Ok(x.f_permute([0, 3, 1, 2])?)
    }
}

/// The bytes of activations `[N, C, H, W]`, row after row.
pub fn bytes_of(x: &Tensor) -> Result<Vec<u8>, TrainingError> {
    let rows = x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_to_device(tch::Device::Cpu)?;
    let mut bytes = vec![0u8; rows.numel() * rows.kind().elt_size_in_bytes()];
    rows.f_copy_data_u8(&mut bytes, rows.numel())?;
    Ok(bytes)
}
