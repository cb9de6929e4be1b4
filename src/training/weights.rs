//! The tail as named tensors, and back.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

use super::TrainingError;
use super::embeddings::Embedded;
use crate::artifact::NamedTensor;
use crate::vision::conv::Conv;
use crate::vision::layers::{CONVS, UnfreezeFrom};
use crate::vision::neighbours::Neighbours;
use crate::vision::outliers::Outliers;
use crate::vision::tail::{Head, Tail};
use crate::vision::weights::BodyWeights;

const FEATURE_SCALE: &str = "head.feature_scale";
const HEAD: [&str; 4] = ["head.hidden.weight", "head.hidden.bias", "head.output.weight", "head.output.bias"];

const OUTLIER_MEANS: &str = "outliers.means";
const OUTLIER_QUANTILES: &str = "outliers.quantiles";

const NEIGHBOUR_EMBEDDINGS: &str = "neighbours.embeddings";
const NEIGHBOUR_IMAGES: &str = "neighbours.images";
const NEIGHBOUR_CLASSES: &str = "neighbours.classes";

/// Gives the tail the body's layers from `from` up, under the head it has.
pub fn unfreeze(tail: &mut Tail, body: &BodyWeights, from: UnfreezeFrom) -> Result<(), TrainingError> {
    tail.convs = Tail::convs(body, from, tail.head.hidden_bias.device())?;
    Ok(())
}

/// Every weight of the tail, where the classes lie, and pictures to compare others with, by name.
pub fn to_tensors(tail: &Tail, embedded: &Embedded) -> Result<Vec<NamedTensor>, TrainingError> {
    let plain = |name: &str, shape: Vec<usize>, data: Vec<f32>| NamedTensor { name: name.to_owned(), shape, data };
    let mut tensors = vec![plain(FEATURE_SCALE, vec![1], vec![tail.head.feature_scale as f32])];
    for conv in &tail.convs {
        tensors.push(named(&format!("{}.weight", conv.spec.name), &conv.weight)?);
        tensors.push(named(&format!("{}.bias", conv.spec.name), &conv.bias)?);
    }
    for (name, tensor) in HEAD.iter().zip(tail.head.parameters()) {
        tensors.push(named(name, tensor)?);
    }
    if let Some(outliers) = &embedded.outliers {
        let (means, quantiles) = (outliers.means(), outliers.quantiles().to_vec());
        let classes = tail.head.classes();
        tensors.push(plain(OUTLIER_MEANS, vec![classes, means.len() / classes], means));
        tensors.push(plain(OUTLIER_QUANTILES, vec![quantiles.len()], quantiles));
    }
    let neighbours = &embedded.neighbours;
    if !neighbours.is_empty() {
        let (embeddings, images) = (neighbours.embeddings().to_vec(), neighbours.images());
        let count = images.len();
        tensors.push(plain(NEIGHBOUR_EMBEDDINGS, vec![count, embeddings.len() / count], embeddings));
        tensors.push(plain(NEIGHBOUR_IMAGES, vec![count], images));
        tensors.push(plain(NEIGHBOUR_CLASSES, vec![count], neighbours.classes()));
    }
    Ok(tensors)
}

/// Where the classes lie, if [`to_tensors`] wrote it.
///
/// # Errors
/// What is misshapen, in words.
pub fn outliers_from_tensors(tensors: &[NamedTensor], classes: usize) -> Result<Option<Outliers>, String> {
    let find = |name| tensors.iter().find(|tensor| tensor.name == name);
    let (Some(means), Some(quantiles)) = (find(OUTLIER_MEANS), find(OUTLIER_QUANTILES)) else { return Ok(None) };
    Outliers::new(means.data.clone(), classes, quantiles.data.clone()).map(Some)
}

/// Pictures to compare others with, if [`to_tensors`] wrote some.
///
/// # Errors
/// What is misshapen, in words.
pub fn neighbours_from_tensors(tensors: &[NamedTensor], classes: usize) -> Result<Option<Neighbours>, String> {
    let find = |name| tensors.iter().find(|tensor| tensor.name == name).map(|tensor| &tensor.data);
    let (Some(embeddings), Some(images), Some(labels)) =
        (find(NEIGHBOUR_EMBEDDINGS), find(NEIGHBOUR_IMAGES), find(NEIGHBOUR_CLASSES))
    else {
        return Ok(None);
    };
    // As long as what the hidden layer of this very head makes of a picture.
    let units = find(HEAD[1]).map_or(0, Vec::len);
    Neighbours::new(embeddings.clone(), images, labels, units, classes).map(Some)
}

/// The tail that [`to_tensors`] wrote.
///
/// # Errors
/// What is missing or misshapen, in words.
pub fn tail_from_tensors(tensors: Vec<NamedTensor>, from: UnfreezeFrom, device: Device) -> Result<Tail, String> {
    let mut tensors: HashMap<String, NamedTensor> = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut take = |name: &str| tensors.remove(name).ok_or_else(|| format!("{name} is missing"));
    let mut convs = Vec::new();
    for spec in &CONVS[from.frozen()..] {
        let (weight, bias) = (take(&format!("{}.weight", spec.name))?, take(&format!("{}.bias", spec.name))?);
        if weight.shape != spec.weight_shape() || bias.shape != [spec.outputs] {
            return Err(format!("{} is {:?} and {:?}, not {:?}", spec.name, weight.shape, bias.shape, spec.weight_shape()));
        }
        convs.push(Conv::new(*spec, &weight.data, &bias.data, device).map_err(|e| e.to_string())?);
    }
    let scale = take(FEATURE_SCALE)?.data.first().copied().ok_or("head.feature_scale is empty")?;
    let [hidden_weight, hidden_bias, output_weight, output_bias] = HEAD.map(|name| take(name).and_then(|t| tensor(&t, device)));
    let head = Head {
        feature_scale: f64::from(scale),
        hidden_weight: hidden_weight?,
        hidden_bias: hidden_bias?,
        output_weight: output_weight?,
        output_bias: output_bias?,
    };
    head.check()?;
    Ok(Tail { convs, head })
}

fn named(name: &str, tensor: &Tensor) -> Result<NamedTensor, TrainingError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut data = vec![0f32; tensor.numel()];
    tensor.f_copy_data(&mut data, tensor.numel())?;
    Ok(NamedTensor { name: name.to_owned(), shape: tensor.size().iter().map(|&n| n as usize).collect(), data })
}

fn tensor(named: &NamedTensor, device: Device) -> Result<Tensor, String> {
    let shape: Vec<i64> = named.shape.iter().map(|&n| n as i64).collect();
    Tensor::f_from_slice(&named.data)
        .and_then(|tensor| tensor.f_reshape(shape)?.f_to_device(device))
        .map_err(|error| format!("{}: {error}", named.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_read_back_and_artifacts_of_earlier_versions_have_none() {
        let head = Head::new(6, 2, 3, 1.0, Device::Cpu).unwrap();
        let tail = Tail { convs: Vec::new(), head };
        let mut embedded = Embedded { outliers: None, neighbours: Neighbours::none(2) };
        let without = to_tensors(&tail, &embedded).unwrap();
        assert_eq!(neighbours_from_tensors(&without, 3), Ok(None));
        embedded.neighbours.add(7, 2, &[3.0, 4.0]);
        embedded.neighbours.add(9, 0, &[1.0, 0.0]);
        let mut tensors = to_tensors(&tail, &embedded).unwrap();
        assert_eq!(neighbours_from_tensors(&tensors, 3), Ok(Some(embedded.neighbours)));
        assert!(neighbours_from_tensors(&tensors, 2).unwrap_err().contains("below 2"));
        tensors.iter_mut().filter(|tensor| tensor.name == "head.hidden.bias").for_each(|bias| bias.data.push(0.0));
        assert!(neighbours_from_tensors(&tensors, 3).unwrap_err().contains("aren't 3 for each of 2"));
    }
}
