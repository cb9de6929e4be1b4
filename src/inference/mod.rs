//! Serving: published models answer with class probabilities.
//!
//! [`Predictor`] is a cheap, cloneable handle. Pictures are decoded in a bounded pool; one engine thread owns every tensor
//! and batches whatever waits.

mod batching;
mod cache;
mod engine;
mod models;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::artifact::Manifest;
use crate::vision::augmentation::evaluation_views;
use crate::vision::picture::{self, PictureError, PictureLimits};
use engine::{Engine, Request};
use models::Manifests;

/// Which published version, and where its artifact lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// Its artifact's folder.
    pub dir: PathBuf,
}

/// What a model says of one picture.
#[derive(Debug, Clone)]
pub struct Classified {
    /// Class names, in the order of `probabilities`.
    pub classes: Arc<[String]>,
    /// Softmax over the classes; adds up to 1.
    pub probabilities: Vec<f32>,
}

impl Classified {
    /// The `k` most probable classes, most probable first.
    #[must_use]
    pub fn top(&self, k: usize) -> Vec<(&str, f32)> {
        let mut ranked: Vec<_> = self.classes.iter().map(String::as_str).zip(self.probabilities.iter().copied()).collect();
        // A stable sort: classes that are equally probable keep the model's order.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(k);
        ranked
    }
}

/// Why a picture got no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PredictError {
    /// The queue is full.
    #[error("the server is busy: send the request again in a moment")]
    Busy,
    /// The picture can't be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The model can't be loaded.
    #[error("{0}")]
    Model(String),
    /// The engine is stopping or broke down.
    #[error("the prediction engine is not available")]
    Unavailable,
}

/// What the engine may use.
#[derive(Debug, Clone)]
pub struct PredictorSettings {
    /// The backbone's canonical weight file.
    pub backbone: PathBuf,
    /// What decoding refuses.
    pub limits: PictureLimits,
    /// Pictures that may wait for the engine.
    pub queue: usize,
    /// Most pictures in one forward pass.
    pub max_batch: usize,
    /// Pictures decoded at once.
    pub decode_threads: usize,
    /// Bytes of model tails kept loaded.
    pub model_cache_bytes: usize,
}

/// A handle on the engine.
#[derive(Debug, Clone)]
pub struct Predictor {
    requests: mpsc::Sender<Request>,
    ready: Arc<AtomicBool>,
    manifests: Manifests,
    decoding: Arc<Semaphore>,
    limits: PictureLimits,
}

impl Predictor {
    /// Starts the engine thread, which then loads the backbone.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(settings: PredictorSettings) -> std::io::Result<Self> {
        let (requests, receiver) = mpsc::channel(settings.queue.max(1));
        let ready = Arc::new(AtomicBool::new(false));
        let predictor = Self {
            requests,
            ready: Arc::clone(&ready),
            manifests: Manifests::default(),
            decoding: Arc::new(Semaphore::new(settings.decode_threads.max(1))),
            limits: settings.limits,
        };
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || Engine::run(settings, receiver, &ready))?;
        Ok(predictor)
    }

    /// A handle whose engine is gone, for tests of what lies around it.
    #[cfg(test)]
    pub(crate) fn disconnected() -> Self {
        let (requests, _) = mpsc::channel(1);
        Self {
            requests,
            ready: Arc::default(),
            manifests: Manifests::default(),
            decoding: Arc::new(Semaphore::new(1)),
            limits: PictureLimits::default(),
        }
    }

    /// Whether the engine thread runs and holds the backbone.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Classifies pictures, each answered for itself, in order.
    pub async fn predict(&self, model: &ModelRef, pictures: Vec<Bytes>) -> Vec<Result<Classified, PredictError>> {
        let manifest = match self.manifests.get(model).await {
            Ok(manifest) => manifest,
            Err(reason) => return pictures.iter().map(|_| Err(PredictError::Model(reason.clone()))).collect(),
        };
        let classes: Arc<[String]> = manifest.classes.as_slice().into();
        join_all(pictures.into_iter().map(|picture| self.classify(model, &manifest, &classes, picture))).await
    }

    async fn classify(
        &self,
        model: &ModelRef,
        manifest: &Arc<Manifest>,
        classes: &Arc<[String]>,
        picture: Bytes,
    ) -> Result<Classified, PredictError> {
        let pixels = self.pixels(manifest, picture).await?;
        let (reply, answer) = oneshot::channel();
        let request = Request { model: model.clone(), manifest: Arc::clone(manifest), pixels, reply };
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PredictError::Busy,
            mpsc::error::TrySendError::Closed(_) => PredictError::Unavailable,
        })?;
        let probabilities = answer.await.map_err(|_| PredictError::Unavailable)??;
        Ok(Classified { classes: Arc::clone(classes), probabilities })
    }

    /// Decodes and renders a picture as training's evaluation view did, in the bounded pool.
    async fn pixels(&self, manifest: &Manifest, picture: Bytes) -> Result<Vec<u8>, PredictError> {
        let permit = Arc::clone(&self.decoding).acquire_owned().await.map_err(|_| PredictError::Unavailable)?;
        let (preprocessing, limits, flip) = (manifest.preprocessing, self.limits, manifest.recipe.test_time_flip);
        let render = move || {
            // Held until the pixels are there: a request that goes away doesn't free a core that is still busy.
            let _permit = permit;
            picture::decode(&picture, &limits).map(|picture| evaluation_views(&picture, &preprocessing, flip))
        };
        Ok(tokio::task::spawn_blocking(render).await.map_err(|_| PredictError::Unavailable)??)
    }
}
