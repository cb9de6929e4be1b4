//! A caller's pictures on their way: decoded in the bounded pool, computed by the engine.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::admission::Caller;
use super::engine::{Event, Request};
use super::{Answer, Call, Classified, Input, ModelRef, PredictError, Predictor, telemetry};
use crate::artifact::Manifest;
use crate::report::tempered;
use crate::vision::augmentation::{evaluation_views, with_mirror_image};

/// A caller that was let in, asking one model. Others wait while it is there: so many there may be.
#[derive(Debug)]
pub struct Session {
    predictor: Predictor,
    caller: Caller,
    model: ModelRef,
    manifest: Arc<Manifest>,
    classes: Arc<[String]>,
}

impl Predictor {
    /// Lets a caller in that asks `model`.
    ///
    /// # Errors
    /// [`PredictError::Busy`] when there are as many as may be; [`PredictError::Model`] if the artifact can't be read.
    pub async fn session(&self, model: &ModelRef) -> Result<Session, PredictError> {
        let caller = self.admission.enter()?;
        let manifest = self.manifest(model).await?;
        let classes = manifest.classes.as_slice().into();
        Ok(Session { predictor: self.clone(), caller, model: model.clone(), manifest, classes })
    }

    /// Whether a caller would be let in now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.admission.enter().is_ok()
    }
}

impl Session {
    /// Places for so many pictures, or [`PredictError::Busy`].
    pub(super) fn places(&self, count: usize) -> Result<OwnedSemaphorePermit, PredictError> {
        self.caller.places(count)
    }

    /// Classifies one of many pictures: waits for a place as long as it takes, and then no longer than the deadline allows.
    ///
    /// # Errors
    /// The picture's, the model's, the engine's.
    pub async fn one_of_many(&self, picture: Input, call: impl FnOnce() -> Call) -> Result<Classified, PredictError> {
        let _place = self.caller.place().await?;
        self.within(picture, call()).await
    }

    /// Classifies a picture that has a place.
    pub(super) async fn within(&self, picture: Input, call: Call) -> Result<Classified, PredictError> {
        let began = Instant::now();
        let span = tracing::debug_span!("classify", model = self.model.name, version = self.model.version);
        let classified = self.classified(picture, call).instrument(span);
        let result = timeout_at(call.deadline, classified).await.unwrap_or(Err(PredictError::TooLate));
        telemetry::answered(&self.model, &result, began.elapsed());
        result
    }

    async fn classified(&self, picture: Input, call: Call) -> Result<Classified, PredictError> {
        let pixels = self.pixels(picture).await?;
        tracing::debug!(bytes = pixels.len(), "decoded");
        let (reply, answer) = oneshot::channel();
        let request = Request {
            model: self.model.clone(),
            manifest: Arc::clone(&self.manifest),
            caller: self.caller.id(),
            pixels,
            explain: call.explain,
            neighbours: call.neighbours,
            deadline: call.deadline,
            reply,
        };
        let sent = self.predictor.line.events.send(Event::Request(request));
        sent.map_err(|_| PredictError::Unavailable)?;
        telemetry::queued();
        let answer = answer.await.map_err(|_| PredictError::Unavailable)??;
        tracing::debug!("computed");
        let Answer { probabilities: raw, outlier_score, neighbours, heat_map } = answer;
        let probabilities = tempered(&raw, self.manifest.temperature);
        Ok(Classified { classes: Arc::clone(&self.classes), probabilities, raw, outlier_score, neighbours, heat_map })
    }

    /// Decodes and renders a picture as training's evaluation view did, in the bounded pool.
    async fn pixels(&self, picture: Input) -> Result<Vec<u8>, PredictError> {
        let permit = Arc::clone(&self.predictor.decoding).acquire_owned().await.map_err(|_| PredictError::Unavailable)?;
        let (preprocessing, limits) = (self.manifest.preprocessing, self.predictor.limits);
        let flip = self.manifest.recipe.test_time_flip;
        let render = move || {
            // Held until the pixels are there: a request that goes away doesn't free a core that is still busy.
            let _permit = permit;
            let began = Instant::now();
            let side = preprocessing.input_size;
            let views = match picture {
                Input::Encoded(bytes) => evaluation_views(&preprocessing.decode(&bytes, &limits)?, &preprocessing, flip),
                Input::Rendered(rgb) if rgb.len() == (side * side * 3) as usize => with_mirror_image(rgb.into(), side, flip),
                Input::Rendered(rgb) => return Err(PredictError::Pixels { found: rgb.len(), side }),
            };
            telemetry::decoded(began.elapsed());
            Ok(views)
        };
        tokio::task::spawn_blocking(render).await.map_err(|_| PredictError::Unavailable)?
    }
}
