//! Named sets of values that fill what a request leaves out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ClassBalance, FineTune, Head, Optimizer, OptimizerKind, Phase, Recipe, Schedule, ScheduleKind, Views};
use crate::vision::augmentation::Augmentation;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::PrecisionChoice;
use crate::vision::preprocessing::Resize;

/// The seed when the request gives none: runs repeat unless asked otherwise.
const DEFAULT_SEED: u64 = 42;

/// Views that keep what is in the picture recognisable. `classic` stores none and has these for a request that asks for
/// some.
const STRENGTHS: Augmentation = Augmentation { crop_area_min: 0.4, flip: true, rotation: 20.0, color_jitter: 0.2 };

/// A named recipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The two-phase recipe known from Keras: 25 epochs RMSprop 1e-3 on the frozen body, then 100 epochs SGD 1e-3 from
    /// `block5_conv1`; the split is a plain one, whatever pictures show.
    Classic,
    /// What suits most data sets: 256 pixels a side, the middle of the picture and 2 augmented views to learn from, each moved by
    /// up to a tenth of the side in every step, label smoothing 0.1, 20 epochs Adam 1e-4 on the frozen body, then 8 epochs
    /// AdamW 1.5e-4 from `block5_conv1`, both along a cosine; evaluation and serving look at the whole central square, and answers
    /// are the mean over it and its mirror image.
    #[default]
    Balanced,
    /// More pixels and more time: `balanced` with pictures of 320 pixels a side, 12 views and 16 epochs of fine-tuning.
    Thorough,
}

impl Preset {
    /// Every preset, the default first.
    pub const ALL: [Self; 3] = [Self::Balanced, Self::Thorough, Self::Classic];

    /// Its values.
    #[must_use]
    pub const fn recipe(self) -> Recipe {
        match self {
            Self::Classic => classic(),
            Self::Balanced => balanced(),
            Self::Thorough => thorough(),
        }
    }
}

const fn classic() -> Recipe {
    Recipe {
        preset: Preset::Classic,
        seed: DEFAULT_SEED,
        precision: PrecisionChoice::Auto,
        batch_size: 32,
        validation_fraction: 0.25,
        test_fraction: 0.0,
        group_duplicates: false,
        input_size: 224,
        resize: Resize::Squash,
        head: Head { units: 256, dropout: 0.5 },
        augmentation: Views { count: 0, unaugmented: Resize::Squash, strengths: STRENGTHS },
        label_smoothing: 0.0,
        mixup: 0.0,
        shift: 0.0,
        class_balance: ClassBalance::None,
        test_time_flip: false,
        warm_up: phase(25, OptimizerKind::Rmsprop, 1e-3, ScheduleKind::Constant),
        fine_tune: FineTune {
            unfreeze_from: UnfreezeFrom::BLOCK5_CONV1,
            phase: phase(100, OptimizerKind::Sgd, 1e-3, ScheduleKind::Constant),
        },
    }
}

const fn balanced() -> Recipe {
    Recipe {
        preset: Preset::Balanced,
        group_duplicates: true,
        input_size: 256,
        // Nothing of the shorter side is cut off when it is judged. To learn from, views are crops, larger than life on average; the
        // middle of the picture is closer to them than the whole square.
        resize: Resize::Square,
        augmentation: Views { count: 2, unaugmented: Resize::Crop, strengths: STRENGTHS },
        label_smoothing: 0.1,
        // Two cells of sixteen.
        shift: 0.1,
        test_time_flip: true,
        warm_up: phase(20, OptimizerKind::Adam, 1e-4, ScheduleKind::Cosine),
        fine_tune: FineTune {
            unfreeze_from: UnfreezeFrom::BLOCK5_CONV1,
            phase: phase(8, OptimizerKind::Adamw, 1.5e-4, ScheduleKind::Cosine),
        },
        ..classic()
    }
}

const fn thorough() -> Recipe {
    Recipe {
        preset: Preset::Thorough,
        input_size: 320,
        augmentation: Views { count: 12, unaugmented: Resize::Crop, strengths: STRENGTHS },
        fine_tune: FineTune {
            unfreeze_from: UnfreezeFrom::BLOCK5_CONV1,
            // With so many views, twice the rate of `balanced` doesn't learn them by heart.
            phase: phase(16, OptimizerKind::Adamw, 2e-4, ScheduleKind::Cosine),
        },
        ..balanced()
    }
}

/// A phase that trains all its epochs and keeps the last weights as they are.
const fn phase(epochs: u32, kind: OptimizerKind, learning_rate: f64, schedule: ScheduleKind) -> Phase {
    Phase {
        epochs,
        optimizer: Optimizer { kind, learning_rate, momentum: 0.0, weight_decay: kind.default_weight_decay() },
        schedule: Schedule::new(schedule),
        gradient_clip: 0.0,
        ema_decay: 0.0,
        patience: 0,
    }
}
