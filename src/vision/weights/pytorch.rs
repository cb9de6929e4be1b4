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
        // native-endian, which is little-endian wherever libtorch runs
        let bytes = tensor.read().map_err(|e| malformed(format!("{name}: {e}")))?;
        Ok(decode_floats(stored, &bytes))
    })?;
    Ok(Contents { layers, convention, recorded_sha256: None })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::super::collect::Part;
    use super::super::tests::{TINY, tiny_layers};
    use super::super::{PixelConvention, detect};
    use super::*;

    fn unicode(text: &str) -> Vec<u8> {
        [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    fn integers(numbers: &[usize]) -> Vec<u8> {
        let each = numbers.iter().flat_map(|&n| [b"J".as_slice(), &(n as i32).to_le_bytes()].concat());
        [b"(".to_vec(), each.collect(), b"t".to_vec()].concat()
    }

    /// The pickle of one contiguous float tensor whose storage is entry `data/KEY`.
    fn tensor(key: &str, shape: &[usize]) -> Vec<u8> {
        let strides: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
        let count = (shape.iter().product::<usize>() as i32).to_le_bytes();
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
            &unicode("storage"),
            b"ctorch\nFloatStorage\n",
            &unicode(key),
            &unicode("cpu"),
            b"J",
            &count,
            b"tQK\x00",
            &integers(shape),
            &integers(&strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    }

    /// A checkpoint as `torch.save` makes it: entries are stored, `values` are the dictionary's pickled values.
    fn checkpoint(values: &[(String, Vec<u8>)], storages: &[(String, Vec<f32>)]) -> Vec<u8> {
        let items = values.iter().flat_map(|(key, value)| [unicode(key), value.clone()].concat());
        let pickle = [b"\x80\x02}(".to_vec(), items.collect(), b"u.".to_vec()].concat();
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file("archive/data.pkl", options).unwrap();
        zip.write_all(&pickle).unwrap();
        for (key, numbers) in storages {
            zip.start_file(format!("archive/data/{key}"), options).unwrap();
            zip.write_all(&numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
        }
        zip.start_file("archive/version", options).unwrap();
        zip.write_all(b"3\n").unwrap();
        zip.finish().unwrap().into_inner()
    }

    /// A checkpoint's pickled values by key, and its storages by key.
    type Parts = (Vec<(String, Vec<u8>)>, Vec<(String, Vec<f32>)>);

    /// The tiny body's values and storages under torchvision's keys.
    fn tiny(prefix: &str) -> Parts {
        let (mut values, mut storages) = (Vec::new(), Vec::new());
        for (layer, index) in tiny_layers().into_iter().zip([0, 2, 5]) {
            let shape = layer.spec.weight_shape();
            for (part, shape, data) in
                [(Part::Weight, shape.as_slice(), layer.weight), (Part::Bias, &[layer.spec.outputs], layer.bias)]
            {
                let key = storages.len().to_string();
                values.push((format!("{prefix}features.{index}.{part}"), tensor(&key, shape)));
                storages.push((key, data));
            }
        }
        (values, storages)
    }

    fn read_bytes(bytes: &[u8]) -> Result<Contents, WeightsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bin");
        std::fs::write(&path, bytes).unwrap();
        detect::read(&path, &TINY)
    }

    #[test]
    fn plain_and_wrapped_state_dicts_are_read() {
        for prefix in ["", "module.", "model.backbone."] {
            let (mut values, mut storages) = tiny(prefix);
            values.push(("classifier.0.weight".to_owned(), tensor("head", &[2, 2])));
            storages.push(("head".to_owned(), vec![0.0; 4]));
            let contents = read_bytes(&checkpoint(&values, &storages)).unwrap();
            assert_eq!(contents.layers, tiny_layers());
            assert_eq!(contents.convention, PixelConvention::TorchRgb);
        }
    }

    #[test]
    fn missing_and_misshapen_layers_are_named() {
        let (mut values, storages) = tiny("");
        values[0].1 = tensor("0", &[2, 3, 9, 1]);
        values.remove(3);
        let Err(WeightsError::Layers { problems, .. }) = read_bytes(&checkpoint(&values, &storages)) else { panic!() };
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["block1_conv1.weight: found [2, 3, 9, 1], expected [2, 3, 3, 3]", "block1_conv2.bias: missing, expected [2]"]
        );
    }

    #[test]
    fn a_pickle_that_would_run_a_command_runs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let proof = dir.path().join("ran");
        let command = format!("touch {}", proof.display());
        let call = [b"cposix\nsystem\n".as_slice(), &unicode(&command), b"\x85R"].concat();
        let (mut values, storages) = tiny("");
        // beside the weights it is ignored
        values.push(("epoch".to_owned(), call.clone()));
        assert_eq!(read_bytes(&checkpoint(&values, &storages)).unwrap().layers, tiny_layers());
        // in a weight's place it is refused
        values[0].1.clone_from(&call);
        assert!(matches!(read_bytes(&checkpoint(&values, &storages)), Err(WeightsError::Layers { .. })));
        // and so is a file that is nothing else
        let alone = [b"\x80\x02".as_slice(), &call, b"."].concat();
        assert!(matches!(read_bytes(&alone), Err(WeightsError::Malformed { .. })));
        assert!(!proof.exists());
    }

    #[test]
    fn storages_that_are_short_absent_or_cut_off_are_refused() {
        let (values, mut storages) = tiny("");
        let whole = checkpoint(&values, &storages);
        for length in [40, whole.len() / 2, whole.len() - 1] {
            assert!(matches!(read_bytes(&whole[..length]), Err(WeightsError::Malformed { .. })));
        }
        storages[0].1.pop();
        assert!(matches!(read_bytes(&checkpoint(&values, &storages)), Err(WeightsError::Malformed { .. })));
        storages.remove(0);
        assert!(matches!(read_bytes(&checkpoint(&values, &storages)), Err(WeightsError::Malformed { .. })));
        // a tensor that claims more than memory holds
        let mut huge = tiny("").0;
        huge[0].1 = tensor("0", &[1 << 15, 1 << 15, 1 << 15, 3]);
        assert!(read_bytes(&checkpoint(&huge, &storages)).is_err());
        // an archive of something else
        assert!(matches!(read_bytes(&checkpoint(&[], &[])), Err(WeightsError::Layers { .. })));
    }
}
