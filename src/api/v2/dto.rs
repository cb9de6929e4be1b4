//! The protocol's JSON. Fields and parameters that aren't known are left alone, as the protocol asks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::data::Data;

/// Pictures to classify.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct InferRequest {
    /// Given back with the answer.
    pub id: Option<String>,
    pub parameters: Option<RequestParameters>,
    /// One: `pictures` or `pixels`.
    pub inputs: Vec<InputTensor>,
    /// What to answer with; `probabilities` and `labels` if not given.
    pub outputs: Option<Vec<RequestedOutput>>,
}

/// What holds for a whole request.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct RequestParameters {
    /// Whether outputs that don't say otherwise come in binary form.
    pub binary_data_output: Option<bool>,
}

/// A tensor of pictures.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct InputTensor {
    /// `pictures` (BYTES, `[N]`): encoded pictures. `pixels` (FP32 or UINT8, `[N, S, S, 3]` or `[N, 3, S, S]` where S is the
    /// model's input size): RGB from 0 to 255.
    #[schema(example = "pictures")]
    pub name: String,
    #[schema(example = "BYTES")]
    pub datatype: String,
    #[schema(example = json!([1]))]
    pub shape: Vec<u64>,
    pub parameters: Option<InputParameters>,
    /// The elements, flat or in nested arrays; absent if they come in binary form. JSON can't hold the bytes of pictures:
    /// here they are base64.
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub data: Option<Data>,
}

/// What holds for an input.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct InputParameters {
    /// The elements come in binary form: this many bytes behind the JSON.
    pub binary_data_size: Option<u64>,
}

/// A tensor that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct RequestedOutput {
    /// `probabilities`, `labels` or `raw_probabilities`.
    #[schema(example = "probabilities")]
    pub name: String,
    pub parameters: Option<OutputRequest>,
}

/// How an output is asked for.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct OutputRequest {
    /// Whether it comes in binary form.
    pub binary_data: Option<bool>,
    /// In place of all probabilities, this many of the highest, each as a text `probability:number:label`.
    pub classification: Option<u64>,
}

/// What a model says of pictures.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InferResponse {
    pub model_name: String,
    pub model_version: String,
    /// The request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub outputs: Vec<OutputTensor>,
}

/// A tensor of answers.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct OutputTensor {
    pub name: &'static str,
    pub datatype: &'static str,
    pub shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<OutputParameters>,
    /// The elements, flat; absent if they come in binary form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<OutputData>,
}

/// What holds for an output.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct OutputParameters {
    /// The elements come in binary form: this many bytes behind the JSON.
    pub binary_data_size: usize,
}

/// An output's elements.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum OutputData {
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

/// Whether the server is up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    /// Always true.
    pub live: bool,
}

/// Whether the server can classify pictures.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    pub ready: bool,
}

/// Whether a model can.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelReady {
    pub name: String,
    pub ready: bool,
}

/// What the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerMetadata {
    #[schema(example = "topgraft")]
    pub name: &'static str,
    pub version: &'static str,
    /// Of the protocol.
    pub extensions: &'static [&'static str],
}

/// What a model takes and gives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelMetadata {
    pub name: String,
    /// All that there are, oldest first.
    pub versions: Vec<String>,
    pub platform: &'static str,
    /// A request has one of them.
    pub inputs: Vec<TensorMetadata>,
    pub outputs: Vec<TensorMetadata>,
}

/// What a tensor looks like.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TensorMetadata {
    pub name: &'static str,
    pub datatype: &'static str,
    /// -1 for as many as there are pictures.
    pub shape: Vec<i64>,
}
