//! Keras HDF5: every layout its releases have saved VGG16 in. Kernels are HWIO there and are transposed to OIHW.
//!
//! The layouts differ in the groups around a tensor and in its own name, but not in having the layer's name on the
//! way to it, nor in a kernel having rank 4 and a bias rank 1:
//! `block1_conv1/block1_conv1_W_1:0` (Keras 1, and the published "notop" file), `block1_conv1/block1_conv1/kernel:0`
//! (Keras 2), `model_weights/vgg16/block1_conv1/kernel:0` (whole models), `layers/block1_conv1/vars/0` (Keras 3) and
//! `layers/conv2d/vars/0`, `layers/conv2d_1/vars/0`, … (Keras 3 where it numbers classes instead).

use std::path::Path;

use hdf5_pure::{DType, Dataset, File, Group};

use super::collect::{Contents, Located, Slot, collect};
use super::{PixelConvention, WeightsError, names};
use crate::vision::layers::ConvSpec;

const FORMAT: &str = "Keras HDF5";

/// Groups within groups that are followed; whole nested models need 6.
const MAX_DEPTH: usize = 10;
/// Datasets that are looked at. VGG16 with its head and an optimiser's state has about 100.
const MAX_DATASETS: usize = 10_000;
/// Largest chunk of a chunked dataset, in numbers: the largest kernel has 2.4 million. A chunk is unpacked whole,
/// however little of it is used.
const MAX_CHUNK: u64 = 1 << 24;

/// A dataset and the groups on the way to it.
struct Entry {
    path: Vec<String>,
    dataset: Dataset,
    shape: Vec<usize>,
}

pub(super) fn read(path: &Path, specs: &[ConvSpec]) -> Result<Contents, WeightsError> {
    let origin = path.display().to_string();
    let malformed = |reason: String| WeightsError::malformed(&origin, FORMAT, reason);
    let broken = |e: hdf5_pure::Error| malformed(format!("{e}; is the file whole?"));
    // The streaming backend would spare memory, but doesn't promise the old group format that Keras's files use.
    let file = File::open(path).map_err(broken)?;
    let mut entries = Vec::new();
    walk(&file.root(), &mut Vec::new(), &mut entries).map_err(|e| {
        e.map_or_else(
            || malformed(format!("it nests deeper than {MAX_DEPTH} groups or has more than {MAX_DATASETS} datasets")),
            broken,
        )
    })?;
    let components = entries.iter().flat_map(|entry| entry.path.iter().map(String::as_str));
    // Only whole components count: `block3_conv4_W_1:0` lies within its layer's group anyway.
    let layers = components.filter(|component| names::keras_layer(component) == Some(component));
    if let Some(layer) = names::foreign_layer(specs, layers) {
        return Err(malformed(format!("it has a layer {layer}, which VGG16 doesn't")));
    }
    let slots = slots(specs, &entries);
    let layers = collect(&origin, FORMAT, specs, slots, |name, entry| {
        numbers(entry).map_err(|reason| malformed(format!("{name}: {reason}")))
    })?;
    Ok(Contents { layers, convention: PixelConvention::CaffeBgr, recorded_sha256: None })
}

/// Collects all datasets below `group`; `Err(None)` when a bound is passed.
fn walk(group: &Group, path: &mut Vec<String>, into: &mut Vec<Entry>) -> Result<(), Option<hdf5_pure::Error>> {
    if path.len() >= MAX_DEPTH {
        return Err(None);
    }
    for name in group.datasets()? {
        if into.len() >= MAX_DATASETS {
            return Err(None);
        }
        let dataset = group.dataset(&name)?;
        let extents = dataset.shape()?;
        // An extent beyond the address space fits no layer, and saturating keeps it so.
        let shape = extents.into_iter().map(|extent| usize::try_from(extent).unwrap_or(usize::MAX)).collect();
        path.push(name);
        into.push(Entry { path: path.clone(), dataset, shape });
        path.pop();
    }
    for name in group.groups()? {
        // An optimiser's moments have the layers' names and shapes too.
        if path.is_empty() && name.starts_with("optimizer") {
            continue;
        }
        let child = group.group(&name)?;
        path.push(name);
        walk(&child, path, into)?;
        path.pop();
    }
    Ok(())
}

fn slots<'a>(specs: &[ConvSpec], entries: &'a [Entry]) -> Vec<Slot<&'a Entry>> {
    let find = |component: &str, rank: usize| {
        let mut fitting =
            entries.iter().filter(|entry| entry.shape.len() == rank && entry.path.iter().any(|part| part == component));
        // two candidates are no answer
        let found = fitting.next()?;
        if fitting.next().is_some() { None } else { Some(located(found)) }
    };
    let slot = |component: &str| Slot { weight: find(component, 4), bias: find(component, 1) };
    let by_name: Vec<_> = specs.iter().map(|spec| slot(spec.name)).collect();
    if !by_name.iter().all(Slot::is_empty) || !slot(&numbered(specs.len())).is_empty() {
        return by_name;
    }
    // No names and exactly as many numbered convolutions as the table has layers.
    (0..specs.len()).map(|i| slot(&numbered(i))).collect()
}

/// Keras 3's name for the `i`th object of class `Conv2D`.
fn numbered(i: usize) -> String {
    if i == 0 { "conv2d".to_owned() } else { format!("conv2d_{i}") }
}

/// The shape as OIHW.
fn located(entry: &Entry) -> Located<&Entry> {
    let shape = match entry.shape[..] {
        [height, width, inputs, outputs] => vec![outputs, inputs, height, width],
        _ => entry.shape.clone(),
    };
    Located { shape, handle: entry }
}

/// The numbers, OIHW.
fn numbers(entry: &Entry) -> Result<Vec<f32>, String> {
    match entry.dataset.dtype().map_err(|e| e.to_string())? {
        DType::F32 | DType::F64 => {}
        other => return Err(format!("stored as {other}; save the model with float32 weights")),
    }
    let chunk = entry.dataset.chunk_shape().map_err(|e| e.to_string())?.unwrap_or_default();
    if chunk.iter().try_fold(1_u64, |n, &extent| n.checked_mul(extent)).is_none_or(|n| n > MAX_CHUNK) {
        return Err(format!("its chunks are {chunk:?}, larger than any layer"));
    }
    let stored = entry.dataset.read_f32().map_err(|e| format!("{e}; is the file whole?"))?;
    match entry.shape[..] {
        // `collect` sees to it that a short read is refused; transposing must not index beyond it before that.
        [height, width, inputs, outputs] if stored.len() == height * width * inputs * outputs => {
            Ok(hwio_to_oihw(&stored, [height, width, inputs, outputs]))
        }
        _ => Ok(stored),
    }
}

fn hwio_to_oihw(hwio: &[f32], [height, width, inputs, outputs]: [usize; 4]) -> Vec<f32> {
    let mut oihw = vec![0.0; hwio.len()];
    let taps = height * width;
    for tap in 0..taps {
        for input in 0..inputs {
            let row = &hwio[(tap * inputs + input) * outputs..][..outputs];
            for (output, &number) in row.iter().enumerate() {
                oihw[(output * inputs + input) * taps + tap] = number;
            }
        }
    }
    oihw
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hdf5_pure::FileBuilder;

    use super::super::detect;
    use super::super::tests::{TINY, tiny_layers};
    use super::*;

    /// Datasets by path: shape and numbers.
    type Tree = BTreeMap<String, (Vec<u64>, Vec<f32>)>;

    /// The tiny body in Keras's order, at the paths that `path(layer, is_weight)` gives.
    fn tree(path: impl Fn(usize, bool) -> String) -> Tree {
        let mut tree = Tree::new();
        for (i, layer) in tiny_layers().iter().enumerate() {
            let [o, n, h, w] = layer.spec.weight_shape();
            let mut hwio = vec![0.0; layer.weight.len()];
            for (at, number) in layer.weight.iter().enumerate() {
                let (output, input, tap) = (at / (n * h * w), at / (h * w) % n, at % (h * w));
                hwio[(tap * n + input) * o + output] = *number;
            }
            tree.insert(path(i, true), ([h, w, n, o].map(|d| d as u64).to_vec(), hwio));
            tree.insert(path(i, false), (vec![o as u64], layer.bias.clone()));
        }
        tree.insert("dense/dense/kernel:0".to_owned(), (vec![2, 2], vec![0.0; 4]));
        tree
    }

    fn keras1(i: usize, is_weight: bool) -> String {
        let (name, letter) = (TINY[i].name, if is_weight { 'W' } else { 'b' });
        format!("{name}/{name}_{letter}_1:0")
    }

    fn bytes(tree: &Tree) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.h5");
        FileBuilder::new().write(&path).unwrap();
        let file = File::open_rw(&path).unwrap();
        for (path, (shape, data)) in tree {
            let mut group = file.root();
            let mut parts: Vec<_> = path.split('/').collect();
            let name = parts.pop().unwrap();
            for part in parts {
                group = group.group(part).or_else(|_| group.create_group(part)).unwrap();
            }
            group
                .create_dataset(name, |b| {
                    b.with_f32_data(data).with_shape(shape);
                })
                .unwrap();
        }
        file.commit().unwrap();
        file.close().unwrap();
        std::fs::read(&path).unwrap()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Contents, WeightsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bin");
        std::fs::write(&path, bytes).unwrap();
        detect::read(&path, &TINY)
    }

    #[test]
    fn all_layouts_are_read() {
        let suffix = |is_weight| if is_weight { "kernel:0" } else { "bias:0" };
        let layouts: [&dyn Fn(usize, bool) -> String; 5] = [
            &keras1,
            &|i, w| format!("{0}/{0}/{1}", TINY[i].name, suffix(w)),
            &|i, w| format!("model_weights/vgg16/{}/{}", TINY[i].name, suffix(w)),
            &|i, w| format!("layers/{}/vars/{}", TINY[i].name, usize::from(!w)),
            &|i, w| format!("layers/{}/vars/{}", numbered(i), usize::from(!w)),
        ];
        for layout in layouts {
            let mut tree = tree(layout);
            // an optimiser's copy of the same names must not make them ambiguous
            let moment = tree.values().next().unwrap().clone();
            tree.insert(format!("optimizer_weights/Adam/{}/m:0", TINY[0].name), moment);
            let contents = read_bytes(&bytes(&tree)).unwrap();
            assert_eq!(contents.layers, tiny_layers(), "{}", layout(0, true));
            assert_eq!(contents.convention, PixelConvention::CaffeBgr);
        }
    }

    #[test]
    fn missing_and_misshapen_layers_are_named() {
        let mut tree = tree(keras1);
        tree.remove(&keras1(2, false));
        tree.get_mut(&keras1(0, true)).unwrap().0 = vec![3, 3, 2, 3];
        let Err(WeightsError::Layers { problems, .. }) = read_bytes(&bytes(&tree)) else { panic!() };
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["block1_conv1.weight: found [3, 2, 3, 3], expected [2, 3, 3, 3]", "block2_conv1.bias: missing, expected [4]"]
        );
    }

    #[test]
    fn a_deeper_network_and_truncated_files_are_refused() {
        let mut deeper = tree(keras1);
        deeper.insert("block2_conv2/block2_conv2_W_1:0".to_owned(), (vec![3, 3, 4, 4], vec![0.0; 144]));
        let message = read_bytes(&bytes(&deeper)).unwrap_err().to_string();
        assert!(message.contains("a layer block2_conv2"), "{message}");

        let whole = bytes(&tree(keras1));
        for length in (9..whole.len()).step_by(97) {
            assert!(read_bytes(&whole[..length]).is_err(), "cut to {length} of {}", whole.len());
        }
    }
}
