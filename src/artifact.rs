//! A published version on disk: the contract between training and inference.
//!
//! ```text
//! manifest.json         what the model is: classes, backbone, preprocessing, precision, recipe, library versions, checksums
//! weights.safetensors   the layers that learnt: block5_conv1.weight … (OIHW f32), head.hidden.weight, …
//! report.json           what the run found out
//! ```
//! The frozen layers are not in it: they are the backbone's, named by the SHA-256 of its tensors.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::hex::hex;
use crate::recipe::Recipe;
use crate::report::Report;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::Precision;
use crate::vision::preprocessing::Preprocessing;

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";
/// The weights' file name.
pub const WEIGHTS: &str = "weights.safetensors";
/// The report's file name.
pub const REPORT: &str = "report.json";
/// The manifest format that this code writes and reads.
pub const FORMAT: u32 = 1;

/// What a model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Manifest {
    /// Version of this file's shape, [`FORMAT`].
    pub format: u32,
    /// The model's name.
    pub model: String,
    /// Its version, 1 and up; 0 for one trained without a server.
    pub version: u64,
    /// When it was published.
    pub created_at: chrono::DateTime<chrono::Utc>,
    /// Class names; a logit's index is its class's place here.
    pub classes: Vec<String>,
    /// The frozen body underneath.
    pub backbone: BackboneRef,
    /// From picture to pixels, for training and serving alike.
    pub preprocessing: Preprocessing,
    /// Arithmetic of the backbone's layers; a model is served in the one that it was trained in.
    pub precision: Precision,
    /// First convolution whose weights are in this artifact; those below are the backbone's.
    #[schema(value_type = String)]
    pub unfreeze_from: UnfreezeFrom,
    /// How it was trained.
    pub recipe: Recipe,
    /// What it was trained on.
    pub dataset: DatasetRef,
    /// Versions of the libraries that trained it.
    pub libraries: BTreeMap<String, String>,
    /// SHA-256 of the other files, by name.
    pub files: BTreeMap<String, String>,
}

/// Which backbone, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackboneRef {
    /// Its name.
    pub id: String,
    /// SHA-256 of its tensors in forward order, weight (OIHW, little-endian f32) then bias.
    pub sha256: String,
    /// Which scales the frozen layers' 8-bit integers have; absent in other precisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<String>,
    /// Whose weights they are and on which terms.
    pub attribution: String,
}

/// Which data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetRef {
    /// Its id; empty for one trained without a server.
    pub id: String,
    /// Its name.
    pub name: String,
    /// SHA-256 of its content: class names and pictures.
    pub content_sha256: String,
}

/// A named f32 tensor as plain data, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its key in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub data: Vec<f32>,
}

/// An artifact that can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file isn't what the manifest says.
    #[error("{path} is damaged: {reason}; publish the model again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The manifest is of another format.
    #[error("{path} is of format {found}, this version of topgraft reads {FORMAT}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

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
    let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(at(parent))?;
    let beside = tempfile::Builder::new().prefix(".publishing-").tempdir_in(parent).map_err(at(parent))?;
    let weights = beside.path().join(WEIGHTS);
    let views = tensors.iter().map(view).collect::<Result<Vec<_>, _>>().map_err(|e| damaged(&weights, e))?;
    let bytes = safetensors::serialize(views, None).map_err(|e| damaged(&weights, e))?;
    manifest.files = BTreeMap::from([
        (WEIGHTS.to_owned(), write(&weights, &bytes)?),
        (REPORT.to_owned(), write(&beside.path().join(REPORT), &json(report, false))?),
    ]);
    write(&beside.path().join(MANIFEST), &json(&manifest, true))?;
    sync_dir(beside.path())?;
    fs::rename(beside.path(), dest).map_err(at(dest))?;
    sync_dir(parent)?;
    // Renamed away: the guard has nothing left to remove.
    let _ = beside.keep();
    Ok(manifest)
}

/// Reads an artifact's manifest.
///
/// # Errors
/// A missing or damaged file; another format.
pub fn manifest(dir: &Path) -> Result<Manifest, ArtifactError> {
    let path = dir.join(MANIFEST);
    let bytes = fs::read(&path).map_err(at(&path))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| damaged(&path, e))?;
    let found = value.get("format").and_then(serde_json::Value::as_u64).and_then(|format| u32::try_from(format).ok());
    match found {
        Some(FORMAT) => serde_json::from_value(value).map_err(|e| damaged(&path, e)),
        Some(found) => Err(ArtifactError::Format { path, found }),
        None => Err(damaged(&path, "it names no format")),
    }
}

/// Reads an artifact's report, checked against the manifest's checksum.
///
/// # Errors
/// A missing or damaged file.
pub fn report(dir: &Path, manifest: &Manifest) -> Result<Report, ArtifactError> {
    let bytes = checked(dir, REPORT, manifest)?;
    serde_json::from_slice(&bytes).map_err(|e| damaged(&dir.join(REPORT), e))
}

/// Reads an artifact's tensors, checked against the manifest's checksum.
///
/// # Errors
/// A missing or damaged file; a tensor that isn't f32.
pub fn tensors(dir: &Path, manifest: &Manifest) -> Result<Vec<NamedTensor>, ArtifactError> {
    let path = dir.join(WEIGHTS);
    let bytes = checked(dir, WEIGHTS, manifest)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&path, e))?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(damaged(&path, format!("{name} is {:?}, not F32", view.dtype())));
            }
            let data = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            Ok(NamedTensor { name, shape: view.shape().to_vec(), data })
        })
        .collect()
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

fn checked(dir: &Path, name: &str, manifest: &Manifest) -> Result<Vec<u8>, ArtifactError> {
    let path = dir.join(name);
    let bytes = fs::read(&path).map_err(at(&path))?;
    let found = hex(&Sha256::digest(&bytes));
    match manifest.files.get(name) {
        Some(expected) if *expected == found => Ok(bytes),
        Some(_) => Err(damaged(&path, "its checksum is not the manifest's")),
        None => Err(damaged(&path, "the manifest has no checksum for it")),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<String, ArtifactError> {
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

fn at(path: &Path) -> impl FnOnce(io::Error) -> ArtifactError + '_ {
    |source| ArtifactError::Io { path: path.to_owned(), source }
}

fn damaged(path: &Path, reason: impl ToString) -> ArtifactError {
    ArtifactError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}
