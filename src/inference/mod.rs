//! Serving: published models answer with class probabilities.
//!
//! [`Predictor`] is a cheap, cloneable handle. Pictures are decoded in a bounded pool; one engine thread owns every tensor
//! and batches whatever waits.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::vision::picture::PictureError;

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

/// Why a picture got no answer.
#[derive(Debug, thiserror::Error)]
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

/// A handle on the engine.
#[derive(Debug, Clone)]
pub struct Predictor {}

impl Predictor {
    /// Classifies pictures, each answered for itself, in order.
    pub async fn predict(&self, _model: &ModelRef, _pictures: Vec<Bytes>) -> Vec<Result<Classified, PredictError>> {
        unimplemented!()
    }

    /// Whether the engine thread runs and holds the backbone.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }
}
