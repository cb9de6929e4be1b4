//! A published version on disk: the contract between training and inference.
//!
//! ```text
//! manifest.json         what the model is: classes, backbone, preprocessing, precision, recipe, library versions, checksums
//! weights.safetensors   the layers that learnt: block5_conv1.weight … (OIHW f32), head.hidden.weight, …; outliers.means, …;
//!                       neighbours.embeddings, …: [N, units] of N training pictures, each row of length 1
//! report.json           what the run found out
//! ```
//! The frozen layers are not in it: they are the backbone's, named by the SHA-256 of its tensors.

pub mod archive;
pub mod fit;
pub mod onnx;
mod publish;
mod republish;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

pub use publish::publish;
pub use republish::republish;

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
    /// Its version, 1 and up; 0 for one trained without a server, or by a sweep and not published.
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
    /// What the logarithms of its probabilities are divided by, fitted on the validation pictures; 1 for artifacts of earlier
    /// versions.
    #[serde(default = "no_temperature")]
    pub temperature: f64,
    /// How it was trained.
    pub recipe: Recipe,
    /// What it was trained on.
    pub dataset: DatasetRef,
    /// Versions of the libraries that trained it.
    pub libraries: BTreeMap<String, String>,
    /// SHA-256 of the other files, by name.
    pub files: BTreeMap<String, String>,
}

const fn no_temperature() -> f64 {
    1.0
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
    report_as(dir, manifest)
}

/// Reads those parts of an artifact's report that `R` has, such as [`crate::report::ReportSummary`]; checked as [`report`] is.
///
/// # Errors
/// A missing or damaged file.
pub fn report_as<R: DeserializeOwned>(dir: &Path, manifest: &Manifest) -> Result<R, ArtifactError> {
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

fn at(path: &Path) -> impl FnOnce(io::Error) -> ArtifactError + '_ {
    |source| ArtifactError::Io { path: path.to_owned(), source }
}

fn damaged(path: &Path, reason: impl ToString) -> ArtifactError {
    ArtifactError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}
