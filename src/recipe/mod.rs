//! The recipe: everything that decides a training run, validated.
//!
//! A request may leave out every field ([`RecipeRequest`]); [`RecipeRequest::resolve`] fills in the preset's values and
//! answers either a whole [`Recipe`] or every field that has to change. A `Recipe` read back from JSON (a database row, a
//! manifest) goes through the same gate, so one that exists is valid.

mod optimizer;
mod presets;
mod request;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use optimizer::{Optimizer, OptimizerKind};
pub use presets::Preset;
pub use request::{FineTuneRequest, HeadRequest, OptimizerRequest, PhaseRequest, RecipeRequest};

use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::PrecisionChoice;

/// A field of a request that has to change, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Dotted path of the field, e.g. `fine_tune.optimizer.learning_rate`.
    pub field: String,
    /// What to change.
    pub message: String,
}

/// A recipe that can't be run: every field that has to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the recipe has fields that must change: {}", .0.iter().map(|e| format!("{} {}", e.field, e.message)).collect::<Vec<_>>().join("; "))]
pub struct InvalidRecipe(pub Vec<FieldError>);

/// Everything that decides a training run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "RecipeRequest")]
pub struct Recipe {
    /// The preset whose values fill what the request left out.
    pub preset: Preset,
    /// Decides the split, the initial head, dropout and the order of pictures. 0 to 2^53 − 1, so that JSON keeps it exact.
    pub seed: u64,
    /// Arithmetic of the backbone's layers; weights and optimiser state are always f32.
    pub precision: PrecisionChoice,
    /// Pictures a step.
    pub batch_size: u32,
    /// Share of each class held out for validation.
    pub validation_fraction: f64,
    /// The new classifier on top of the backbone.
    pub head: Head,
    /// First phase: the head alone, on the frozen backbone.
    pub warm_up: Phase,
    /// Second phase: the head and the backbone's upper layers.
    pub fine_tune: FineTune,
}

/// The new classifier: Flatten → Linear(units) → ReLU → Dropout → Linear(classes).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Head {
    /// Width of the hidden layer.
    pub units: u32,
    /// Probability that a hidden unit is dropped in a training step.
    pub dropout: f64,
}

/// A phase that trains the head alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Phase {
    /// Passes over the training pictures; 0 skips the phase.
    pub epochs: u32,
    /// How weights move.
    pub optimizer: Optimizer,
}

/// The phase that also trains the backbone from a layer up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FineTune {
    /// Passes over the training pictures; 0 skips the phase.
    pub epochs: u32,
    /// First convolution that learns (Keras name), or `none`: the head alone goes on learning.
    #[schema(value_type = String, example = "block5_conv1")]
    pub unfreeze_from: UnfreezeFrom,
    /// How weights move.
    pub optimizer: Optimizer,
}

impl TryFrom<RecipeRequest> for Recipe {
    type Error = InvalidRecipe;

    fn try_from(request: RecipeRequest) -> Result<Self, InvalidRecipe> {
        request.resolve()
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Preset::Classic.recipe()
    }
}
