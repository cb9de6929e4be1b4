//! Named sets of values that fill what a request leaves out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FineTune, Head, Optimizer, OptimizerKind, Phase, Recipe};
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::PrecisionChoice;

/// The seed when the request gives none: runs repeat unless asked otherwise.
const DEFAULT_SEED: u64 = 42;

/// A named recipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The two-phase recipe known from Keras: 25 epochs RMSprop 1e-3 on the frozen body, then 100 epochs SGD 1e-3 from
    /// `block5_conv1`.
    #[default]
    Classic,
}

impl Preset {
    /// Its values.
    #[must_use]
    pub const fn recipe(self) -> Recipe {
        match self {
            Self::Classic => Recipe {
                preset: self,
                seed: DEFAULT_SEED,
                precision: PrecisionChoice::Auto,
                batch_size: 32,
                validation_fraction: 0.25,
                head: Head { units: 256, dropout: 0.5 },
                warm_up: Phase { epochs: 25, optimizer: plain(OptimizerKind::Rmsprop) },
                fine_tune: FineTune {
                    epochs: 100,
                    unfreeze_from: UnfreezeFrom::BLOCK5_CONV1,
                    optimizer: plain(OptimizerKind::Sgd),
                },
            },
        }
    }
}

const fn plain(kind: OptimizerKind) -> Optimizer {
    Optimizer { kind, learning_rate: 1e-3, momentum: 0.0, weight_decay: kind.default_weight_decay() }
}
