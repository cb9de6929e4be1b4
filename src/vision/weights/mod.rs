//! The body's weights as plain numbers: read from any format people have them in, checked, hashed, kept in one
//! canonical file. One file a source format; nothing here knows a tensor library.
//!
//! Every reader works in the same two steps: locate the 26 tensors by name and declared shape, refuse the file with
//! *all* that is wrong with it, and only then read numbers. Untrusted files are safe to load: declared sizes are
//! checked before they become allocations, and a pickle's calls are parsed, never made.

mod collect;
mod convention;
mod detect;
mod error;
mod fetch;
mod keras_h5;
mod names;
mod onnx;
mod pytorch;
mod safetensors;
mod wheel;

use std::path::Path;

use sha2::{Digest, Sha256};

use self::collect::{Contents, Located, Part, Slot, collect};
pub use self::convention::{Normalisation, PixelConvention};
pub use self::error::{LayerProblem, SourceFailure, WeightsError};
pub use self::fetch::{FetchOptions, FetchSource, Fetched, KERAS_FILE, KERAS_URL, fetch};
use super::layers::{CONVS, ConvSpec};
use crate::hex::hex;

/// SHA-256 of the ImageNet body: Keras's VGG16 weights, which are the Caffe weights of the Visual Geometry Group.
/// Hashed as [`BodyWeights::sha256`] says; taken from the published tensors, see docs/decisions.md.
pub const IMAGENET_SHA256: &str = "dd21191fd3ba4d9b2b0104621c806227994d029acdf7f88d3ca0afd5774c15cf";

/// Identity of the canonical ImageNet body.
const IMAGENET_ID: &str = "vgg16-imagenet-caffe";

/// One convolution's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvWeights {
    /// Which convolution.
    pub spec: ConvSpec,
    /// Kernel, OIHW row-major, [`ConvSpec::weight_len`] numbers.
    pub weight: Vec<f32>,
    /// Bias, one number an output channel.
    pub bias: Vec<f32>,
}

/// The 13 convolutions of VGG16, whole: there is no way to hold one with a layer missing or misshapen.
#[derive(Debug, Clone, PartialEq)]
pub struct BodyWeights {
    layers: Vec<ConvWeights>,
    pixel_convention: PixelConvention,
    sha256: String,
}

impl BodyWeights {
    /// Builds a body from tensors by name. `lookup` is asked for `block1_conv1.weight` (shape OIHW) and
    /// `block1_conv1.bias` (shape `[O]`) through `block5_conv3.bias`, and answers with shape and row-major numbers.
    /// Tensors with the canonical hash are [`PixelConvention::CaffeBgr`] whatever `convention` says.
    ///
    /// # Errors
    /// [`WeightsError::Layers`] naming every tensor that is missing or has another shape than the table's;
    /// [`WeightsError::Malformed`] where count and shape differ or a number isn't finite.
    pub fn from_tensors(
        convention: PixelConvention,
        mut lookup: impl FnMut(&str) -> Option<(Vec<usize>, Vec<f32>)>,
    ) -> Result<Self, WeightsError> {
        let mut locate =
            |spec: &ConvSpec, part: Part| lookup(&part.name(spec)).map(|(shape, handle)| Located { shape, handle });
        let slots =
            CONVS.iter().map(|spec| Slot { weight: locate(spec, Part::Weight), bias: locate(spec, Part::Bias) }).collect();
        let layers = collect("the given set of tensors", "weights", &CONVS, slots, |_, data| Ok(data))?;
        Ok(Self::new(layers, convention))
    }

    /// Loads a body from a file, by content and not by the file's name: safetensors (ours, or torchvision's and timm's
    /// keys; f32, f16, bf16), ONNX, Keras HDF5, PyTorch. Layers above the body are ignored.
    ///
    /// # Errors
    /// Any variant but the fetch ones; the message says what to change.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let contents = detect::read(path, &CONVS)?;
        Self::from_contents(&path.display().to_string(), contents)
    }

    fn from_contents(origin: &str, contents: Contents) -> Result<Self, WeightsError> {
        let body = Self::new(contents.layers, contents.convention);
        match contents.recorded_sha256 {
            Some(recorded) if recorded != body.sha256 => {
                let reason = format!("its tensors hash to {}, but it records {recorded}: it is damaged", body.sha256);
                Err(WeightsError::malformed(origin, safetensors::FORMAT, reason))
            }
            _ => Ok(body),
        }
    }

    /// `layers` has been validated by [`collect`].
    fn new(layers: Vec<ConvWeights>, by_naming: PixelConvention) -> Self {
        let sha256 = hash(&layers);
        let pixel_convention = if sha256 == IMAGENET_SHA256 { PixelConvention::CaffeBgr } else { by_naming };
        Self { layers, pixel_convention, sha256 }
    }

    /// The 13 convolutions in forward order.
    #[must_use]
    pub fn layers(&self) -> &[ConvWeights] {
        &self.layers
    }

    /// What the pixels must look like for these weights.
    #[must_use]
    pub fn pixel_convention(&self) -> PixelConvention {
        self.pixel_convention
    }

    /// Hex SHA-256 over all tensors in forward order, each layer's kernel (OIHW) and then its bias, as little-endian
    /// f32. It names the numbers, whatever file they came in. Computed once, when the body is made.
    #[must_use]
    pub fn sha256(&self) -> String {
        self.sha256.clone()
    }

    /// Whether these are the canonical ImageNet weights.
    #[must_use]
    pub fn is_imagenet(&self) -> bool {
        self.sha256 == IMAGENET_SHA256
    }

    /// The backbone's name in manifests: `vgg16-imagenet-caffe` for the canonical weights, else `vgg16-` and the first
    /// 12 hex digits of [`Self::sha256`].
    #[must_use]
    pub fn backbone_id(&self) -> String {
        if self.is_imagenet() {
            return IMAGENET_ID.to_owned();
        }
        format!("vgg16-{}", self.sha256.get(..12).unwrap_or(&self.sha256))
    }

    /// Writes the canonical file: safetensors with `blockB_convC.weight` (OIHW, f32) and `.bias`, and as metadata the
    /// source, the licence, the pixel convention and the hash. The same body gives the same bytes. Written beside
    /// `path`, synced, then renamed, so that a reader sees the old file or the new one and never a part.
    ///
    /// # Errors
    /// [`WeightsError::Unwritable`].
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        safetensors::write(self, path)
    }
}

/// The convolutions of `specs`, in that order, from a file of any format; [`BodyWeights::load`] is this for VGG16's own, and
/// checks the hash that the file may record.
///
/// # Errors
/// As [`BodyWeights::load`].
pub fn load_convs(path: &Path, specs: &[ConvSpec]) -> Result<Vec<ConvWeights>, WeightsError> {
    Ok(detect::read(path, specs)?.layers)
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The body's identity, see [`BodyWeights::backbone_id`].
    pub backbone_id: String,
    /// Hash of the tensors.
    pub sha256: String,
    /// The pixel convention that the file's content points to.
    pub pixel_convention: PixelConvention,
}

/// Loads weights of any accepted format from `source` and saves them as the canonical file `dest`, whose folder is
/// made if it isn't there.
///
/// # Errors
/// As [`BodyWeights::load`] and [`BodyWeights::save`].
pub fn import(source: &Path, dest: &Path) -> Result<Imported, WeightsError> {
    let body = BodyWeights::load(source)?;
    let folder = parent(dest);
    std::fs::create_dir_all(folder).map_err(WeightsError::unwritable(folder))?;
    body.save(dest)?;
    Ok(Imported { backbone_id: body.backbone_id(), sha256: body.sha256(), pixel_convention: body.pixel_convention() })
}

/// The folder a file lies in; the current one for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn hash(layers: &[ConvWeights]) -> String {
    let mut hasher = Sha256::new();
    // In pieces, because the numbers need not lie in memory as little-endian bytes.
    for piece in layers.iter().flat_map(|layer| layer.weight.chunks(1 << 14).chain([layer.bias.as_slice()])) {
        hasher.update(le_bytes(piece));
    }
    hex(&hasher.finalize())
}

fn le_bytes(numbers: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; size_of_val(numbers)];
    for (four, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
        *four = number.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests;
