//! What a recipe makes of a data set before anything is computed: the same wherever it is worked out.

use super::sample::{self, Sample};
use super::{TrainingData, TrainingError};
use crate::dataset::ImageRecord;
use crate::dataset::split::{Split, stratified};
use crate::recipe::Recipe;
use crate::vision::layers::UnfreezeFrom;

/// Which pictures a run learns from, and from which layer up.
#[derive(Debug)]
pub struct Scope {
    /// Each picture's class.
    pub labels: Vec<u32>,
    /// Who learns, who validates, who is kept back.
    pub split: Split,
    /// First convolution that learns.
    pub from: UnfreezeFrom,
}

impl Scope {
    /// Divides the pictures.
    ///
    /// # Errors
    /// A class is too small for it.
    pub fn new(recipe: &Recipe, data: &TrainingData) -> Result<Self, TrainingError> {
        let labels: Vec<u32> = data.images.iter().map(|image| image.class).collect();
        // By content, so that a renamed picture stays on its side.
        let keys: Vec<&str> = data.images.iter().map(|image| image.sha256.as_str()).collect();
        let group = |image: &ImageRecord| image.duplicate_group.filter(|_| recipe.group_duplicates);
        let groups: Vec<Option<u32>> = data.images.iter().map(group).collect();
        let split = stratified(&labels, &keys, &groups, recipe.validation_fraction, recipe.test_fraction, recipe.seed)?;
        let from = if recipe.fine_tune.phase.epochs == 0 { UnfreezeFrom::NONE } else { recipe.fine_tune.unfreeze_from };
        Ok(Self { labels, split, from })
    }

    /// Every sample that a run may look at which keeps `views` augmented views, a picture's side by side. Others number a run's samples
    /// by their place here.
    pub fn samples(&self, recipe: &Recipe, views: u32) -> Vec<Sample> {
        let stored = sample::all_stored(&self.split.train, recipe.unaugmented(), views);
        let mut samples: Vec<Sample> = stored.chain(self.evaluated(recipe)).collect();
        samples.sort_unstable();
        samples
    }

    /// Those that a model is judged by.
    pub fn evaluated<'a>(&'a self, recipe: &Recipe) -> impl Iterator<Item = Sample> + 'a {
        let views = sample::evaluated(recipe.test_time_flip);
        sample::seen(&self.split.validation, views).chain(sample::seen(&self.split.test, views))
    }
}
