//! From tensors a reader has located to validated layers. Shapes are all checked before the first number is read, so
//! no file's claim about a size ever becomes an allocation.

use std::fmt;

use super::{ConvWeights, LayerProblem, PixelConvention, WeightsError};
use crate::vision::layers::ConvSpec;

/// A layer's two tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Weight,
    Bias,
}

impl Part {
    pub(super) const BOTH: [Self; 2] = [Self::Weight, Self::Bias];

    fn expected(self, spec: &ConvSpec) -> Vec<usize> {
        match self {
            Self::Weight => spec.weight_shape().to_vec(),
            Self::Bias => vec![spec.outputs],
        }
    }

    /// `block1_conv1.weight`: the name in the canonical file and in messages.
    pub(super) fn name(self, spec: &ConvSpec) -> String {
        format!("{}.{self}", spec.name)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        })
    }
}

/// A tensor that is there, not yet read.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    /// Canonical order: OIHW for a weight, `[O]` for a bias.
    pub(super) shape: Vec<usize>,
    /// Whatever the reader needs to read it.
    pub(super) handle: T,
}

/// What a reader found for one layer.
#[derive(Debug, Clone)]
pub(super) struct Slot<T> {
    pub(super) weight: Option<Located<T>>,
    pub(super) bias: Option<Located<T>>,
}

impl<T> Slot<T> {
    pub(super) fn is_complete(&self) -> bool {
        self.weight.is_some() && self.bias.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.weight.is_none() && self.bias.is_none()
    }
}

/// What a file gave: its layers and the pixel convention its naming points to.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) layers: Vec<ConvWeights>,
    pub(super) convention: PixelConvention,
    /// Tensor hash that the file itself records, if it does.
    pub(super) recorded_sha256: Option<String>,
}

/// Reads the located tensors, one slot for each of `specs`.
///
/// # Errors
/// [`WeightsError::Layers`] naming every missing or misshapen tensor; whatever `read` returns; and
/// [`WeightsError::Malformed`] if a tensor has another count of numbers than its shape says, or one that isn't finite.
pub(super) fn collect<T>(
    origin: &str,
    format: &'static str,
    specs: &[ConvSpec],
    slots: Vec<Slot<T>>,
    mut read: impl FnMut(&str, T) -> Result<Vec<f32>, WeightsError>,
) -> Result<Vec<ConvWeights>, WeightsError> {
    let problems: Vec<_> = specs.iter().enumerate().flat_map(|(i, spec)| problems_of(spec, slots.get(i))).collect();
    if !problems.is_empty() {
        return Err(WeightsError::Layers { origin: origin.to_owned(), problems });
    }
    let mut read_checked = |part: Part, spec: &ConvSpec, located: Located<T>| {
        let name = part.name(spec);
        let data = read(&name, located.handle)?;
        let count: usize = located.shape.iter().product();
        if data.len() != count {
            let reason = format!("{name} has {} numbers where its shape says {count}", data.len());
            return Err(WeightsError::malformed(origin, format, reason));
        }
        if data.iter().any(|x| !x.is_finite()) {
            return Err(WeightsError::malformed(origin, format, format!("{name} holds NaN or infinity")));
        }
        Ok(data)
    };
    let mut layers = Vec::with_capacity(specs.len());
    for (spec, slot) in specs.iter().zip(slots) {
        // `problems` was empty, so both parts are there; a slot without them can only be skipped.
        if let Slot { weight: Some(weight), bias: Some(bias) } = slot {
            let weight = read_checked(Part::Weight, spec, weight)?;
            let bias = read_checked(Part::Bias, spec, bias)?;
            layers.push(ConvWeights { spec: *spec, weight, bias });
        }
    }
    Ok(layers)
}

fn problems_of<T>(spec: &ConvSpec, slot: Option<&Slot<T>>) -> Vec<LayerProblem> {
    let mut problems = Vec::new();
    for part in Part::BOTH {
        let located = slot.and_then(|slot| match part {
            Part::Weight => slot.weight.as_ref(),
            Part::Bias => slot.bias.as_ref(),
        });
        let (found, expected) = (located.map(|l| l.shape.clone()), part.expected(spec));
        if found.as_ref() != Some(&expected) {
            problems.push(LayerProblem { tensor: part.name(spec), expected, found });
        }
    }
    problems
}

/// How a float is stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    F32,
    F16,
    Bf16,
}

/// Little-endian bytes to f32; bytes beyond the last whole number are dropped (the caller checks the count).
pub(super) fn decode_floats(stored: Stored, bytes: &[u8]) -> Vec<f32> {
    match stored {
        Stored::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Stored::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        Stored::Bf16 => bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_decode_from_little_endian_bytes() {
        assert_eq!(decode_floats(Stored::F32, &[0, 0, 0x80, 0x3f, 9]), [1.0]);
        assert_eq!(decode_floats(Stored::F16, &[0x00, 0x3c, 0x01, 0x00]), [1.0, 2f32.powi(-24)]);
        assert_eq!(decode_floats(Stored::Bf16, &[0x80, 0x3f, 0x20, 0xc1]), [1.0, -10.0]);
    }
}
