//! The arithmetic of the backbone's layers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a recipe asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionChoice {
    /// bf16 where the device multiplies in it, else f32.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16 with f32 accumulation; runs anywhere, fast only on devices that have it.
    Bf16,
}

/// What a run uses, recorded in the manifest: a model is served in the precision it was trained in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// bfloat16 with f32 accumulation.
    Bf16,
}

impl Precision {
    /// Bytes an activation takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}
