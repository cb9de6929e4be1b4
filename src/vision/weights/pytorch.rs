//! PyTorch's `torch.save` files: the ZIP container of 1.6 and later, and the pickle stream before it, which
//! torchvision's older downloads are. Names are torchvision's, bare or wrapped.
//!
//! A pickle is a program. The reader here parses it and knows only what tensors are made of: a class or a call that
//! it doesn't know becomes an inert value or an error, and nothing is imported or called.

use std::path::Path;

use pytorch_reader::{DType, PytorchReader, Tensor};

use super::collect::{Contents, Located, Slot, Stored, collect, decode_floats};
use super::{WeightsError, names};
use crate::vision::layers::ConvSpec;

const FORMAT: &str = "PyTorch";

pub(super) fn read(path: &Path, specs: &[ConvSpec]) -> Result<Contents, WeightsError> {
    let origin = path.display().to_string();
    let malformed = |reason: String| WeightsError::malformed(&origin, FORMAT, reason);
    let reader = PytorchReader::new(path)
        .map_err(|e| malformed(format!("{e}; save a plain state_dict with torch.save(model.state_dict(), FILE)")))?;
    let tensors = reader.tensors();
    let (keys, convention) = names::locate(specs, tensors.keys().map(String::as_str));
    if let Some(layer) = names::foreign_layer(specs, tensors.keys().map(String::as_str)) {
        return Err(malformed(format!("it has a layer {layer}, which VGG16 doesn't")));
    }
    let locate = |key: &Option<String>| {
        let tensor = tensors.get(key.as_ref()?)?;
        Some(Located { shape: tensor.shape().to_vec(), handle: tensor })
    };
    let slots = keys.iter().map(|[weight, bias]| Slot { weight: locate(weight), bias: locate(bias) }).collect();
    let layers = collect(&origin, FORMAT, specs, slots, |name, tensor: &Tensor| {
        let stored = match tensor.dtype() {
            DType::F32 => Stored::F32,
            DType::F16 => Stored::F16,
            DType::BF16 => Stored::Bf16,
            other => return Err(malformed(format!("{name} is stored as {other:?}; use float32, float16 or bfloat16"))),
        };
        let bytes = tensor.read().map_err(|e| malformed(format!("{name}: {e}")))?;
        Ok(decode_floats(stored, &bytes))
    })?;
    Ok(Contents { layers, convention, recorded_sha256: None })
}
