//! From a sample to its pixels and its key: what needs no tensor.

use super::shelf::RowKey;
use crate::training::sample::Sample;
use crate::training::{TrainingData, TrainingError};
use crate::vision::augmentation::{self, Augmentation};
use crate::vision::picture::Picture;
use crate::vision::preprocessing::Preprocessing;

/// Renders samples of a data set.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    pub data: &'a TrainingData,
    pub preprocessing: Preprocessing,
    pub strengths: Augmentation,
}

impl Renderer<'_> {
    /// Names a sample's row on any shelf.
    pub fn key(&self, sample: Sample) -> RowKey {
        RowKey::new(&self.data.images[sample.image].sha256, &self.strengths.cache_key(sample.view))
    }

    /// Side of the square in pixels.
    pub const fn side(&self) -> usize {
        self.preprocessing.input_size as usize
    }

    /// The sample's pixels, side × side × 3 bytes. `picture` keeps the decoded picture for its next view.
    pub fn render(&self, sample: Sample, picture: &mut Option<Picture>) -> Result<Vec<u8>, TrainingError> {
        let picture = match picture {
            Some(picture) => picture,
            None => picture.insert(self.data.picture(sample.image, &self.preprocessing)?),
        };
        let sha256 = &self.data.images[sample.image].sha256;
        Ok(augmentation::render(picture, sha256, sample.view, &self.preprocessing, &self.strengths))
    }
}
