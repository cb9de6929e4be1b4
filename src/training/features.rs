//! Bottleneck features: activations at a layer whose input never changes, computed once for each picture view, kept on
//! disk, reused every epoch and by every later run on the same pictures.
//!
//! One folder a data set's content, one file a level of it. A file holds a row a picture, ordered by class and hash (two
//! data sets of the same content may name their pictures differently), in the precision's own bytes, height × width ×
//! channels: exactly what the next layer takes. It is written beside, synced and renamed, so a file that is there is whole.
//! Rows are read as they are needed: memory doesn't grow with the data set.

mod extract;
mod file;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use file::Features;

use super::progress::Reporter;
use super::{Plan, TrainingData, TrainingError};
use crate::vision::backbone::Backbone;
use crate::vision::layers::UnfreezeFrom;
use file::Layout;

/// The evaluation view: no augmentation. Augmented views get the numbers from 1 up.
const EVALUATION_VIEW: u32 = 0;

/// The features of one data set under one backbone.
pub struct FeatureStore<'a> {
    data: &'a TrainingData,
    backbone: &'a Backbone,
    plan: &'a Plan<'a>,
    dir: PathBuf,
    /// Pictures in the order of the rows.
    order: Vec<usize>,
    /// Each picture's row.
    rows: Arc<[usize]>,
}

impl<'a> FeatureStore<'a> {
    /// The store of a run; touches no file.
    pub fn new(plan: &'a Plan<'a>, data: &'a TrainingData, backbone: &'a Backbone) -> Self {
        let mut order: Vec<usize> = (0..data.images.len()).collect();
        // Unique: ingestion accepts the same bytes once a class.
        order.sort_by_key(|&image| (data.images[image].class, &data.images[image].sha256));
        let mut rows = vec![0; order.len()];
        order.iter().enumerate().for_each(|(row, &image)| rows[image] = row);
        Self { data, backbone, plan, dir: plan.features_dir.join(&data.content_sha256), order, rows: rows.into() }
    }

    /// Opens the features at each of `levels`, computing those that aren't there, from pictures or from the highest level
    /// below them that is.
    pub fn ensure(
        &self,
        levels: &[UnfreezeFrom],
        reporter: &mut Reporter<'_>,
        stop: &AtomicBool,
    ) -> Result<BTreeMap<UnfreezeFrom, Features>, TrainingError> {
        fs::create_dir_all(&self.dir).map_err(|source| TrainingError::Features { path: self.dir.clone(), source })?;
        let mut open = BTreeMap::new();
        let mut missing = Vec::new();
        for &level in levels {
            match Features::open(&self.path(level), self.layout(level))? {
                Some(features) => drop(open.insert(level, features)),
                None => missing.push(level),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if let Some(&lowest) = missing.first() {
            let source = open.range(..lowest).next_back().map(|(level, features)| (*level, features));
            let made = self.extract(source, &missing, reporter, stop)?;
            open.extend(made);
        }
        Ok(open)
    }

    fn layout(&self, level: UnfreezeFrom) -> Layout {
        let shape = level.boundary_shape(self.plan.preprocessing.input_size as usize);
        Layout::new(Arc::clone(&self.rows), shape, self.backbone.precision())
    }

    /// Named by everything that decides its bytes but the pictures, which name the folder.
    fn path(&self, level: UnfreezeFrom) -> PathBuf {
        let precision = match self.backbone.precision() {
            crate::vision::precision::Precision::F32 => "f32",
            crate::vision::precision::Precision::Bf16 => "bf16",
        };
        let (body, pixels) = (self.plan.body.sha256(), self.plan.preprocessing.cache_key());
        let body = body.get(..16).unwrap_or(&body);
        self.dir.join(format!("{body}-{pixels}-view{EVALUATION_VIEW}-{}-{precision}.features", level.boundary()))
    }
}
