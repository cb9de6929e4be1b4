//! Serving: published models answer with class probabilities.
//!
//! [`Predictor`] is a cheap, cloneable handle. Pictures are decoded in a bounded pool; one engine thread owns every tensor
//! and batches whatever waits.

mod admission;
mod answer;
mod batching;
mod cache;
mod compute;
mod engine;
mod loader;
mod models;
mod session;
mod telemetry;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use answer::Classified;
pub use session::Session;

use crate::artifact::Manifest;
use crate::vision::picture::{PictureError, PictureLimits};
use admission::Admission;
use answer::Answer;
use engine::{Engine, Event};
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

/// A picture to classify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file of one of the formats that are read.
    Encoded(Bytes),
    /// What the network sees: input side × input side × 3 bytes, row-major RGB.
    Rendered(Bytes),
}

/// How a request wants to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// When the answer is worth nothing any more: it is not computed then.
    pub deadline: Instant,
    /// Whether heat maps are wanted.
    pub explain: bool,
    /// How many of the training pictures that look most like it are wanted.
    pub neighbours: usize,
}

/// Why a picture got no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PredictError {
    /// The house is full.
    #[error("the server is busy: send the request again in a moment")]
    Busy,
    /// The deadline passed before it could be computed.
    #[error("the deadline passed before the answer was there: allow more time, or send fewer pictures at once")]
    TooLate,
    /// The picture can't be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// Pixels that aren't a square of the model's input size.
    #[error("{found} bytes of pixels aren't {side} × {side} × 3: send what the model's metadata says")]
    Pixels {
        /// How many came.
        found: usize,
        /// The model's input side.
        side: u32,
    },
    /// The model can't be loaded.
    #[error("{0}")]
    Model(String),
    /// The engine is stopping or broke down.
    #[error("the prediction engine is not available")]
    Unavailable,
}

impl PredictError {
    /// Its name in metrics.
    const fn code(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::TooLate => "too_late",
            Self::Picture(_) | Self::Pixels { .. } => "unusable_picture",
            Self::Model(_) => "model_unusable",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What the engine may use.
#[derive(Debug, Clone)]
pub struct PredictorSettings {
    /// The backbone's canonical weight file.
    pub backbone: PathBuf,
    /// What decoding refuses.
    pub limits: PictureLimits,
    /// Pictures that may be in the house: admitted and not answered.
    pub queue: usize,
    /// Requests that may be in the house.
    pub callers: usize,
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
    line: Arc<Line>,
    ready: Arc<AtomicBool>,
    manifests: Manifests,
    admission: Admission,
    decoding: Arc<Semaphore>,
    limits: PictureLimits,
    /// Pictures of one caller that are under way at the same time: a batch that is computed, and the next being decoded.
    window: usize,
}

/// The line to the engine: when the last handle goes, the engine is told.
#[derive(Debug)]
struct Line {
    events: Sender<Event>,
}

impl Drop for Line {
    fn drop(&mut self) {
        // The engine may be gone already.
        let _ = self.events.send(Event::Closed);
    }
}

impl Predictor {
    /// Starts the engine thread, which then loads the backbone.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(settings: PredictorSettings) -> std::io::Result<Self> {
        let (events, received) = channel();
        let predictor = Self::on(events.clone(), &settings);
        let ready = Arc::clone(&predictor.ready);
        let engine = move || Engine::run(&settings, &received, events, &ready);
        std::thread::Builder::new().name("engine".to_owned()).spawn(engine)?;
        Ok(predictor)
    }

    fn on(events: Sender<Event>, settings: &PredictorSettings) -> Self {
        Self {
            line: Arc::new(Line { events }),
            ready: Arc::default(),
            manifests: Manifests::default(),
            admission: Admission::new(settings.callers, settings.queue),
            decoding: Arc::new(Semaphore::new(settings.decode_threads.max(1))),
            limits: settings.limits,
            window: settings.max_batch.max(1) * 2,
        }
    }

    /// A handle whose engine is gone, for tests of what lies around it.
    #[cfg(test)]
    pub(crate) fn disconnected() -> Self {
        let settings = PredictorSettings {
            backbone: PathBuf::new(),
            limits: PictureLimits::default(),
            queue: 1,
            callers: 1,
            max_batch: 1,
            decode_threads: 1,
            model_cache_bytes: 0,
        };
        Self::on(channel().0, &settings)
    }

    /// Whether the engine thread runs and holds the backbone.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// What a published version says of itself.
    ///
    /// # Errors
    /// [`PredictError::Model`] if its artifact can't be read.
    pub async fn manifest(&self, model: &ModelRef) -> Result<Arc<Manifest>, PredictError> {
        self.manifests.get(model).await.map_err(PredictError::Model)
    }

    /// Pictures that may be under way for one caller at the same time.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.window
    }

    /// Classifies pictures, each answered for itself, in order; or all of them are [`PredictError::Busy`] at once.
    pub async fn predict(&self, model: &ModelRef, pictures: Vec<Input>, call: Call) -> Vec<Result<Classified, PredictError>> {
        let count = pictures.len();
        let admitted = async {
            let session = self.session(model).await?;
            let places = session.places(count)?;
            Ok::<_, PredictError>((session, places))
        };
        let (session, mut places) = match admitted.await {
            Ok(admitted) => admitted,
            Err(error) => return vec![Err(error); count],
        };
        let (session, call) = (&session, &call);
        // One place a picture; each goes back with its answer.
        let pictures = pictures.into_iter().map(|picture| {
            let place = places.split(1);
            async move {
                let result = session.within(picture, *call).await;
                drop(place);
                result
            }
        });
        stream::iter(pictures.collect::<Vec<_>>()).buffered(self.window).collect().await
    }
}

/// libtorch's refusals say nothing to a caller; the log has them.
fn broken(error: tch::TchError) -> PredictError {
    tracing::error!(%error, "libtorch failed in the prediction engine");
    PredictError::Unavailable
}
