//! Optimisers as data. Their arithmetic is in `training/optimizer.rs`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The optimisers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// RMSprop with Keras's constants: decay of the squared gradient 0.9, epsilon 1e-7.
    Rmsprop,
    /// Stochastic gradient descent, with heavy-ball momentum if asked.
    Sgd,
    /// Adam, β₁ 0.9, β₂ 0.999, ε 1e-8; weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2017).
    Adamw,
}

impl OptimizerKind {
    /// Whether `momentum` means anything to it: Adam and AdamW have their own moments.
    #[must_use]
    pub const fn takes_momentum(self) -> bool {
        matches!(self, Self::Rmsprop | Self::Sgd)
    }

    /// Weight decay when the request gives none: AdamW's usual 1e-2 (PyTorch's default), else none.
    #[must_use]
    pub const fn default_weight_decay(self) -> f64 {
        match self {
            Self::Adamw => 1e-2,
            Self::Rmsprop | Self::Sgd | Self::Adam => 0.0,
        }
    }
}

/// An optimiser and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Optimizer {
    /// Which one.
    pub kind: OptimizerKind,
    /// Step size, above 0.
    pub learning_rate: f64,
    /// Share of the last step that is taken again; 0 for none. Always 0 for Adam and AdamW.
    pub momentum: f64,
    /// Pull towards zero a step.
    pub weight_decay: f64,
}
