//! What tests of artifacts share.

use std::collections::BTreeMap;

use super::{BackboneRef, DatasetRef, FORMAT, Manifest, NamedTensor};
use crate::recipe::Recipe;
use crate::vision::layers::{CONVS, UnfreezeFrom};
use crate::vision::precision::Precision;
use crate::vision::preprocessing::Preprocessing;
use crate::vision::weights::{BodyWeights, PixelConvention};

/// A manifest of two classes.
pub(crate) fn manifest(model: &str, version: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        model: model.to_owned(),
        version,
        created_at: chrono::Utc::now(),
        classes: vec!["daisy".to_owned(), "tulip".to_owned()],
        backbone: BackboneRef { id: "vgg16".to_owned(), sha256: "0".repeat(64), scales: None, attribution: "VGG".to_owned() },
        preprocessing: Preprocessing::default(),
        precision: Precision::F32,
        unfreeze_from: UnfreezeFrom::BLOCK5_CONV1,
        temperature: 1.0,
        recipe: Recipe::default(),
        dataset: DatasetRef { id: String::new(), name: "d".to_owned(), content_sha256: String::new() },
        libraries: BTreeMap::new(),
        files: BTreeMap::new(),
    }
}

/// A tensor whose numbers differ from each other.
fn tensor(name: &str, shape: &[usize]) -> NamedTensor {
    let data = (0..shape.iter().product()).map(|place: usize| ((place * 37 % 101) as f32 - 50.0) * 1e-3).collect();
    NamedTensor { name: name.to_owned(), shape: shape.to_vec(), data }
}

/// All tensors of a version that `manifest` describes, with `units` hidden units.
pub(crate) fn tensors(manifest: &Manifest, units: usize) -> Vec<NamedTensor> {
    let features = UnfreezeFrom::NONE.boundary_shape(manifest.preprocessing.input_size as usize).iter().product();
    let convs = CONVS[manifest.unfreeze_from.frozen()..].iter().flat_map(|spec| {
        [
            tensor(&format!("{}.weight", spec.name), &spec.weight_shape()),
            tensor(&format!("{}.bias", spec.name), &[spec.outputs]),
        ]
    });
    let head = [
        tensor("head.feature_scale", &[1]),
        tensor("head.hidden.weight", &[units, features]),
        tensor("head.hidden.bias", &[units]),
        tensor("head.output.weight", &[manifest.classes.len(), units]),
        tensor("head.output.bias", &[manifest.classes.len()]),
    ];
    convs.chain(head).collect()
}

/// A body that isn't ImageNet's.
pub(crate) fn body() -> BodyWeights {
    let lookup = |name: &str| {
        let (layer, part) = name.split_once('.')?;
        let spec = CONVS.iter().find(|spec| spec.name == layer)?;
        let shape = if part == "weight" { spec.weight_shape().to_vec() } else { vec![spec.outputs] };
        let data = tensor(name, &shape).data;
        Some((shape, data))
    };
    BodyWeights::from_tensors(PixelConvention::TorchRgb, lookup).unwrap()
}
