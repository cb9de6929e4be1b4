//! Writing an artifact: whole, or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use safetensors::tensor::Dtype;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ArtifactError, MANIFEST, Manifest, NamedTensor, REPORT, WEIGHTS, at, damaged};
use crate::hex::hex;
use crate::report::Report;

/// Writes an artifact beside `dest`, syncs it and renames it there, so that `dest` is whole or not there.
///
/// `manifest.files` is filled in. Returns the manifest as written.
///
/// # Errors
/// The file system's refusals; `dest` exists already.
pub fn publish(
    dest: &Path,
    mut manifest: Manifest,
    tensors: &[NamedTensor],
    report: &Report,
) -> Result<Manifest, ArtifactError> {
    let beside = beside(dest)?;
    let weights = beside.path().join(WEIGHTS);
    let views = tensors.iter().map(view).collect::<Result<Vec<_>, _>>().map_err(|e| damaged(&weights, e))?;
    let bytes = safetensors::serialize(views, None).map_err(|e| damaged(&weights, e))?;
    manifest.files = BTreeMap::from([
        (WEIGHTS.to_owned(), write(&weights, &bytes)?),
        (REPORT.to_owned(), write(&beside.path().join(REPORT), &json(report, false))?),
    ]);
    finish(beside, dest, &manifest)?;
    Ok(manifest)
}

/// A folder beside `dest` to write in, which goes when it is dropped.
pub(super) fn beside(dest: &Path) -> Result<tempfile::TempDir, ArtifactError> {
    let parent = parent(dest);
    fs::create_dir_all(parent).map_err(at(parent))?;
    tempfile::Builder::new().prefix(".publishing-").tempdir_in(parent).map_err(at(parent))
}

/// Writes the manifest of an artifact whose other files are there, syncs it and renames it to `dest`.
pub(super) fn finish(beside: tempfile::TempDir, dest: &Path, manifest: &Manifest) -> Result<(), ArtifactError> {
    write(&beside.path().join(MANIFEST), &json(manifest, true))?;
    sync_dir(beside.path())?;
    fs::rename(beside.path(), dest).map_err(at(dest))?;
    sync_dir(parent(dest))?;
    // Renamed away: the guard has nothing left to remove.
    let _ = beside.keep();
    Ok(())
}

fn parent(dest: &Path) -> &Path {
    dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn view(tensor: &NamedTensor) -> Result<(String, OwnedView), String> {
    if tensor.shape.iter().product::<usize>() != tensor.data.len() {
        return Err(format!("{} has {} numbers for shape {:?}", tensor.name, tensor.data.len(), tensor.shape));
    }
    let bytes = tensor.data.iter().flat_map(|number| number.to_le_bytes()).collect();
    Ok((tensor.name.clone(), OwnedView { shape: tensor.shape.clone(), bytes }))
}

/// A tensor's bytes in the form that the serializer takes.
struct OwnedView {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl safetensors::View for OwnedView {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        std::borrow::Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<String, ArtifactError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))?;
    Ok(hex(&Sha256::digest(bytes)))
}

fn sync_dir(path: &Path) -> Result<(), ArtifactError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(at(path))
}

/// The manifest is for people too; a report may hold a hundred thousand predictions.
fn json<T: Serialize>(value: &T, pretty: bool) -> Vec<u8> {
    let bytes = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    // Only maps with keys that aren't text can fail, and none of these types has one.
    bytes.expect("plain data serialises")
}
