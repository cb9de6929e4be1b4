//! What a worker works with, whatever it does.

use std::sync::Arc;

use tokio::runtime::Handle;
use uuid::Uuid;

use super::exchange::Bucket;
use super::execute::ExecuteError;
use crate::config::Settings;
use crate::dataset::pack::Pack;
use crate::recipe::Recipe;
use crate::storage::Storage;
use crate::store::{Dataset, Store};
use crate::training::{Helpers, Plan, TrainingData, TrainingError};
use crate::vision::weights::BodyWeights;

/// Settings, database, storage and weights; a copy is cheap. What waits for the database or the storage here is for threads that may block.
#[derive(Clone)]
pub struct Context {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub storage: Storage,
    /// To wait from a thread that may block.
    pub runtime: Handle,
    pub body: Arc<BodyWeights>,
}

impl Context {
    /// A ready data set, fetched and opened.
    ///
    /// # Errors
    /// It is gone, or can't be had or read.
    pub fn training_data(&self, dataset: Uuid) -> Result<(Dataset, TrainingData), ExecuteError> {
        let Self { settings, store, storage, runtime, .. } = self;
        let images = runtime.block_on(store.all_images(dataset))?;
        let dataset = runtime.block_on(store.dataset(&dataset.to_string()))?;
        let path = settings.pack(dataset.id);
        // Held until it is open; then it stays readable, even if it has to make room.
        let _fetched = match storage.is_remote() {
            true => Some(runtime.block_on(storage.fetch(&path))?),
            false => None,
        };
        let data = TrainingData {
            classes: dataset.classes.iter().map(|class| class.name.clone()).collect(),
            images,
            content_sha256: dataset.content_sha256.clone().unwrap_or_default(),
            pack: Pack::open(&path).map_err(TrainingError::Pack)?,
            limits: settings.picture_limits(),
        };
        Ok((dataset, data))
    }

    /// Where features of all machines are.
    pub fn bucket(&self) -> Bucket<'_> {
        Bucket::new(&self.settings, &self.storage, &self.runtime)
    }

    /// What a recipe means here.
    pub fn plan<'a>(&'a self, recipe: Recipe, bucket: &'a Bucket<'_>, helpers: Option<&'a dyn Helpers>) -> Plan<'a> {
        Plan {
            recipe,
            body: &self.body,
            features_dir: self.settings.features_dir(),
            feature_cache_bytes: self.settings.feature_cache_bytes,
            exchange: bucket.shared(),
            helpers,
        }
    }
}
