//! A version as an ONNX file: the whole network, preprocessing after the resizing included, with class names and origin as
//! metadata. Opset 18 and IR version 8 (ONNX 1.13), which ONNX Runtime reads from 1.14 on.

mod graph;
mod metadata;
mod network;
mod proto;
#[cfg(test)]
mod tests;

use prost::Message;

use super::fit::{self, Misfit};
use super::{Manifest, NamedTensor};
use crate::vision::int8::Profile;
use crate::vision::weights::BodyWeights;
use graph::{Builder, value};
use network::{Network, PICTURES, PROBABILITIES};
use proto::{DataType, Model, OperatorSetId};

/// The operators' version: the first in which `ReduceMean` takes its axes as an input.
const OPSET: i64 = 18;
/// The file format's version, that of opset 18's release.
const IR_VERSION: i64 = 8;
/// A protobuf message can't be larger, in bytes.
const MAX_BYTES: usize = i32::MAX as usize;

/// Why a version can't be written as ONNX.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The artifact fits neither its manifest nor the backbone.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The format's own limit.
    #[error("the model takes {bytes} bytes as ONNX, and an ONNX file holds {MAX_BYTES}: a smaller hidden layer would fit")]
    TooLarge {
        /// What it would take.
        bytes: usize,
    },
}

/// Writes a version as an ONNX file. Frozen layers come from `body`, those that learnt from `tensors`.
///
/// Input `pictures`: uint8 `[N, S, S, 3]`, RGB, resized as the manifest's preprocessing says. Output `probabilities`: f32
/// `[N, classes]`, those that serving answers with, up to the order of sums.
///
/// # Errors
/// [`OnnxError`].
pub fn export(manifest: &Manifest, tensors: &[NamedTensor], body: &BodyWeights) -> Result<Vec<u8>, OnnxError> {
    fit::Ground::of(body).carries(manifest)?;
    let profile = Profile::of(body).filter(|_| manifest.precision.is_int8());
    let model = model(manifest, tensors, body, profile)?;
    let bytes = model.encoded_len();
    if bytes > MAX_BYTES { Err(OnnxError::TooLarge { bytes }) } else { Ok(model.encode_to_vec()) }
}

/// The file's content, for a body that fits; with 8-bit frozen layers if there is a profile.
fn model(
    manifest: &Manifest,
    tensors: &[NamedTensor],
    body: &BodyWeights,
    profile: Option<Profile>,
) -> Result<Model, OnnxError> {
    let learnt = fit::learnt(manifest, tensors)?;
    let network = Network {
        body,
        learnt: &learnt,
        precision: manifest.precision,
        profile,
        flip: manifest.recipe.test_time_flip,
        temperature: manifest.temperature,
        classes: manifest.classes.len(),
    };
    let mut builder = Builder::default();
    network.build(&mut builder);
    let mut graph = builder.graph;
    let side = manifest.preprocessing.input_size as usize;
    graph.name = Some("vgg16".to_owned());
    graph.input.push(value(PICTURES, DataType::Uint8, &[side, side, 3], &metadata::of_pictures(manifest)));
    graph.output.push(value(PROBABILITIES, DataType::Float, &[network.classes], metadata::OF_PROBABILITIES));
    Ok(Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("topgraft".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        model_version: i64::try_from(manifest.version).ok(),
        doc_string: Some(metadata::of_model(manifest)),
        graph: Some(graph),
        opset_import: vec![OperatorSetId { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: metadata::entries(manifest, body.pixel_convention()),
    })
}
