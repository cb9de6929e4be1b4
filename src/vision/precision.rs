//! The arithmetic of the backbone's layers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a recipe asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionChoice {
    /// On a CPU with VNNI or AVX2: int8; else bf16 where the device multiplies in it; else f32.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16 with f32 accumulation; runs anywhere, fast only on devices that have it.
    Bf16,
    /// 8-bit integers for the frozen layers, on the CPU; the layers that learn in bf16 where the device multiplies in it, else
    /// in f32. For the canonical ImageNet weights only: others have no scales.
    Int8,
}

/// What a run uses, recorded in the manifest: a model is served in the precision it was trained in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// bfloat16 with f32 accumulation.
    Bf16,
    /// 8-bit integers for the frozen layers, bfloat16 for those that learn.
    Int8,
    /// 8-bit integers for the frozen layers, 32-bit floats for those that learn.
    Int8F32,
}

impl Precision {
    /// Its name in JSON, in the database and in file names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int8F32 => "int8_f32",
        }
    }

    /// Bytes an activation of the frozen layers takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
            Self::Int8 | Self::Int8F32 => 1,
        }
    }

    /// Whether the frozen layers are in 8-bit integers.
    #[must_use]
    pub const fn is_int8(self) -> bool {
        matches!(self, Self::Int8 | Self::Int8F32)
    }

    /// What the layers that learn compute in: f32 or bf16.
    #[must_use]
    pub const fn learning(self) -> Self {
        match self {
            Self::F32 | Self::Int8F32 => Self::F32,
            Self::Bf16 | Self::Int8 => Self::Bf16,
        }
    }
}
