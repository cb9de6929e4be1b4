//! How raw RGB pixels become the numbers that a body was trained on.

use serde::{Deserialize, Serialize};

/// What a network's pixels must look like. It belongs to the weights: they were trained on such pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelConvention {
    /// Channels blue, green, red; 0–255 minus (103.939, 116.779, 123.68); no division. The Caffe and Keras way.
    CaffeBgr,
    /// Channels red, green, blue; 0–1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225). The torchvision
    /// way.
    TorchRgb,
}

/// (value − mean) · scale, channel by channel, of values from 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Whether the weights want the channels as blue, green, red; `mean` and `scale` are in the weights' order.
    pub reversed: bool,
    /// What is subtracted.
    pub mean: [f32; 3],
    /// What the difference is multiplied by.
    pub scale: [f32; 3],
}

impl Normalisation {
    /// The same with whole numbers for a mean, and what is then missing of each channel's numbers.
    #[must_use]
    pub fn whole(self) -> (Self, [f32; 3]) {
        let mean = self.mean.map(f32::round);
        let missing = [0, 1, 2].map(|channel| (mean[channel] - self.mean[channel]) * self.scale[channel]);
        (Self { mean, ..self }, missing)
    }
}

impl PixelConvention {
    /// The name in files: `caffe_bgr` or `torch_rgb`, the same as serde's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CaffeBgr => "caffe_bgr",
            Self::TorchRgb => "torch_rgb",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::CaffeBgr, Self::TorchRgb].into_iter().find(|convention| convention.as_str() == name)
    }

    /// Its numbers.
    #[must_use]
    pub fn normalisation(self) -> Normalisation {
        match self {
            // Oxford's own weights: the training set's mean subtracted, no division.
            Self::CaffeBgr => Normalisation { reversed: true, mean: [103.939, 116.779, 123.68], scale: [1.0; 3] },
            // torchvision's: ImageNet's mean and standard deviation; here in units of 0 to 255.
            Self::TorchRgb => Normalisation {
                reversed: false,
                mean: [0.485, 0.456, 0.406].map(|mean: f32| mean * 255.0),
                scale: [0.229, 0.224, 0.225].map(|deviation: f32| 1.0 / (deviation * 255.0)),
            },
        }
    }
}
