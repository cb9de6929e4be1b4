//! A data set as training takes it.

use crate::dataset::ImageRecord;
use crate::dataset::pack::Pack;
use crate::vision::picture::{Picture, PictureLimits};
use crate::vision::preprocessing::Preprocessing;

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
    /// Reads a picture and decodes what views at this preprocessing can show of it.
    ///
    /// # Errors
    /// The pack can't be read, or the bytes are no longer the picture that was accepted.
    pub fn picture(&self, image: usize, preprocessing: &Preprocessing) -> Result<Picture, TrainingError> {
        let record = &self.images[image];
        let bytes = self.pack.read(record.offset, record.bytes).map_err(TrainingError::Pack)?;
        let picture = preprocessing.decode(&bytes, &self.limits);
        picture.map_err(|source| TrainingError::Picture { path: record.path.clone(), source })
    }
}
