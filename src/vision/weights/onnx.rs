//! ONNX. Only the few messages and fields that hold weights are declared (field numbers from onnx.proto, IR version 7
//! and later); prost skips the rest. Kernels in ONNX are OIHW already.

use std::collections::HashMap;

use prost::Message;
use prost::bytes::Bytes;

use super::collect::{Contents, Located, Slot, Stored, collect, decode_floats};
use super::{PixelConvention, WeightsError, names};
use crate::vision::layers::{ConvSpec, KERNEL};

const FORMAT: &str = "ONNX";

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(int64, optional, tag = "1")]
    pub(super) ir_version: Option<i64>,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<Graph>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<Tensor>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) op_type: Option<String>,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(super) data_type: Option<i32>,
    #[prost(float, repeated, tag = "4")]
    pub(super) float_data: Vec<f32>,
    #[prost(string, optional, tag = "8")]
    pub(super) name: Option<String>,
    /// `Bytes`, so that decoding shares the file's buffer instead of copying 58 MB out of it.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub(super) raw_data: Option<Bytes>,
    #[prost(int32, optional, tag = "14")]
    pub(super) data_location: Option<i32>,
}

/// `TensorProto.DataType`: FLOAT, FLOAT16, BFLOAT16.
pub(super) const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;
const BFLOAT16: i32 = 16;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

type Slots<'a> = Vec<Slot<&'a Tensor>>;

/// Reads the convolutions of `specs` from a whole ONNX file; `origin` names it in messages.
pub(super) fn read(origin: &str, bytes: Vec<u8>, specs: &[ConvSpec]) -> Result<Contents, WeightsError> {
    let malformed = |reason: String| WeightsError::malformed(origin, FORMAT, reason);
    let model = Model::decode(Bytes::from(bytes)).map_err(|e| malformed(format!("{e}; is the file whole?")))?;
    let graph = model.graph.ok_or_else(|| malformed("it has no graph".to_owned()))?;
    let names = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    if let Some(layer) = names::foreign_layer(specs, names) {
        return Err(malformed(format!("it has a layer {layer}, which VGG16 doesn't")));
    }
    let by_name = by_keras_name(specs, &graph);
    let (slots, convention) = if by_name.iter().all(Slot::is_complete) {
        (by_name, PixelConvention::CaffeBgr)
    } else {
        match by_walking(specs, &graph) {
            Ok(walked) => walked,
            // Names that half fit tell more about what is wrong than a count of nodes.
            Err(_) if !by_name.iter().all(Slot::is_empty) => (by_name, PixelConvention::CaffeBgr),
            Err(reason) => return Err(malformed(reason)),
        }
    };
    let layers = collect(origin, FORMAT, specs, slots, |name, tensor| {
        numbers(tensor).map_err(|reason| malformed(format!("{name} {reason}")))
    })?;
    Ok(Contents { layers, convention, recorded_sha256: None })
}

/// By Keras's layer names, which exporters keep inside their own: `functional_1/block1_conv1_1/convolution/…` and
/// `functional_1/block1_conv1_1/Squeeze:0`. What they call the two tensors varies, but not their ranks.
fn by_keras_name<'a>(specs: &[ConvSpec], graph: &'a Graph) -> Slots<'a> {
    let find = |spec: &ConvSpec, rank: usize| {
        let mut fitting = graph.initializer.iter().filter(|tensor| {
            tensor.dims.len() == rank && tensor.name.as_deref().and_then(names::keras_layer) == Some(spec.name)
        });
        // two candidates are no answer
        let found = fitting.next()?;
        if fitting.next().is_some() { None } else { located(found) }
    };
    specs.iter().map(|spec| Slot { weight: find(spec, 4), bias: find(spec, 1) }).collect()
}

/// By the graph itself: a VGG is a chain, and ONNX keeps nodes in topological order, so its 3 × 3 convolutions in
/// order are the layers. There must be exactly as many as the table has: with one more it is another network.
fn by_walking<'a>(specs: &[ConvSpec], graph: &'a Graph) -> Result<(Slots<'a>, PixelConvention), String> {
    let initializers: HashMap<&str, &Tensor> =
        graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect();
    let input = |node: &Node, i: usize| node.input.get(i).and_then(|name| initializers.get(name.as_str())).copied();
    let kernel = KERNEL as i64;
    let convs: Vec<(&Node, Option<&Tensor>)> = graph
        .node
        .iter()
        .filter(|node| node.op_type.as_deref() == Some("Conv"))
        .map(|node| (node, input(node, 1)))
        .filter(|(_, weight)| weight.is_none_or(|w| matches!(w.dims[..], [_, _, h, v] if h == kernel && v == kernel)))
        .collect();
    if convs.len() != specs.len() {
        let (found, wanted) = (convs.len(), specs.len());
        return Err(format!("it has {found} convolutions of 3 × 3 where VGG16 has {wanted}, and no Keras layer names"));
    }
    // Caffe's own layer names, kept by its ONNX exporters, mean Caffe's pixels.
    let first = convs.first().and_then(|(_, weight)| weight.and_then(|w| w.name.as_deref())).unwrap_or_default();
    let convention = if first.contains("conv1_1") { PixelConvention::CaffeBgr } else { PixelConvention::TorchRgb };
    let slots = convs
        .iter()
        .map(|(node, weight)| Slot { weight: weight.and_then(located), bias: input(node, 2).and_then(located) })
        .collect();
    Ok((slots, convention))
}

/// `None` for a tensor with a negative extent: it has no shape.
fn located(tensor: &Tensor) -> Option<Located<&Tensor>> {
    let shape = tensor.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect::<Option<_>>()?;
    Some(Located { shape, handle: tensor })
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, String> {
    if tensor.data_location == Some(EXTERNAL) {
        return Err("lies in a separate file; export the model with its data inside".to_owned());
    }
    let stored = match tensor.data_type {
        Some(FLOAT) => Stored::F32,
        Some(FLOAT16) => Stored::F16,
        Some(BFLOAT16) => Stored::Bf16,
        other => return Err(format!("has data type {}; use FLOAT", other.unwrap_or_default())),
    };
    match &tensor.raw_data {
        Some(bytes) => Ok(decode_floats(stored, bytes)),
        None => Ok(tensor.float_data.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::collect::Part;
    use super::super::tests::{TINY, tiny_layers};
    use super::*;

    fn tensor(name: &str, dims: &[usize], data: &[f32], raw: bool) -> Tensor {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        Tensor {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: Some(FLOAT),
            float_data: if raw { Vec::new() } else { data.to_vec() },
            name: Some(name.to_owned()),
            raw_data: raw.then(|| bytes.into()),
            data_location: None,
        }
    }

    /// A model of the tiny body whose tensors are called by `name`; its nodes follow the table's order and its
    /// initialisers the reverse, as tf2onnx writes them.
    fn model(raw: bool, name: impl Fn(usize, Part) -> String) -> Model {
        let (mut node, mut initializer) = (Vec::new(), Vec::new());
        for (i, layer) in tiny_layers().iter().enumerate() {
            let names = Part::BOTH.map(|part| name(i, part));
            initializer.push(tensor(&names[0], &layer.spec.weight_shape(), &layer.weight, raw));
            initializer.push(tensor(&names[1], &[layer.spec.outputs], &layer.bias, raw));
            let input = [vec!["x".to_owned()], names.to_vec()].concat();
            node.push(Node { input, op_type: Some("Conv".to_owned()) });
            node.push(Node { input: vec!["y".to_owned()], op_type: Some("Relu".to_owned()) });
        }
        initializer.reverse();
        initializer.push(tensor("dense/kernel", &[2, 2], &[0.0; 4], raw));
        Model { ir_version: Some(7), graph: Some(Graph { node, initializer }) }
    }

    fn keras_name(i: usize, part: Part) -> String {
        let inner = if part == Part::Weight { "convolution/ReadVariableOp" } else { "Squeeze" };
        format!("functional_1/{}_1/{inner}:0", TINY[i].name)
    }

    fn read_model(model: &Model) -> Result<Contents, WeightsError> {
        read("x.onnx", model.encode_to_vec(), &TINY)
    }

    #[test]
    fn keras_names_and_raw_data() {
        let contents = read_model(&model(true, keras_name)).unwrap();
        assert_eq!(contents.layers, tiny_layers());
        assert_eq!(contents.convention, PixelConvention::CaffeBgr);
    }

    #[test]
    fn anonymous_names_follow_the_graph() {
        let contents = read_model(&model(false, |i, part| format!("onnx::Conv_{i}_{part}"))).unwrap();
        assert_eq!(contents.layers, tiny_layers());
        assert_eq!(contents.convention, PixelConvention::TorchRgb);
    }

    #[test]
    fn missing_and_misshapen_layers_are_named() {
        let mut broken = model(true, keras_name);
        let graph = broken.graph.as_mut().unwrap();
        graph.node.pop();
        graph.node.pop();
        graph.initializer.retain(|t| t.name.as_deref() != Some(&keras_name(2, Part::Bias)));
        graph.initializer.iter_mut().find(|t| t.name.as_deref() == Some(&keras_name(1, Part::Weight))).unwrap().dims =
            vec![2, 2, 9, 1];
        let Err(WeightsError::Layers { problems, .. }) = read_model(&broken) else { panic!() };
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["block1_conv2.weight: found [2, 2, 9, 1], expected [2, 2, 3, 3]", "block2_conv1.bias: missing, expected [4]"]
        );
    }

    #[test]
    fn other_networks_and_broken_files_are_refused() {
        let whole = model(true, keras_name);
        let mut deeper = whole.clone();
        let extra = tensor("m/block2_conv2/kernel", &[4, 4, 3, 3], &[0.0; 144], true);
        deeper.graph.as_mut().unwrap().initializer.push(extra);
        let mut external = whole.clone();
        external.graph.as_mut().unwrap().initializer[0].data_location = Some(EXTERNAL);
        let mut short = whole.clone();
        short.graph.as_mut().unwrap().initializer[0].raw_data = Some(vec![0; 4].into());
        let mut negative = whole.clone();
        negative.graph.as_mut().unwrap().initializer[0].dims = vec![-4];
        let mut longer = model(true, |i, part| format!("t{i}{part}"));
        longer.graph.as_mut().unwrap().node.remove(0);
        for (model, part) in [
            (&deeper, "a layer block2_conv2"),
            (&external, "separate file"),
            (&short, "has 1 numbers where its shape says 4"),
            (&negative, "block2_conv1.bias: missing"),
            (&longer, "2 convolutions of 3 × 3"),
            (&Model::default(), "no graph"),
        ] {
            let message = read_model(model).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let bytes = whole.encode_to_vec();
        let error = read("x.onnx", bytes[..bytes.len() / 2].to_vec(), &TINY).unwrap_err();
        assert!(error.to_string().contains("is the file whole?"), "{error}");
    }
}
