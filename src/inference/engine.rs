//! The thread that owns every tensor.
//!
//! A turn: (1) wait for an event, a request or a model that was loaded; (2) take what else waits; (3) order the models that
//! are missing from the loader; (4) let the policy form a batch of pictures that share a frozen prefix; (5) compute it
//! ([`super::compute`]); (6) answer. Batches form while the device is busy: there is no timer.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::batching::{Waiting, next_batch};
use super::cache::ByteCache;
use super::compute::{self, Seat};
use super::loader::{Loaded, Loader, Order, Served};
use super::telemetry;
use super::{Answer, ModelRef, PredictError, PredictorSettings};
use crate::artifact::Manifest;
use crate::vision::backbone::Backbone;
use crate::vision::device;
use crate::vision::int8::Profile;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::{Precision, PrecisionChoice};
use crate::vision::weights::BodyWeights;

/// A rendered picture on its way to the engine.
#[derive(Debug)]
pub struct Request {
    pub model: ModelRef,
    pub manifest: Arc<Manifest>,
    /// Tells one caller's pictures from another's.
    pub caller: u64,
    /// The picture's views, one after another, each side × side × 3 bytes, row-major RGB. The answer is the mean over them.
    pub pixels: Vec<u8>,
    /// Whether a heat map is wanted.
    pub explain: bool,
    /// How many neighbours are wanted.
    pub neighbours: usize,
    /// When the answer is worth nothing any more.
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<Answer, PredictError>>,
}

/// What wakes the engine.
#[derive(Debug)]
pub enum Event {
    Request(Request),
    Loaded(ModelRef, Result<Box<Loaded>, PredictError>),
    /// Every handle on the predictor is gone.
    Closed,
}

/// What decides whether two requests can share a pass through the prefix.
pub type Group = (Precision, usize, u32);

impl Request {
    pub fn group(&self) -> Group {
        let manifest = &self.manifest;
        (manifest.precision, manifest.unfreeze_from.frozen(), manifest.preprocessing.input_size)
    }

    /// How many views it brings.
    pub fn views(&self) -> usize {
        let side = self.manifest.preprocessing.input_size as usize;
        self.pixels.len() / (side * side * 3)
    }
}

/// A request in the queue, with its model's own layers once they are there: eviction can't take them from it any more.
struct Queued {
    request: Request,
    served: Option<Rc<Served>>,
}

/// The engine's state.
pub struct Engine {
    max_batch: usize,
    /// The body, prepared for each precision that a served model needs.
    backbones: HashMap<Precision, Backbone>,
    models: ByteCache<ModelRef, Rc<Served>>,
    loading: HashSet<ModelRef>,
    orders: Sender<Order>,
    queue: Vec<Queued>,
    /// Whether anybody may still send a request.
    open: bool,
}

impl Engine {
    /// Loads the backbone and serves until every handle is gone. The loader answers through `to_self`.
    pub fn run(settings: &PredictorSettings, events: &Receiver<Event>, to_self: Sender<Event>, ready: &AtomicBool) {
        let mut engine = match Self::load(settings, to_self) {
            Ok(engine) => engine,
            Err(error) => return tracing::error!(%error, "the prediction engine can't start"),
        };
        let _ready = Ready::on(ready);
        while engine.open {
            if !engine.can_compute() {
                // An error means that nobody is left to send anything: so closed.
                engine.note(events.recv().unwrap_or(Event::Closed));
            }
            events.try_iter().for_each(|event| engine.note(event));
            engine.turn();
        }
    }

    fn load(settings: &PredictorSettings, to_self: Sender<Event>) -> Result<Self, String> {
        let device = device::device();
        let body = BodyWeights::load(&settings.backbone).map_err(|error| error.to_string())?;
        let precision = device::resolve(PrecisionChoice::Auto, device, Profile::of(&body).is_some());
        let backbone = Backbone::new(&body, precision, device, UnfreezeFrom::NONE).map_err(|error| error.to_string())?;
        let loader = Loader::new(&settings.backbone, &body, precision, device);
        let orders = loader.start(to_self).map_err(|error| error.to_string())?;
        tracing::info!(?device, ?precision, backbone = body.backbone_id(), "prediction engine ready");
        Ok(Self {
            max_batch: settings.max_batch.max(1),
            backbones: HashMap::from([(precision, backbone)]),
            models: ByteCache::new(settings.model_cache_bytes),
            loading: HashSet::new(),
            orders,
            queue: Vec::new(),
            open: true,
        })
    }

    /// Whether there is a picture that waits for nothing but the device.
    fn can_compute(&self) -> bool {
        self.queue.iter().any(|queued| queued.served.is_some())
    }

    /// Takes an event in.
    fn note(&mut self, event: Event) {
        match event {
            Event::Closed => self.open = false,
            Event::Request(request) => {
                let served = self.models.get(&request.model).cloned();
                let (model, manifest) = (request.model.clone(), Arc::clone(&request.manifest));
                let wanted = served.is_none() && self.loading.insert(model.clone());
                self.queue.push(Queued { request, served });
                if wanted && self.orders.send((model.clone(), manifest)).is_err() {
                    self.loading.remove(&model);
                    self.failed(&model, &PredictError::Unavailable);
                }
            }
            Event::Loaded(model, loaded) => {
                self.loading.remove(&model);
                telemetry::loaded(loaded.is_ok());
                match loaded {
                    Ok(loaded) => self.arrived(model, loaded),
                    Err(error) => self.failed(&model, &error),
                }
            }
        }
    }

    fn arrived(&mut self, model: ModelRef, loaded: Box<Loaded>) {
        let Loaded { served, backbone } = *loaded;
        if let Some(backbone) = backbone {
            self.backbones.insert(backbone.precision(), backbone);
        }
        let served = Rc::new(served);
        for queued in self.queue.iter_mut().filter(|queued| queued.request.model == model) {
            queued.served = Some(Rc::clone(&served));
        }
        let bytes = served.bytes;
        let evicted = self.models.insert(model, served, bytes);
        telemetry::cached(self.models.used(), evicted);
    }

    fn failed(&mut self, model: &ModelRef, error: &PredictError) {
        tracing::error!(model = model.name, version = model.version, %error, "a model can't be loaded");
        for queued in self.queue.extract_if(.., |queued| queued.request.model == *model) {
            telemetry::dequeued(1);
            // Nobody may be waiting any more; then there is nobody to tell.
            let _ = queued.request.reply.send(Err(error.clone()));
        }
    }

    /// Computes one batch from the queue.
    fn turn(&mut self) {
        let now = Instant::now();
        let waiting: Vec<_> = self
            .queue
            .iter()
            .map(|Queued { request, served }| Waiting {
                group: request.group(),
                model: &request.model,
                caller: request.caller,
                ready: served.is_some(),
                closed: request.reply.is_closed() || request.deadline <= now,
            })
            .collect();
        let batch = next_batch(&waiting, self.max_batch);
        telemetry::dequeued(batch.take.len() + batch.drop.len());
        let mut places: Vec<Option<Queued>> = std::mem::take(&mut self.queue).into_iter().map(Some).collect();
        let seats: Vec<Seat> = batch.take.iter().filter_map(|&place| places[place].take()).filter_map(Queued::seated).collect();
        for dropped in batch.drop.iter().filter_map(|&place| places[place].take()) {
            let _ = dropped.request.reply.send(Err(PredictError::TooLate));
        }
        self.queue = places.into_iter().flatten().collect();
        if seats.is_empty() {
            return;
        }
        // libtorch reports some failures by panicking through its binding: the batch fails, the engine goes on.
        let answers = catch_unwind(AssertUnwindSafe(|| compute::batch(&self.backbones, &seats))).unwrap_or_else(|_| {
            tracing::error!(pictures = seats.len(), "a batch panicked");
            seats.iter().map(|_| Err(PredictError::Unavailable)).collect()
        });
        for (seat, answer) in seats.into_iter().zip(answers) {
            let _ = seat.request.reply.send(answer);
        }
    }
}

/// Says that the engine runs, until it ends or breaks down.
struct Ready<'a>(&'a AtomicBool);

impl<'a> Ready<'a> {
    fn on(ready: &'a AtomicBool) -> Self {
        ready.store(true, Ordering::Release);
        Self(ready)
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Queued {
    fn seated(self) -> Option<Seat> {
        Some(Seat { served: self.served?, request: self.request })
    }
}
