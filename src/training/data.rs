//! A data set as training takes it.

use crate::dataset::ImageRecord;
use crate::dataset::pack::Pack;
use crate::vision::picture::{self, Picture, PictureLimits};

use super::TrainingError;

/// A ready data set.
#[derive(Debug)]
pub struct TrainingData {
    /// Class names, sorted.
    pub classes: Vec<String>,
    /// Pictures in the data set's order; a picture's number is its place here.
    pub images: Vec<ImageRecord>,
    /// SHA-256 of the content: names the features.
    pub content_sha256: String,
    /// The pictures' bytes.
    pub pack: Pack,
    /// What decoding refuses.
    pub limits: PictureLimits,
}

impl TrainingData {
    /// Reads and decodes a picture.
    ///
    /// # Errors
    /// The pack can't be read, or the bytes are no longer the picture that was accepted.
    pub fn picture(&self, image: usize) -> Result<Picture, TrainingError> {
        let record = &self.images[image];
        let bytes = self.pack.read(record.offset, record.bytes).map_err(TrainingError::Pack)?;
        picture::decode(&bytes, &self.limits).map_err(|source| TrainingError::Picture { path: record.path.clone(), source })
    }
}
