//! The thread that owns every tensor.
//!
//! A turn: (1) wait for a request; (2) take what else waits, up to a batch; (3) let the policy form a batch of requests
//! that share a frozen prefix; (4) run the prefix once for all of them; (5) run each model's own layers on its own rows;
//! (6) answer. Batches form while the device is busy: there is no timer.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Tensor};
use tokio::sync::{mpsc, oneshot};

use super::batching::{Waiting, next_batch};
use super::cache::ByteCache;
use super::{ModelRef, PredictError, PredictorSettings};
use crate::artifact::{self, Manifest};
use crate::training::tail_from_tensors;
use crate::vision::backbone::Backbone;
use crate::vision::device;
use crate::vision::int8::Profile;
use crate::vision::precision::{Precision, PrecisionChoice};
use crate::vision::tail::Tail;
use crate::vision::weights::BodyWeights;

/// A rendered picture on its way to the engine.
#[derive(Debug)]
pub struct Request {
    pub model: ModelRef,
    pub manifest: Arc<Manifest>,
    /// The picture's views, one after another, each side × side × 3 bytes, row-major RGB. The answer is the mean over them.
    pub pixels: Vec<u8>,
    pub reply: oneshot::Sender<Result<Vec<f32>, PredictError>>,
}

/// What decides whether two requests can share a pass through the prefix.
type Group = (Precision, usize, u32);

impl Request {
    fn group(&self) -> Group {
        let manifest = &self.manifest;
        (manifest.precision, manifest.unfreeze_from.frozen(), manifest.preprocessing.input_size)
    }

    /// How many views it brings.
    fn views(&self) -> usize {
        let side = self.manifest.preprocessing.input_size as usize;
        self.pixels.len() / (side * side * 3)
    }
}

/// The engine's state.
pub struct Engine {
    settings: PredictorSettings,
    device: Device,
    /// SHA-256 of the loaded body.
    body_sha256: String,
    /// Names its 8-bit scales, if it has any.
    scales: Option<&'static str>,
    /// The body, prepared for each precision that a served model needs.
    backbones: HashMap<Precision, Backbone>,
    tails: ByteCache<ModelRef, Tail>,
}

impl Engine {
    /// Loads the backbone and serves until every handle is gone.
    pub fn run(settings: PredictorSettings, mut requests: mpsc::Receiver<Request>, ready: &AtomicBool) {
        let max_batch = settings.max_batch.max(1);
        let mut engine = match Self::load(settings) {
            Ok(engine) => engine,
            Err(error) => return tracing::error!(%error, "the prediction engine can't start"),
        };
        ready.store(true, Ordering::Release);
        let mut queue = VecDeque::new();
        loop {
            if queue.is_empty() {
                match requests.blocking_recv() {
                    Some(request) => queue.push_back(request),
                    None => break,
                }
            }
            while queue.len() < max_batch
                && let Ok(request) = requests.try_recv()
            {
                queue.push_back(request);
            }
            engine.turn(&mut queue, max_batch);
        }
        ready.store(false, Ordering::Release);
    }

    fn load(settings: PredictorSettings) -> Result<Self, String> {
        let device = device::device();
        let body = BodyWeights::load(&settings.backbone).map_err(|error| error.to_string())?;
        let precision = device::resolve(PrecisionChoice::Auto, device, Profile::of(&body).is_some());
        let backbone = Backbone::new(&body, precision, device).map_err(|error| error.to_string())?;
        let backbones = HashMap::from([(precision, backbone)]);
        tracing::info!(?device, ?precision, backbone = body.backbone_id(), "prediction engine ready");
        let tails = ByteCache::new(settings.model_cache_bytes);
        let scales = Profile::of(&body).map(|profile| profile.id());
        Ok(Self { settings, device, body_sha256: body.sha256(), scales, backbones, tails })
    }

    /// Computes one batch from the queue.
    fn turn(&mut self, queue: &mut VecDeque<Request>, max_batch: usize) {
        let waiting: Vec<_> =
            queue.iter().map(|request| Waiting { group: request.group(), closed: request.reply.is_closed() }).collect();
        let batch = next_batch(&waiting, max_batch);
        let mut taken = Vec::with_capacity(batch.take.len());
        for (place, request) in std::mem::take(queue).into_iter().enumerate() {
            if batch.take.contains(&place) {
                taken.push(request);
            } else if !batch.drop.contains(&place) {
                queue.push_back(request);
            }
        }
        if taken.is_empty() {
            return;
        }
        // libtorch reports some failures by panicking through its binding: the batch fails, the engine goes on.
        let answers = catch_unwind(AssertUnwindSafe(|| self.compute(&taken))).unwrap_or_else(|_| {
            tracing::error!(pictures = taken.len(), "a batch panicked");
            taken.iter().map(|_| Err(PredictError::Unavailable)).collect()
        });
        for (request, answer) in taken.into_iter().zip(answers) {
            // Nobody may be waiting any more; then there is nobody to tell.
            let _ = request.reply.send(answer);
        }
    }

    /// One pass through the shared prefix, then each model's own layers for its own rows.
    fn compute(&mut self, requests: &[Request]) -> Vec<Result<Vec<f32>, PredictError>> {
        let mut answers: Vec<Result<Vec<f32>, PredictError>> =
            requests.iter().map(|_| Err(PredictError::Unavailable)).collect();
        let activations = match self.prefix(requests) {
            Ok(activations) => activations,
            Err(error) => return requests.iter().map(|_| Err(error.clone())).collect(),
        };
        // A request's views lie side by side; a model's requests all have as many.
        let mut models: HashMap<&ModelRef, (Vec<usize>, Vec<i64>)> = HashMap::new();
        let mut row = 0i64;
        for (place, request) in requests.iter().enumerate() {
            let (places, rows) = models.entry(&request.model).or_default();
            places.push(place);
            let views = request.views() as i64;
            rows.extend(row..row + views);
            row += views;
        }
        for (places, rows) in models.values() {
            match self.tail(&requests[places[0]], &activations, rows) {
                Ok(probabilities) => places.iter().zip(probabilities).for_each(|(&place, p)| answers[place] = Ok(p)),
                Err(error) => places.iter().for_each(|&place| answers[place] = Err(error.clone())),
            }
        }
        answers
    }

    fn prefix(&mut self, requests: &[Request]) -> Result<Tensor, PredictError> {
        let (precision, frozen, side) = requests[0].group();
        let pixels = requests.iter().map(|request| request.pixels.as_slice()).collect::<Vec<_>>().concat();
        let backbone = self.backbone(precision)?;
        let compute = || {
            let x = backbone.frozen(&backbone.pixels(&pixels, side as usize)?, 0, frozen)?;
            backbone.handed_over(&x, frozen)
        };
        compute().map_err(broken)
    }

    fn backbone(&mut self, precision: Precision) -> Result<&Backbone, PredictError> {
        match self.backbones.entry(precision) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let body =
                    BodyWeights::load(&self.settings.backbone).map_err(|error| PredictError::Model(error.to_string()))?;
                Ok(entry.insert(Backbone::new(&body, precision, self.device).map_err(broken)?))
            }
        }
    }

    /// The answers to requests of one model, like `request`, whose views are these rows.
    fn tail(&mut self, request: &Request, activations: &Tensor, rows: &[i64]) -> Result<Vec<Vec<f32>>, PredictError> {
        if self.tails.get(&request.model).is_none() {
            let tail = self.load_tail(request)?;
            let bytes = tail.bytes();
            self.tails.insert(request.model.clone(), tail, bytes);
        }
        // Just put in, if it wasn't there.
        let tail = self.tails.get(&request.model).ok_or(PredictError::Unavailable)?;
        let probabilities = || {
            let x = if rows.len() as i64 == activations.size()[0] {
                activations.shallow_clone()
            } else {
                activations.f_index_select(0, &Tensor::f_from_slice(rows)?.f_to_device(activations.device())?)?
            };
            Vec::<Vec<f32>>::try_from(&tail.view_probabilities(&x, request.views() as i64)?)
        };
        probabilities().map_err(broken)
    }

    fn load_tail(&self, request: &Request) -> Result<Tail, PredictError> {
        let (manifest, model) = (&request.manifest, &request.model);
        let unusable = |reason: String| PredictError::Model(format!("{} version {}: {reason}", model.name, model.version));
        if manifest.backbone.sha256 != self.body_sha256 {
            return Err(unusable(format!("it was trained on the backbone {}, which isn't the one here", manifest.backbone.id)));
        }
        let scales = manifest.backbone.scales.as_deref();
        if manifest.precision.is_int8() && scales != Some(self.scales.unwrap_or_default()) {
            return Err(unusable(format!("its 8-bit scales are {scales:?} and this version's {:?}", self.scales)));
        }
        let tensors = artifact::tensors(&model.dir, manifest).map_err(|error| unusable(error.to_string()))?;
        let tail = tail_from_tensors(tensors, manifest.unfreeze_from, self.device).map_err(unusable)?;
        if tail.head.classes() != manifest.classes.len() {
            return Err(unusable(format!("{} logits for {} classes", tail.head.classes(), manifest.classes.len())));
        }
        tail.prepared(manifest.precision).map_err(broken)
    }
}

/// libtorch's refusals say nothing to a caller; the log has them.
fn broken(error: tch::TchError) -> PredictError {
    tracing::error!(%error, "libtorch failed in the prediction engine");
    PredictError::Unavailable
}
