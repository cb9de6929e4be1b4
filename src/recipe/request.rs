//! A recipe as a request gives it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::gate::Gate;
use super::{ClassBalance, FineTune, Head, InvalidRecipe, OptimizerKind, Preset, Recipe, ScheduleKind};
use crate::vision::precision::PrecisionChoice;
use crate::vision::preprocessing::Resize;

/// The largest integer that JSON readers in JavaScript keep exact.
pub(super) const MAX_SEED: u64 = (1 << 53) - 1;
const BATCH_SIZE: RangeInclusive<u32> = 1..=1_024;
const VALIDATION_FRACTION: RangeInclusive<f64> = 0.01..=0.9;
const TEST_FRACTION: RangeInclusive<f64> = 0.0..=0.5;
const UNITS: RangeInclusive<u32> = 1..=8_192;
const DROPOUT: RangeInclusive<f64> = 0.0..=0.95;
const LABEL_SMOOTHING: RangeInclusive<f64> = 0.0..=0.5;
const MIXUP: RangeInclusive<f64> = 0.0..=4.0;
const SHIFT: RangeInclusive<f64> = 0.0..=0.5;

/// A recipe with every field optional; the preset fills the rest.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeRequest {
    /// The preset that fills what is left out; `balanced` if none is named.
    pub preset: Option<Preset>,
    /// See [`Recipe::seed`].
    pub seed: Option<u64>,
    /// `auto` (`int8` on a CPU with VNNI or AVX2, else bf16 where the device has it, else f32), `f32`, `bf16` or `int8` (8-bit
    /// integers for the frozen layers).
    pub precision: Option<PrecisionChoice>,
    /// Pictures a step, 1 to 1,024.
    pub batch_size: Option<u32>,
    /// Share of each class held out for validation, 0.01 to 0.9.
    pub validation_fraction: Option<f64>,
    /// Share of each class kept untouched until the end, 0 (none) to 0.5; at most 0.9 together with `validation_fraction`.
    pub test_fraction: Option<f64>,
    /// Whether pictures that show the same stay on one side of the split.
    pub group_duplicates: Option<bool>,
    /// Side in pixels of the square that the network sees, 160 to 448, a multiple of 32.
    pub input_size: Option<u32>,
    /// How a picture of any shape becomes that square when it is evaluated and served: `squash`, `crop` or `square`.
    pub resize: Option<Resize>,
    /// The new classifier.
    pub head: Option<HeadRequest>,
    /// What a training picture is seen as beside itself.
    pub augmentation: Option<AugmentationRequest>,
    /// Share of the target's probability that is spread evenly over all classes, 0 to 0.5.
    pub label_smoothing: Option<f64>,
    /// How strongly features of pictures are mixed with each other, 0 (not at all) to 4.
    pub mixup: Option<f64>,
    /// How far features of pictures are moved, at most, as a share of the side, 0 (not at all) to 0.5.
    pub shift: Option<f64>,
    /// What is done about classes of different sizes: `none`, `weights` or `sampling`.
    pub class_balance: Option<ClassBalance>,
    /// Whether the answer is the mean of the picture's and its mirror image's probabilities.
    pub test_time_flip: Option<bool>,
    /// First phase.
    pub warm_up: Option<PhaseRequest>,
    /// Second phase.
    pub fine_tune: Option<FineTuneRequest>,
}

/// The head, every field optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadRequest {
    /// Width of the hidden layer, 1 to 8,192.
    pub units: Option<u32>,
    /// Dropout probability, 0 to 0.95.
    pub dropout: Option<f64>,
}

/// The augmented views, every field optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AugmentationRequest {
    /// Augmented views stored of each training picture, 0 (only the picture as it is) to 64.
    pub views: Option<u32>,
    /// How the training picture as it is becomes the square: `squash`, `crop` or `square`; as `resize` says if only that is
    /// given.
    pub unaugmented: Option<Resize>,
    /// Smallest share of the picture's area that a random crop keeps, 0.05 to 1.
    pub crop_area_min: Option<f64>,
    /// Whether views are mirrored left to right by lot.
    pub flip: Option<bool>,
    /// Largest rotation in degrees either way, 0 to 180.
    pub rotation: Option<f64>,
    /// Largest relative change of brightness, contrast and saturation, 0 to 0.9.
    pub color_jitter: Option<f64>,
}

/// The warm-up, every field optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseRequest {
    /// Passes over the training pictures, 0 to 10,000.
    pub epochs: Option<u32>,
    /// How weights move.
    pub optimizer: Option<OptimizerRequest>,
    /// How the learning rate moves.
    pub schedule: Option<ScheduleRequest>,
    /// Largest Euclidean norm of all gradients together, up to 1,000; 0 for no limit.
    pub gradient_clip: Option<f64>,
    /// Decay of the weights' exponential moving average, 0 (none) to 0.99999.
    pub ema_decay: Option<f64>,
    /// Epochs without a better validation accuracy after which the phase ends, 0 (never) to 10,000.
    pub patience: Option<u32>,
}

// The fields of `PhaseRequest` again: flattened, they could neither be denied unknown ones nor be named in an error.
/// The fine-tune phase, every field optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FineTuneRequest {
    /// Passes over the training pictures, 0 to 10,000.
    pub epochs: Option<u32>,
    /// First convolution that learns, `block1_conv1` … `block5_conv3`, or `none`.
    pub unfreeze_from: Option<String>,
    /// How weights move.
    pub optimizer: Option<OptimizerRequest>,
    /// How the learning rate moves.
    pub schedule: Option<ScheduleRequest>,
    /// Largest Euclidean norm of all gradients together, up to 1,000; 0 for no limit.
    pub gradient_clip: Option<f64>,
    /// Decay of the weights' exponential moving average, 0 (none) to 0.99999.
    pub ema_decay: Option<f64>,
    /// Epochs without a better validation accuracy after which the phase ends, 0 (never) to 10,000.
    pub patience: Option<u32>,
}

impl FineTuneRequest {
    /// What it shares with the warm-up.
    fn phase(self) -> PhaseRequest {
        let Self { epochs, unfreeze_from: _, optimizer, schedule, gradient_clip, ema_decay, patience } = self;
        PhaseRequest { epochs, optimizer, schedule, gradient_clip, ema_decay, patience }
    }
}

/// An optimiser, every field optional. Another `kind` than the preset's starts from that kind's own defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptimizerRequest {
    /// Which one.
    pub kind: Option<OptimizerKind>,
    /// Step size, above 0 and at most 10.
    pub learning_rate: Option<f64>,
    /// Heavy-ball momentum, 0 to 0.9999; for `sgd` and `rmsprop` only.
    pub momentum: Option<f64>,
    /// Pull towards zero, 0 to 1.
    pub weight_decay: Option<f64>,
}

/// A learning rate's schedule, every field optional. Another `kind` than the preset's keeps the preset's ramp.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Which shape.
    pub kind: Option<ScheduleKind>,
    /// Epochs, or parts of one, over which the rate rises linearly from 0, 0 (no ramp) to 1,000.
    pub ramp_epochs: Option<f64>,
    /// Epochs between two reductions, 1 to 10,000; for `step` only.
    pub step_epochs: Option<u32>,
    /// What a reduction multiplies the rate with, above 0 and below 1; for `step` and `plateau` only.
    pub factor: Option<f64>,
    /// Epochs without a better validation loss before a reduction, 1 to 10,000; for `plateau` only.
    pub patience: Option<u32>,
}

impl RecipeRequest {
    /// Fills in the preset and validates.
    ///
    /// # Errors
    /// Every field that has to change, each with the range it must lie in.
    pub fn resolve(self) -> Result<Recipe, InvalidRecipe> {
        let preset = self.preset.unwrap_or_default();
        let base = preset.recipe();
        let mut gate = Gate::default();
        let head = self.head.unwrap_or_default();
        let fine_tune = self.fine_tune.unwrap_or_default();
        let recipe = Recipe {
            preset,
            seed: gate.within("seed", self.seed, base.seed, &(0..=MAX_SEED)),
            precision: self.precision.unwrap_or(base.precision),
            batch_size: gate.within("batch_size", self.batch_size, base.batch_size, &BATCH_SIZE),
            validation_fraction: gate.within(
                "validation_fraction",
                self.validation_fraction,
                base.validation_fraction,
                &VALIDATION_FRACTION,
            ),
            test_fraction: gate.within("test_fraction", self.test_fraction, base.test_fraction, &TEST_FRACTION),
            group_duplicates: self.group_duplicates.unwrap_or(base.group_duplicates),
            input_size: gate.input_size(self.input_size, base.input_size),
            resize: self.resize.unwrap_or(base.resize),
            head: Head {
                units: gate.within("head.units", head.units, base.head.units, &UNITS),
                dropout: gate.within("head.dropout", head.dropout, base.head.dropout, &DROPOUT),
            },
            augmentation: gate.augmentation(self.augmentation, self.resize, base.augmentation),
            label_smoothing: gate.within("label_smoothing", self.label_smoothing, base.label_smoothing, &LABEL_SMOOTHING),
            mixup: gate.within("mixup", self.mixup, base.mixup, &MIXUP),
            shift: gate.within("shift", self.shift, base.shift, &SHIFT),
            class_balance: self.class_balance.unwrap_or(base.class_balance),
            test_time_flip: self.test_time_flip.unwrap_or(base.test_time_flip),
            warm_up: gate.phase("warm_up", self.warm_up.unwrap_or_default(), base.warm_up),
            fine_tune: FineTune {
                unfreeze_from: gate.layer(fine_tune.unfreeze_from.as_deref(), base.fine_tune.unfreeze_from),
                phase: gate.phase("fine_tune", fine_tune.phase(), base.fine_tune.phase),
            },
        };
        gate.together(&recipe);
        gate.passed(recipe)
    }
}
