//! Labelled pictures: reading what people send, packing what can be learnt from, splitting it.
//!
//! [`ingest::ingest`] turns an archive or a folder into a [`pack::Pack`] and an [`Ingested`]; [`split::stratified`]
//! divides it into pictures to learn from and pictures to validate on. A picture's class is the name of the folder that
//! directly contains it.

pub mod archive;
pub mod audit;
mod content;
pub mod duplicates;
mod error;
pub mod ingest;
mod limits;
pub mod pack;
mod paths;
pub mod revise;
pub mod split;
#[cfg(test)]
pub(crate) mod testing;

use serde::{Deserialize, Serialize};

pub use error::{ClassCount, DatasetError, IngestFailure};
pub use limits::DatasetLimits;

use crate::vision::picture::PictureFormat;

/// One accepted picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Where it was in the archive: components joined by `/`, without `.` components. Unique within a data set. For
    /// people to read; nothing is ever opened by it.
    pub path: String,
    /// Index into [`Ingested::classes`].
    pub class: u32,
    /// SHA-256 of the encoded picture, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The encoding, found by content.
    pub format: PictureFormat,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Where the encoded picture begins in the pack, in bytes.
    pub offset: u64,
    /// The length of the encoded picture, in bytes.
    pub bytes: u64,
    /// The number of the first picture that shows the same, this one included; `None` if no other does.
    pub duplicate_group: Option<u32>,
}

/// An entry that wasn't taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Where it was in the archive, cut to [`DatasetLimits::max_path_bytes`], what isn't UTF-8 replaced.
    pub path: String,
    /// Why, in words for the sender.
    pub reason: String,
}

/// What an ingestion accepted and rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    /// Class names in order of their bytes; each has at least [`MIN_PER_CLASS`] pictures.
    pub classes: Vec<String>,
    /// In order of class, then of path.
    pub images: Vec<ImageRecord>,
    /// In the archive's order.
    pub rejected: Vec<Rejected>,
    /// 64 hexadecimal digits over the class names and each class's set of pictures; independent of file names, of the
    /// kind of archive and of its order, so two uploads of the same labelled pictures have the same one.
    pub content_sha256: String,
}

/// The fewest classes that there is anything to tell apart in.
pub const MIN_CLASSES: usize = 2;

/// The fewest pictures of a class: one to learn from, one to validate on.
pub const MIN_PER_CLASS: usize = 2;
