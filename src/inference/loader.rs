//! The thread that brings models into memory, so that no running batch waits for a disk.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tch::Device;

use super::engine::Event;
use super::{ModelRef, PredictError};
use crate::artifact::fit::Ground;
use crate::artifact::{self, Manifest};
use crate::memory;
use crate::training::{neighbours_from_tensors, outliers_from_tensors, tail_from_tensors};
use crate::vision::backbone::Backbone;
use crate::vision::device;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::neighbours::Neighbours;
use crate::vision::outliers::Outliers;
use crate::vision::precision::Precision;
use crate::vision::tail::Tail;
use crate::vision::weights::BodyWeights;

/// A model to load.
pub type Order = (ModelRef, Arc<Manifest>);

/// A model's own layers, ready to answer.
#[derive(Debug)]
pub struct Served {
    pub tail: Tail,
    pub outliers: Option<Outliers>,
    pub neighbours: Option<Neighbours>,
    pub bytes: usize,
}

/// A model that came, and the backbone in its precision if nobody had asked for that before.
#[derive(Debug)]
pub struct Loaded {
    pub served: Served,
    pub backbone: Option<Backbone>,
}

/// What the loader knows of the machine.
#[derive(Debug)]
pub struct Loader {
    backbone: PathBuf,
    device: Device,
    ground: Ground,
    /// What the engine has a backbone for.
    prepared: HashSet<Precision>,
}

impl Loader {
    /// A loader beside an engine that has `body` in `precision`.
    pub fn new(path: &Path, body: &BodyWeights, precision: Precision, device: Device) -> Self {
        Self { backbone: path.to_owned(), device, ground: Ground::of(body), prepared: HashSet::from([precision]) }
    }

    /// Loads what is ordered on a thread of its own, until nobody can order any more.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(mut self, events: Sender<Event>) -> std::io::Result<Sender<Order>> {
        let (orders, ordered): (Sender<Order>, Receiver<Order>) = channel();
        std::thread::Builder::new().name("loader".to_owned()).spawn(move || {
            // One core: the others belong to the batch that is being computed.
            device::set_threads(Some(1));
            for (model, manifest) in ordered {
                // libtorch reports some failures by panicking through its binding: one model fails, the loader goes on.
                let loaded = catch_unwind(AssertUnwindSafe(|| self.load(&model, &manifest)));
                let loaded = loaded.unwrap_or(Err(PredictError::Unavailable));
                memory::give_back();
                if events.send(Event::Loaded(model, loaded)).is_err() {
                    break;
                }
            }
        })?;
        Ok(orders)
    }

    fn load(&mut self, model: &ModelRef, manifest: &Manifest) -> Result<Box<Loaded>, PredictError> {
        let unusable = |reason: String| PredictError::Model(format!("{} version {}: {reason}", model.name, model.version));
        self.ground.carries(manifest).map_err(|misfit| unusable(misfit.to_string()))?;
        let tensors = artifact::tensors(&model.dir, manifest).map_err(|error| unusable(error.to_string()))?;
        let outliers = outliers_from_tensors(&tensors, manifest.classes.len()).map_err(unusable)?;
        let neighbours = neighbours_from_tensors(&tensors, manifest.classes.len()).map_err(unusable)?;
        let tail = tail_from_tensors(tensors, manifest.unfreeze_from, self.device).map_err(unusable)?;
        if tail.head.classes() != manifest.classes.len() {
            return Err(unusable(format!("{} logits for {} classes", tail.head.classes(), manifest.classes.len())));
        }
        let tail = tail.prepared(manifest.precision).map_err(super::broken)?;
        let backbone = self.backbone(manifest.precision)?;
        let bytes = tail.bytes() + neighbours.as_ref().map_or(0, Neighbours::bytes);
        Ok(Box::new(Loaded { served: Served { tail, outliers, neighbours, bytes }, backbone }))
    }

    /// The backbone in `precision`, the first time that it is asked for.
    fn backbone(&mut self, precision: Precision) -> Result<Option<Backbone>, PredictError> {
        if self.prepared.contains(&precision) {
            return Ok(None);
        }
        let body = BodyWeights::load(&self.backbone).map_err(|error| PredictError::Model(error.to_string()))?;
        let backbone = Backbone::new(&body, precision, self.device, UnfreezeFrom::NONE).map_err(super::broken)?;
        self.prepared.insert(precision);
        Ok(Some(backbone))
    }
}
