//! The recipe: everything that decides a training run, validated.
//!
//! A request may leave out every field ([`RecipeRequest`]); [`RecipeRequest::resolve`] fills in the preset's values and
//! answers either a whole [`Recipe`] or every field that has to change. A `Recipe` read back from JSON (a database row, a
//! manifest) goes through the same gate, so one that exists is valid.

mod gate;
mod optimizer;
mod presets;
mod request;
mod schedule;
mod sweep;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use optimizer::{Optimizer, OptimizerKind};
pub use presets::Preset;
pub use request::{
    AugmentationRequest, FineTuneRequest, HeadRequest, OptimizerRequest, PhaseRequest, RecipeRequest, ScheduleRequest,
};
pub use schedule::{Schedule, ScheduleKind};
pub use sweep::{InvalidSweep, MAX_TRIALS, Vary, differences, resolve_all};

use crate::vision::augmentation::{Augmentation, View};
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::PrecisionChoice;
use crate::vision::preprocessing::{Preprocessing, Resize};

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
    /// Decides the split, the initial head, dropout, the order of pictures and which of their views an epoch draws. 0 to
    /// 2^53 − 1, so that JSON keeps it exact.
    pub seed: u64,
    /// Arithmetic of the backbone's layers; weights that learn and optimiser state are always f32.
    pub precision: PrecisionChoice,
    /// Pictures a step.
    pub batch_size: u32,
    /// Share of each class held out for validation.
    pub validation_fraction: f64,
    /// Share of each class kept untouched until the end; 0 for none.
    pub test_fraction: f64,
    /// Whether pictures that show the same stay on one side of the split: what is told of new pictures then comes from new pictures.
    pub group_duplicates: bool,
    /// Side in pixels of the square that the network sees, a multiple of 32.
    pub input_size: u32,
    /// How a picture of any shape becomes that square when it is evaluated, so when it is served.
    pub resize: Resize,
    /// The new classifier on top of the backbone.
    pub head: Head,
    /// What a training picture is seen as beside itself.
    pub augmentation: Views,
    /// Share of the target's probability that is spread evenly over all classes (Szegedy et al. 2015, section 7); 0 for none.
    pub label_smoothing: f64,
    /// How strongly pictures are mixed with each other where learning begins (Verma et al. 2019, manifold mixup): features and
    /// targets of two pictures in the proportion λ to 1 − λ, λ drawn from Beta(mixup, mixup) a step; 0 for none.
    pub mixup: f64,
    /// How far each picture is moved where learning begins, anew in every step, as a share of the side: by whole cells of the
    /// features, up and down, left and right; 0 for not at all.
    pub shift: f64,
    /// What is done about classes of different sizes.
    pub class_balance: ClassBalance,
    /// Whether the answer is the mean of the picture's and its mirror image's probabilities.
    pub test_time_flip: bool,
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

/// Augmented views of the training pictures: how many, and how far they stray.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Views {
    /// Augmented views stored of each training picture beside the picture as it is; 0 for none, and then the strengths mean
    /// nothing.
    #[serde(rename = "views")]
    pub count: u32,
    /// How the training picture as it is becomes the square. Another way than in evaluation shows the network more of what
    /// pictures may look like, at no cost.
    pub unaugmented: Resize,
    /// How far they stray.
    #[serde(flatten)]
    pub strengths: Augmentation,
}

/// What is done about classes of different sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassBalance {
    /// Nothing: each picture counts alike.
    None,
    /// A picture's loss is weighted by the inverse of its class's frequency.
    Weights,
    /// Each class is drawn equally often, so pictures of small classes come up more than once an epoch.
    Sampling,
}

/// What decides a phase's training; as `warm_up`, that of the head alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Phase {
    /// Passes over the training pictures; 0 skips the phase.
    pub epochs: u32,
    /// How weights move.
    pub optimizer: Optimizer,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// Largest Euclidean norm of all gradients together, beyond which they are scaled down; 0 for no limit.
    pub gradient_clip: f64,
    /// Share that the exponential moving average of the weights keeps of itself a step. The average is what is validated and
    /// published; 0 for the weights themselves.
    pub ema_decay: f64,
    /// Epochs without a better validation accuracy after which the phase ends; the best epoch's weights are kept. 0 trains
    /// all epochs and keeps the last's.
    pub patience: u32,
}

/// The phase that also trains the backbone from a layer up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FineTune {
    /// First convolution that learns (Keras name), or `none`: the head alone goes on learning.
    #[schema(value_type = String, example = "block5_conv1")]
    pub unfreeze_from: UnfreezeFrom,
    /// What it shares with the warm-up.
    #[serde(flatten)]
    pub phase: Phase,
}

impl Recipe {
    /// From picture to pixels, in evaluation and in serving.
    #[must_use]
    pub const fn preprocessing(&self) -> Preprocessing {
        Preprocessing { input_size: self.input_size, resize: self.resize }
    }

    /// What training sees of a picture as it is.
    #[must_use]
    pub fn unaugmented(&self) -> View {
        let resize = self.augmentation.unaugmented;
        if resize == self.resize { View::Evaluation } else { View::Framed(resize) }
    }
}

impl TryFrom<RecipeRequest> for Recipe {
    type Error = InvalidRecipe;

    fn try_from(request: RecipeRequest) -> Result<Self, InvalidRecipe> {
        request.resolve()
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Preset::default().recipe()
    }
}
