//! The parts shared by all formats, and the canonical file; each reader's tests lie with the reader.

use super::*;

/// A body small enough to write by hand: three convolutions, two blocks.
pub(super) const TINY: [ConvSpec; 3] = [
    ConvSpec { name: "block1_conv1", inputs: 3, outputs: 2, pooled: false },
    ConvSpec { name: "block1_conv2", inputs: 2, outputs: 2, pooled: true },
    ConvSpec { name: "block2_conv1", inputs: 2, outputs: 4, pooled: true },
];

/// The tiny body's number at OIHW position `index`: different everywhere within a tensor, exact in bf16.
pub(super) fn tiny_value(layer: usize, part: Part, index: usize) -> f32 {
    let base = index as f32 * if part == Part::Weight { 1.0 } else { -1.0 };
    base + [0.0, 0.5, 0.25][layer] * if index < 32 { 1.0 } else { 0.0 }
}

pub(super) fn tiny_layers() -> Vec<ConvWeights> {
    let numbers = |i, part, count| (0..count).map(|j| tiny_value(i, part, j)).collect();
    TINY.iter()
        .enumerate()
        .map(|(i, spec)| ConvWeights {
            spec: *spec,
            weight: numbers(i, Part::Weight, spec.weight_len()),
            bias: numbers(i, Part::Bias, spec.outputs),
        })
        .collect()
}

fn shape_of(name: &str) -> Vec<usize> {
    let (layer, part) = name.split_once('.').unwrap();
    let spec = CONVS.iter().find(|spec| spec.name == layer).unwrap();
    if part == "weight" { spec.weight_shape().to_vec() } else { vec![spec.outputs] }
}

/// A whole VGG16 body of made-up numbers.
pub(super) fn made_up_body(convention: PixelConvention) -> BodyWeights {
    BodyWeights::from_tensors(convention, |name| {
        let shape = shape_of(name);
        let data = (0..shape.iter().product::<usize>()).map(|i| (i % 251) as f32 / 251.0).collect();
        Some((shape, data))
    })
    .unwrap()
}

#[test]
fn a_body_survives_save_and_load_with_its_convention() {
    let dir = tempfile::tempdir().unwrap();
    let (path, again) = (dir.path().join("a.bin"), dir.path().join("deeper/b.safetensors"));
    let body = made_up_body(PixelConvention::TorchRgb);
    body.save(&path).unwrap();
    assert_eq!(BodyWeights::load(&path).unwrap(), body);
    let imported = import(&path, &again).unwrap();
    assert_eq!(imported.pixel_convention, PixelConvention::TorchRgb);
    assert_eq!(imported.backbone_id, format!("vgg16-{}", &body.sha256()[..12]));
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes == std::fs::read(&again).unwrap(), "the same body gives the same bytes");
    assert_eq!(bytes[8..].len() % 8, 0);

    // nothing is left beside the files
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);

    // one flipped bit in the numbers is noticed, although the file is whole
    let mut damaged = bytes;
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let message = BodyWeights::load(&path).unwrap_err().to_string();
    assert!(message.contains("damaged"), "{message}");
}

#[test]
fn every_missing_and_misshapen_tensor_is_named() {
    let error = BodyWeights::from_tensors(PixelConvention::CaffeBgr, |name| match name {
        "block2_conv1.bias" | "block5_conv3.weight" => None,
        "block1_conv1.weight" => Some((vec![64, 3, 3], vec![0.0; 576])),
        _ => {
            let shape = shape_of(name);
            let count = shape.iter().product();
            Some((shape, vec![0.0; count]))
        }
    })
    .unwrap_err();
    let WeightsError::Layers { problems, .. } = &error else { panic!("{error}") };
    let tensors: Vec<_> = problems.iter().map(|p| p.tensor.as_str()).collect();
    assert_eq!(tensors, ["block1_conv1.weight", "block2_conv1.bias", "block5_conv3.weight"]);
    assert!(error.to_string().contains("found [64, 3, 3], expected [64, 3, 3, 3]"), "{error}");
}

#[test]
fn a_count_that_differs_from_the_shape_is_refused() {
    let error = BodyWeights::from_tensors(PixelConvention::CaffeBgr, |name| Some((shape_of(name), vec![0.0; 7])));
    assert!(matches!(error, Err(WeightsError::Malformed { .. })));
}

#[test]
fn unknown_content_names_the_accepted_formats() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.h5");
    for content in [&b"<html>not found</html>"[..], b"", b"\x89PNG\r\n\x1a\n"] {
        std::fs::write(&path, content).unwrap();
        let error = BodyWeights::load(&path).unwrap_err();
        assert!(matches!(error, WeightsError::UnknownFormat { .. }), "{error}");
        for format in [".safetensors", ".onnx", ".h5", ".pth"] {
            assert!(error.to_string().contains(format), "{error}");
        }
    }
    assert!(matches!(BodyWeights::load(dir.path()), Err(WeightsError::Unreadable { .. })));
    assert!(matches!(BodyWeights::load(&dir.path().join("none")), Err(WeightsError::Unreadable { .. })));
}

#[test]
fn an_overlong_file_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.h5");
    std::fs::File::create(&path).unwrap().set_len(detect::MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(BodyWeights::load(&path), Err(WeightsError::TooLarge { .. })));
}

#[test]
fn a_pixel_convention_has_one_name() {
    for convention in [PixelConvention::CaffeBgr, PixelConvention::TorchRgb] {
        assert_eq!(serde_json::to_value(convention).unwrap(), convention.as_str());
        assert_eq!(PixelConvention::parse(convention.as_str()), Some(convention));
    }
    assert_eq!(PixelConvention::parse("rgb"), None);
}
