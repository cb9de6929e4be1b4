//! From what a model says to output tensors.

use super::binary::{from_floats, from_texts};
use super::dto::{OutputData, OutputParameters, OutputTensor, RequestedOutput, TensorMetadata};
use crate::api::ApiError;
use crate::inference::Classified;

/// Calibrated probabilities.
const PROBABILITIES: &str = "probabilities";
/// The most probable class's name.
const LABELS: &str = "labels";
/// Softmax as it comes.
const RAW_PROBABILITIES: &str = "raw_probabilities";

/// An output that is wanted, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    what: What,
    binary: bool,
    /// So many of the highest probabilities as texts, in place of all as numbers.
    classification: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Probabilities,
    Labels,
    RawProbabilities,
}

/// What a model says of a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scores<'a> {
    pub classes: &'a [String],
    pub probabilities: &'a [f32],
    pub raw: &'a [f32],
}

impl<'a> From<&'a Classified> for Scores<'a> {
    fn from(classified: &'a Classified) -> Self {
        Self { classes: &classified.classes, probabilities: &classified.probabilities, raw: &classified.raw }
    }
}

/// What a model of so many classes gives.
pub(super) fn metadata(classes: usize) -> Vec<TensorMetadata> {
    // A model has as many classes as a data set has folders, far fewer than an i64 holds.
    let classes = i64::try_from(classes).unwrap_or(-1);
    let floats = |name| TensorMetadata { name, datatype: "FP32", shape: vec![-1, classes] };
    let labels = TensorMetadata { name: LABELS, datatype: "BYTES", shape: vec![-1] };
    vec![floats(PROBABILITIES), labels, floats(RAW_PROBABILITIES)]
}

impl Output {
    /// The outputs that a request asks for.
    pub fn wanted(requested: &[RequestedOutput], binary: bool) -> Result<Vec<Self>, ApiError> {
        if requested.is_empty() {
            let whole = |what| Self { what, binary, classification: None };
            return Ok(vec![whole(What::Probabilities), whole(What::Labels)]);
        }
        requested.iter().map(|requested| Self::of(requested, binary)).collect()
    }

    fn of(requested: &RequestedOutput, binary: bool) -> Result<Self, ApiError> {
        let what = match requested.name.as_str() {
            PROBABILITIES => What::Probabilities,
            LABELS => What::Labels,
            RAW_PROBABILITIES => What::RawProbabilities,
            other => {
                let known = format!("{PROBABILITIES}, {LABELS} and {RAW_PROBABILITIES}");
                return Err(ApiError::field("outputs", format!("must be among {known}, not {other:?}")));
            }
        };
        let parameters = requested.parameters.as_ref();
        let classification = match parameters.and_then(|parameters| parameters.classification) {
            None => None,
            Some(0) => return Err(ApiError::field("classification", "must be at least 1")),
            Some(_) if what == What::Labels => {
                return Err(ApiError::field("classification", format!("is of probabilities, which {LABELS} has none of")));
            }
            // More than there can be classes is all of them.
            Some(count) => Some(usize::try_from(count).unwrap_or(usize::MAX)),
        };
        let binary = parameters.and_then(|parameters| parameters.binary_data).unwrap_or(binary);
        Ok(Self { what, binary, classification })
    }

    /// The tensor, and its elements if they come in binary form.
    pub fn tensor(self, answers: &[Scores<'_>]) -> (OutputTensor, Option<Vec<u8>>) {
        let classes = answers.first().map_or(0, |answer| answer.classes.len());
        let (name, numbers): (_, fn(&Scores<'_>) -> Vec<f32>) = match self.what {
            What::Labels => (LABELS, |_| Vec::new()),
            What::Probabilities => (PROBABILITIES, |answer| answer.probabilities.to_vec()),
            What::RawProbabilities => (RAW_PROBABILITIES, |answer| answer.raw.to_vec()),
        };
        let (columns, data) = match (self.what, self.classification) {
            (What::Labels, _) => {
                let label = |answer: &Scores<'_>| Some(answer.classes[*ranked(answer.probabilities).first()?].clone());
                (None, OutputData::Texts(answers.iter().filter_map(label).collect()))
            }
            (_, Some(count)) => {
                let count = count.min(classes);
                let texts = answers.iter().flat_map(|answer| classification(answer.classes, &numbers(answer), count));
                (Some(count), OutputData::Texts(texts.collect()))
            }
            (_, None) => (Some(classes), OutputData::Floats(answers.iter().flat_map(numbers).collect())),
        };
        let datatype = if matches!(data, OutputData::Floats(_)) { "FP32" } else { "BYTES" };
        let shape = std::iter::once(answers.len()).chain(columns).collect();
        let tensor = OutputTensor { name, datatype, shape, parameters: None, data: None };
        if !self.binary {
            return (OutputTensor { data: Some(data), ..tensor }, None);
        }
        let bytes = match &data {
            OutputData::Floats(floats) => from_floats(floats),
            OutputData::Texts(texts) => from_texts(texts),
        };
        let parameters = Some(OutputParameters { binary_data_size: bytes.len() });
        (OutputTensor { parameters, ..tensor }, Some(bytes))
    }
}

/// The classes' numbers, the most probable first; those that are equally probable keep the model's order.
fn ranked(probabilities: &[f32]) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..probabilities.len()).collect();
    ranked.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    ranked
}

/// The most probable classes as the classification extension writes them.
fn classification(classes: &[String], probabilities: &[f32], count: usize) -> Vec<String> {
    let text = |class: usize| format!("{}:{class}:{}", probabilities[class], classes[class]);
    ranked(probabilities).into_iter().take(count).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::super::dto::OutputRequest;
    use super::*;

    fn requested(name: &str, binary_data: Option<bool>, classification: Option<u64>) -> RequestedOutput {
        RequestedOutput { name: name.to_owned(), parameters: Some(OutputRequest { binary_data, classification }) }
    }

    fn tensors(requested: &[RequestedOutput], binary: bool) -> Vec<(OutputTensor, Option<Vec<u8>>)> {
        let classes = ["ant", "bee", "cat"].map(str::to_owned);
        let answers = [([0.25, 0.25, 0.5], [0.0, 0.0, 1.0]), ([0.75, 0.25, 0.0], [1.0, 0.0, 0.0])];
        let scores = |(probabilities, raw)| Scores { classes: &classes, probabilities, raw };
        let answers: Vec<_> = answers.iter().map(|(probabilities, raw)| scores((probabilities, raw))).collect();
        Output::wanted(requested, binary).unwrap().into_iter().map(|output| output.tensor(&answers)).collect()
    }

    fn texts(texts: &[&str]) -> OutputData {
        OutputData::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn probabilities_and_labels_unless_others_are_asked_for() {
        let tensors = tensors(&[], false);
        assert_eq!(tensors.len(), 2);
        let (probabilities, labels) = (&tensors[0].0, &tensors[1].0);
        assert_eq!(
            (probabilities.name, probabilities.datatype, probabilities.shape.as_slice()),
            ("probabilities", "FP32", &[2, 3][..])
        );
        assert_eq!(probabilities.data, Some(OutputData::Floats(vec![0.25, 0.25, 0.5, 0.75, 0.25, 0.0])));
        assert_eq!((labels.name, labels.datatype, labels.shape.as_slice()), ("labels", "BYTES", &[2][..]));
        assert_eq!(labels.data, Some(texts(&["cat", "ant"])));
    }

    #[test]
    fn each_output_may_say_otherwise_than_the_request() {
        let outputs = [requested("raw_probabilities", None, None), requested("labels", Some(false), None)];
        let tensors = tensors(&outputs, true);
        assert_eq!(tensors[0].1, Some(from_floats(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0])));
        assert_eq!(tensors[0].0.parameters, Some(OutputParameters { binary_data_size: 24 }));
        assert_eq!((tensors[0].0.data.is_none(), tensors[1].1.is_none()), (true, true));
    }

    #[test]
    fn a_classification_is_the_highest_with_their_numbers_and_names() {
        let tensors =
            tensors(&[requested("probabilities", None, Some(2)), requested("raw_probabilities", None, Some(9))], false);
        assert_eq!((tensors[0].0.datatype, tensors[0].0.shape.as_slice()), ("BYTES", &[2, 2][..]));
        assert_eq!(tensors[0].0.data, Some(texts(&["0.5:2:cat", "0.25:0:ant", "0.75:0:ant", "0.25:1:bee"])));
        assert_eq!(tensors[1].0.shape, [2, 3], "there are no more than all");
    }

    #[test]
    fn outputs_that_do_not_exist_are_refused() {
        for wrong in
            [requested("logits", None, None), requested("labels", None, Some(1)), requested("probabilities", None, Some(0))]
        {
            assert!(Output::wanted(&[wrong], false).is_err());
        }
    }
}
