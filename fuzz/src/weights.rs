//! A tiny body's weights in each file format.

use std::fs;
use std::io::{Cursor, Write};

use hdf5_pure::{File, FileBuilder};
use topgraft::vision::layers::ConvSpec;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// A body so small that a file of it can be varied byte by byte.
pub const TINY: [ConvSpec; 2] = [
    ConvSpec { name: "block1_conv1", inputs: 1, outputs: 2, pooled: false },
    ConvSpec { name: "block1_conv2", inputs: 2, outputs: 1, pooled: true },
];

/// A tensor: its layer's place, its shape, OIHW or of one extent, and zeros.
struct Tensor {
    layer: usize,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn tensors() -> impl Iterator<Item = Tensor> {
    TINY.iter().enumerate().flat_map(|(layer, spec)| {
        [spec.weight_shape().to_vec(), vec![spec.outputs]].map(|shape| {
            let bytes = vec![0; 4 * shape.iter().product::<usize>()];
            Tensor { layer, shape, bytes }
        })
    })
}

fn part(tensor: &Tensor) -> &'static str {
    if tensor.shape.len() == 4 { "weight" } else { "bias" }
}

/// torchvision's keys of the two layers.
fn torch_key(tensor: &Tensor) -> String {
    format!("features.{}.{}", tensor.layer * 2, part(tensor))
}

fn safetensors(key: fn(&Tensor) -> String) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for tensor in tensors() {
        let offsets = [data.len(), data.len() + tensor.bytes.len()];
        let info = serde_json::json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": offsets});
        header.insert(key(&tensor), info);
        data.extend(tensor.bytes);
    }
    let header = serde_json::Value::Object(header).to_string().into_bytes();
    [(header.len() as u64).to_le_bytes().as_slice(), &header, &data].concat()
}

/// A field of protobuf's wire format that has a length: its tag, its length, its bytes. Lengths here fit 14 bits.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = [(bytes.len() & 0x7f) as u8 | 0x80, (bytes.len() >> 7) as u8];
    [&[number << 3 | 2], length.as_slice(), bytes].concat()
}

fn onnx() -> Vec<u8> {
    let mut graph = Vec::new();
    for spec in &TINY {
        let inputs = ["x".into(), format!("m/{}/kernel", spec.name), format!("m/{}/bias", spec.name)];
        let node: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).chain(field(4, b"Conv")).collect();
        graph.extend(field(1, &node));
    }
    for tensor in tensors() {
        let name = if tensor.shape.len() == 4 { "kernel" } else { "bias" };
        let dims = tensor.shape.iter().flat_map(|extent| [0x08, *extent as u8]);
        let mut message: Vec<u8> = dims.chain([0x10, 1]).collect();
        message.extend(field(8, format!("m/{}/{name}", TINY[tensor.layer].name).as_bytes()));
        message.extend(field(9, &tensor.bytes));
        graph.extend(field(5, &message));
    }
    [[0x08, 7].as_slice(), &field(7, &graph)].concat()
}

fn keras() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("x.h5");
    FileBuilder::new().write(&path).expect("a new file can be written");
    let file = File::open_rw(&path).expect("it was just written");
    for tensor in tensors() {
        let name = TINY[tensor.layer].name;
        let (dataset, shape) = match tensor.shape.as_slice() {
            [o, i, h, w] => (format!("{name}_W_1:0"), vec![*h as u64, *w as u64, *i as u64, *o as u64]),
            shape => (format!("{name}_b_1:0"), shape.iter().map(|extent| *extent as u64).collect()),
        };
        let root = file.root();
        let group = root.group(name).or_else(|_| root.create_group(name)).expect("it is there or can be made");
        let zeros = vec![0.0f32; tensor.bytes.len() / 4];
        let made = group.create_dataset(&dataset, |builder| {
            builder.with_f32_data(&zeros).with_shape(&shape);
        });
        made.expect("a group takes a dataset");
    }
    file.commit().expect("it can be written");
    file.close().expect("it can be written");
    fs::read(&path).expect("it was just written")
}

fn unicode(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn integers(numbers: &[usize]) -> Vec<u8> {
    let each = numbers.iter().flat_map(|n| [b"J".as_slice(), &(*n as i32).to_le_bytes()].concat());
    [b"(".to_vec(), each.collect(), b"t".to_vec()].concat()
}

/// The pickle of a state dictionary whose storages are the entries `data/0`, `data/1`, …
fn pickle() -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    for (key, tensor) in tensors().enumerate() {
        let strides: Vec<usize> = (0..tensor.shape.len()).map(|i| tensor.shape[i + 1..].iter().product()).collect();
        pickle.extend(unicode(&torch_key(&tensor)));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(unicode("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend(unicode(&key.to_string()));
        pickle.extend(unicode("cpu"));
        pickle.push(b'J');
        pickle.extend((tensor.bytes.len() as i32 / 4).to_le_bytes());
        pickle.extend(b"tQK\x00");
        pickle.extend(integers(&tensor.shape));
        pickle.extend(integers(&strides));
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    pickle
}

fn pytorch() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let storages = tensors().enumerate().map(|(key, tensor)| (format!("data/{key}"), tensor.bytes));
    let files = [("data.pkl".to_owned(), pickle())].into_iter().chain(storages).chain([("version".to_owned(), b"3\n".into())]);
    for (name, bytes) in files {
        zip.start_file(format!("archive/{name}"), options).expect("a Vec takes anything");
        zip.write_all(&bytes).expect("a Vec takes anything");
    }
    zip.finish().expect("a Vec takes anything").into_inner()
}

/// safetensors with our keys and torchvision's, ONNX, Keras HDF5, PyTorch's archive and its pickle alone.
#[must_use]
pub fn weights() -> Vec<Vec<u8>> {
    let ours = |tensor: &Tensor| format!("{}.{}", TINY[tensor.layer].name, part(tensor));
    vec![safetensors(ours), safetensors(torch_key), onnx(), keras(), pytorch(), pickle()]
}
