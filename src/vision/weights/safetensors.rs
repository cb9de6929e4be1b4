//! safetensors: the canonical file, and torchvision's and timm's files in the same format.
//!
//! The header is parsed and validated by the `safetensors` crate; tensors are then read one by one from the file, so
//! a file with a 500 MB head costs no more memory than one without.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;

use super::collect::{Contents, Located, Part, Slot, Stored, collect, decode_floats};
use super::{BodyWeights, PixelConvention, WeightsError, le_bytes, names, parent};
use crate::vision::layers::ConvSpec;

/// The format's name in messages.
pub(super) const FORMAT: &str = "safetensors";

/// Largest header that is read. One for VGG16 is 4 KB; this leaves room for generous metadata.
const MAX_HEADER_BYTES: u64 = 4 << 20;

const LENGTH_BYTES: u64 = 8;
const CONVENTION_KEY: &str = "pixel_convention";
const HASH_KEY: &str = "tensor_sha256";

pub(super) fn read(path: &Path, specs: &[ConvSpec]) -> Result<Contents, WeightsError> {
    let origin = path.display().to_string();
    let malformed = |reason: String| WeightsError::malformed(&origin, FORMAT, reason);
    let mut file = File::open(path).map_err(WeightsError::unreadable(path))?;
    let (metadata, data_start) = read_header(path, &origin, &mut file)?;

    let infos = metadata.tensors();
    let (keys, by_naming) = names::locate(specs, infos.keys().map(String::as_str));
    if let Some(layer) = names::foreign_layer(specs, infos.keys().map(String::as_str)) {
        return Err(malformed(format!("it has a layer {layer}, which VGG16 doesn't")));
    }
    let notes = metadata.metadata().clone().unwrap_or_default();
    let convention = match notes.get(CONVENTION_KEY) {
        None => by_naming,
        Some(name) => PixelConvention::parse(name).ok_or_else(|| {
            malformed(format!("its metadata has {CONVENTION_KEY} {name:?}; known are caffe_bgr and torch_rgb"))
        })?,
    };
    let locate = |key: &Option<String>| {
        let info = metadata.info(key.as_ref()?)?;
        Some(Located { shape: info.shape.clone(), handle: info.clone() })
    };
    let slots = keys.iter().map(|[weight, bias]| Slot { weight: locate(weight), bias: locate(bias) }).collect();
    let layers = collect(&origin, FORMAT, specs, slots, |name, info: TensorInfo| {
        let stored = match info.dtype {
            Dtype::F32 => Stored::F32,
            Dtype::F16 => Stored::F16,
            Dtype::BF16 => Stored::Bf16,
            other => return Err(malformed(format!("{name} is stored as {other:?}; use F32, F16 or BF16"))),
        };
        let (start, end) = info.data_offsets;
        // Both offsets lie inside the file and fit the shape, which is VGG16's: `read_header` and `collect` checked.
        let mut bytes = vec![0; end - start];
        file.seek(SeekFrom::Start(data_start + start as u64)).map_err(WeightsError::unreadable(path))?;
        file.read_exact(&mut bytes).map_err(WeightsError::unreadable(path))?;
        Ok(decode_floats(stored, &bytes))
    })?;
    Ok(Contents { layers, convention, recorded_sha256: notes.get(HASH_KEY).cloned() })
}

/// The validated header and where the data starts. Offsets are contiguous, fit their shapes, and end with the file.
fn read_header(path: &Path, origin: &str, file: &mut File) -> Result<(Metadata, u64), WeightsError> {
    let malformed = |reason: String| WeightsError::malformed(origin, FORMAT, reason);
    let file_bytes = file.metadata().map_err(WeightsError::unreadable(path))?.len();
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut length).map_err(WeightsError::unreadable(path))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length > file_bytes.saturating_sub(LENGTH_BYTES) {
        return Err(malformed(format!("its header claims {length} bytes in a file of {file_bytes}")));
    }
    let mut header = Vec::new();
    Read::by_ref(file).take(length).read_to_end(&mut header).map_err(WeightsError::unreadable(path))?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| malformed(format!("its header: {e}")))?;
    let data_start = LENGTH_BYTES + length;
    let expected = data_start.saturating_add(metadata.data_len() as u64);
    if expected != file_bytes {
        let reason = format!("it is {file_bytes} bytes where its header says {expected}: cut off, or not whole yet");
        return Err(malformed(reason));
    }
    Ok((metadata, data_start))
}

/// One entry of the header, so that the header's order is ours: the crate writes metadata in a hash map's order, and
/// the same body must give the same bytes.
#[derive(Serialize)]
#[serde(untagged)]
enum HeaderEntry {
    Notes(BTreeMap<&'static str, String>),
    Tensor(TensorInfo),
}

pub(super) fn write(body: &BodyWeights, path: &Path) -> Result<(), WeightsError> {
    write_file(body, path).map_err(WeightsError::unwritable(path))
}

fn write_file(body: &BodyWeights, path: &Path) -> io::Result<()> {
    let folder = parent(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".weights-").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A temporary file is for its owner alone by default; this one becomes a file that other users may serve from.
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let temporary = builder.tempfile_in(folder)?;
    let mut out = BufWriter::new(temporary.as_file());
    let header = header(body)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for layer in &body.layers {
        out.write_all(&le_bytes(&layer.weight))?;
        out.write_all(&le_bytes(&layer.bias))?;
    }
    out.flush()?;
    drop(out);
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    // The rename itself lives in the folder. Only Unix can open one to sync it.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn header(body: &BodyWeights) -> io::Result<Vec<u8>> {
    // "__metadata__" sorts before "block…", so it comes first, as readers that stream like it.
    let mut entries = BTreeMap::from([("__metadata__".to_owned(), HeaderEntry::Notes(notes(body)))]);
    let mut offset = 0;
    for layer in &body.layers {
        let shapes = [layer.spec.weight_shape().to_vec(), vec![layer.spec.outputs]];
        for (part, shape) in Part::BOTH.into_iter().zip(shapes) {
            let end = offset + shape.iter().product::<usize>() * size_of::<f32>();
            let info = TensorInfo { dtype: Dtype::F32, shape, data_offsets: (offset, end) };
            entries.insert(part.name(&layer.spec), HeaderEntry::Tensor(info));
            offset = end;
        }
    }
    let mut header = serde_json::to_vec(&entries)?;
    // The format wants the data aligned and allows spaces after the JSON.
    header.resize(header.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    Ok(header)
}

/// Where the weights are from and what they may be used under. Only the canonical weights' origin is known for sure.
fn notes(body: &BodyWeights) -> BTreeMap<&'static str, String> {
    let (source, licence) = if body.is_imagenet() {
        (
            "Visual Geometry Group, University of Oxford: Simonyan and Zisserman, Very Deep Convolutional Networks for \
             Large-Scale Image Recognition, 2014",
            "CC BY 4.0",
        )
    } else {
        ("imported; not the canonical ImageNet weights", "that of the imported file")
    };
    BTreeMap::from([
        ("source", source.to_owned()),
        ("licence", licence.to_owned()),
        ("backbone_id", body.backbone_id()),
        (CONVENTION_KEY, body.pixel_convention().as_str().to_owned()),
        (HASH_KEY, body.sha256()),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TINY, tiny_value};
    use super::*;

    /// A safetensors file with the given tensors: name, dtype, shape, bytes.
    fn file(tensors: &[(String, &str, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, dtype, shape, bytes) in tensors {
            let offsets = [data.len(), data.len() + bytes.len()];
            let info = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
            header.insert(name.clone(), info);
            data.extend_from_slice(bytes);
        }
        let header = serde_json::to_vec(&header).unwrap();
        [(header.len() as u64).to_le_bytes().as_slice(), &header, &data].concat()
    }

    fn torch_tensors(dtype: &'static str, encode: fn(f32) -> Vec<u8>) -> Vec<(String, &'static str, Vec<usize>, Vec<u8>)> {
        let mut tensors = Vec::new();
        for (i, (spec, index)) in TINY.iter().zip([0, 2, 5]).enumerate() {
            for (part, shape) in Part::BOTH.into_iter().zip([spec.weight_shape().to_vec(), vec![spec.outputs]]) {
                let bytes = (0..shape.iter().product()).flat_map(|j| encode(tiny_value(i, part, j))).collect();
                tensors.push((format!("features.{index}.{part}"), dtype, shape, bytes));
            }
        }
        tensors
    }

    fn read_bytes(bytes: &[u8]) -> Result<Contents, WeightsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        std::fs::write(&path, bytes).unwrap();
        super::super::detect::read(&path, &TINY)
    }

    #[test]
    fn torch_keys_in_f32_and_bf16() {
        for tensors in [
            torch_tensors("F32", |x| x.to_le_bytes().to_vec()),
            // the tiny values are exact in bf16
            torch_tensors("BF16", |x| x.to_le_bytes()[2..].to_vec()),
        ] {
            let contents = read_bytes(&file(&tensors)).unwrap();
            assert_eq!(contents.layers, super::super::tests::tiny_layers());
            assert_eq!(contents.convention, PixelConvention::TorchRgb);
        }
    }

    #[test]
    fn every_wrong_layer_is_named() {
        let mut tensors = torch_tensors("F32", |x| x.to_le_bytes().to_vec());
        tensors[0].2 = vec![2, 9, 3, 1];
        tensors.remove(3);
        let Err(WeightsError::Layers { problems, .. }) = read_bytes(&file(&tensors)) else { panic!() };
        let names: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["block1_conv1.weight: found [2, 9, 3, 1], expected [2, 3, 3, 3]", "block1_conv2.bias: missing, expected [2]"]
        );
    }

    #[test]
    fn truncated_overlong_and_wrongly_typed_files_are_refused() {
        let whole = file(&torch_tensors("F32", |x| x.to_le_bytes().to_vec()));
        let mut claims_more = whole.clone();
        claims_more[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let integers = file(&torch_tensors("I32", |x| x.to_le_bytes().to_vec()));
        let infinite = file(&torch_tensors("F32", |_| f32::INFINITY.to_le_bytes().to_vec()));
        for (bytes, part) in [
            (&whole[..whole.len() - 1], "cut off"),
            (&whole[..20], "header claims"),
            (&claims_more, "header claims"),
            (&integers, "stored as I32"),
            (&infinite, "NaN or infinity"),
        ] {
            let message = read_bytes(bytes).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
