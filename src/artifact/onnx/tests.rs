use std::collections::HashSet;

use super::proto::{Graph, Tensor};
use super::*;
use crate::artifact::testing::{body, manifest, tensors};
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::Precision;

const UNITS: usize = 5;

/// A model of 32 × 32 pictures.
fn small(precision: Precision, from: &str, flip: bool) -> (Manifest, Vec<NamedTensor>) {
    let mut manifest = manifest("flowers", 3);
    manifest.precision = precision;
    manifest.unfreeze_from = from.parse().unwrap();
    manifest.preprocessing.input_size = 32;
    manifest.recipe.test_time_flip = flip;
    let tensors = tensors(&manifest, UNITS);
    (manifest, tensors)
}

fn graph(precision: Precision, from: &str, flip: bool, body: &BodyWeights) -> Graph {
    let (manifest, tensors) = small(precision, from, flip);
    let profile = precision.is_int8().then(Profile::imagenet);
    model(&manifest, &tensors, body, profile).unwrap().graph.unwrap()
}

fn bytes_each(tensor: &Tensor) -> usize {
    let kinds = [DataType::Float, DataType::Int8, DataType::Int64, DataType::Bfloat16];
    let kind = kinds.iter().find(|kind| Some(**kind as i32) == tensor.data_type).unwrap();
    match kind {
        DataType::Uint8 | DataType::Int8 => 1,
        DataType::Bfloat16 => 2,
        DataType::Float => 4,
        DataType::Int64 => 8,
    }
}

/// Every name is made once and before it is used, everything made is used, and constants have as many bytes as their shapes say.
fn check(graph: &Graph) {
    let mut made: HashSet<&str> = HashSet::from([PICTURES]);
    let mut used: HashSet<&str> = HashSet::from([PROBABILITIES]);
    for tensor in &graph.initializer {
        let numbers: i64 = tensor.dims.iter().product();
        let name = tensor.name.as_deref().unwrap();
        assert_eq!(tensor.raw_data.as_ref().unwrap().len(), numbers as usize * bytes_each(tensor), "{name}");
        assert!(made.insert(name), "{name} twice");
    }
    for node in &graph.node {
        for input in &node.input {
            assert!(made.contains(input.as_str()), "{input} isn't there for {node:?}");
            used.insert(input);
        }
        assert!(made.insert(&node.output[0]), "{} twice", node.output[0]);
    }
    let unused: Vec<_> = made.difference(&used).collect();
    assert!(unused.is_empty() && made.contains(PROBABILITIES), "{unused:?}");
}

#[test]
fn graphs_are_whole_and_in_order() {
    let body = body();
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8, Precision::Int8F32] {
        for (from, flip) in [("block5_conv1", false), ("none", true), ("block1_conv1", true), ("block2_conv2", false)] {
            let graph = graph(precision, from, flip, &body);
            check(&graph);
            let count = |op: &str| graph.node.iter().filter(|node| node.op_type.as_deref() == Some(op)).count();
            assert_eq!((count("Conv"), count("MaxPool"), count("Gemm"), count("Softmax")), (13, 5, 2, 1 + usize::from(flip)));
            assert_eq!(count("Concat"), usize::from(flip));
            // Of the 8-bit layers, all but the first round to steps.
            let frozen = from.parse::<UnfreezeFrom>().unwrap().frozen();
            assert_eq!(count("Round"), if precision.is_int8() { frozen.saturating_sub(1) } else { 0 });
            let shape = |value: &proto::ValueInfo| {
                let tensor = value.kind.as_ref().unwrap().tensor_type.as_ref().unwrap();
                tensor.shape.as_ref().unwrap().dim.iter().map(|dim| dim.length).collect::<Vec<_>>()
            };
            assert_eq!(shape(&graph.input[0]), [None, Some(32), Some(32), Some(3)]);
            assert_eq!(shape(&graph.output[0]), [None, Some(2)]);
        }
    }
}

/// The reader of weight files is another one's code, and knows what a body is.
#[test]
fn frozen_layers_are_the_bodys_and_the_others_the_artifacts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.onnx");
    let body = body();
    let (mut manifest, tensors) = small(Precision::F32, "block5_conv1", false);
    assert!(matches!(export(&manifest, &tensors, &body), Err(OnnxError::Misfit(Misfit::Backbone { .. }))));
    manifest.backbone.sha256 = body.sha256();
    let missing = export(&manifest, &tensors[1..], &body);
    assert!(matches!(missing, Err(OnnxError::Misfit(Misfit::Missing(name))) if name == "block5_conv1.weight"));
    // Twice what they are in the body.
    let mut tensors = tensors;
    tensors.iter_mut().for_each(|tensor| tensor.data.iter_mut().for_each(|number| *number *= 2.0));
    std::fs::write(&file, export(&manifest, &tensors, &body).unwrap()).unwrap();
    let read = BodyWeights::load(&file).unwrap();
    assert_eq!(read.layers()[..10], body.layers()[..10]);
    for (layer, spec) in read.layers()[10..].iter().zip(&body.layers()[10..]) {
        assert_eq!(layer.weight, spec.weight.iter().map(|number| number * 2.0).collect::<Vec<_>>());
    }
}

#[test]
fn it_says_what_it_is() {
    let (manifest, tensors) = small(Precision::Bf16, "none", true);
    let model = model(&manifest, &tensors, &body(), None).unwrap();
    let entry = |key: &str| {
        let found = model.metadata_props.iter().find(|entry| entry.key.as_deref() == Some(key)).unwrap();
        found.value.clone().unwrap()
    };
    assert_eq!(entry("classes"), r#"["daisy","tulip"]"#);
    assert_eq!((entry("model").as_str(), entry("version").as_str(), entry("precision").as_str()), ("flowers", "3", "bf16"));
    assert_eq!((entry("pixels").as_str(), entry("test_time_flip").as_str()), ("torch_rgb", "true"));
    assert_eq!((entry("backbone_sha256"), entry("attribution")), ("0".repeat(64), "VGG".to_owned()));
    let input = &model.graph.as_ref().unwrap().input[0];
    assert!(input.doc_string.as_ref().unwrap().contains("resized to 32 x 32"));
    assert_eq!((model.ir_version, model.opset_import[0].version, model.model_version), (Some(8), Some(18), Some(3)));
}
