//! Manifests of published versions, read once: a published version never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::ModelRef;
use crate::artifact::{self, Manifest};

/// A cheap, cloneable cache.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// A plain mutex: held for a look-up or an insertion, never across a read or an await.
    known: Arc<Mutex<HashMap<ModelRef, Arc<Manifest>>>>,
}

impl Manifests {
    /// The manifest of `model`, or why it can't be read.
    pub async fn get(&self, model: &ModelRef) -> Result<Arc<Manifest>, String> {
        if let Some(manifest) = self.lock().get(model) {
            return Ok(Arc::clone(manifest));
        }
        let dir = model.dir.clone();
        let read = tokio::task::spawn_blocking(move || artifact::manifest(&dir)).await;
        let manifest = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let manifest = Arc::new(manifest);
        self.lock().insert(model.clone(), Arc::clone(&manifest));
        Ok(manifest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ModelRef, Arc<Manifest>>> {
        // A panic while it was held can't have left a map half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
