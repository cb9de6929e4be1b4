//! VGG16's convolutional body as data: the one table that every reader, writer and forward pass goes by.
//!
//! Architecture: configuration D of Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
//! Recognition" (2014). Names are Keras's. Every convolution is 3 × 3, stride 1, padding 1, followed by ReLU; every
//! block ends in a 2 × 2 max pooling of stride 2.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Height and width of every convolution's kernel.
pub const KERNEL: usize = 3;

/// One convolution of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvSpec {
    /// Keras name, `block1_conv1` … `block5_conv3`.
    pub name: &'static str,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Whether the block's max pooling follows this convolution.
    pub pooled: bool,
}

impl ConvSpec {
    /// The kernel's shape, OIHW.
    #[must_use]
    pub const fn weight_shape(&self) -> [usize; 4] {
        [self.outputs, self.inputs, KERNEL, KERNEL]
    }

    /// How many numbers the kernel holds.
    #[must_use]
    pub const fn weight_len(&self) -> usize {
        self.outputs * self.inputs * KERNEL * KERNEL
    }

    /// Side of its input, a square, for pictures of `input_size` pixels a side.
    #[must_use]
    pub fn input_side(&self, input_size: usize) -> usize {
        side_above(CONVS.iter().take_while(|conv| conv.name != self.name), input_size)
    }
}

/// Side of what `convs` leave of pictures of `input_size` pixels a side.
fn side_above<'a>(convs: impl IntoIterator<Item = &'a ConvSpec>, input_size: usize) -> usize {
    convs.into_iter().filter(|conv| conv.pooled).fold(input_size, |side, _| side / 2)
}

const fn conv(name: &'static str, inputs: usize, outputs: usize, pooled: bool) -> ConvSpec {
    ConvSpec { name, inputs, outputs, pooled }
}

/// The 13 convolutions in forward order.
pub const CONVS: [ConvSpec; 13] = [
    conv("block1_conv1", 3, 64, false),
    conv("block1_conv2", 64, 64, true),
    conv("block2_conv1", 64, 128, false),
    conv("block2_conv2", 128, 128, true),
    conv("block3_conv1", 128, 256, false),
    conv("block3_conv2", 256, 256, false),
    conv("block3_conv3", 256, 256, true),
    conv("block4_conv1", 256, 512, false),
    conv("block4_conv2", 512, 512, false),
    conv("block4_conv3", 512, 512, true),
    conv("block5_conv1", 512, 512, false),
    conv("block5_conv2", 512, 512, false),
    conv("block5_conv3", 512, 512, true),
];

/// Where learning starts: the index into [`CONVS`] of the first convolution that learns, or none of them.
///
/// Its text is the Keras name of that convolution, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnfreezeFrom(usize);

impl UnfreezeFrom {
    /// No convolution learns: the freeze boundary is `block5_pool`.
    pub const NONE: Self = Self(CONVS.len());
    /// Block 5 learns, Keras layer 15 and up.
    pub const BLOCK5_CONV1: Self = Self(10);

    /// Every place that learning can start from, lowest first, [`UnfreezeFrom::NONE`] last.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..=CONVS.len()).map(Self)
    }

    /// How many convolutions lie below the freeze boundary, 0 to 13; also the index of the first that learns.
    #[must_use]
    pub const fn frozen(self) -> usize {
        self.0
    }

    /// Name of the freeze boundary: the last layer whose output never changes, e.g. `block4_pool`, or `input`.
    #[must_use]
    pub fn boundary(self) -> String {
        match self.0.checked_sub(1).map(|last| CONVS[last]) {
            None => "input".to_owned(),
            Some(ConvSpec { name, pooled: true, .. }) => {
                name.split('_').next().map(|block| format!("{block}_pool")).unwrap_or_default()
            }
            Some(ConvSpec { name, .. }) => name.to_owned(),
        }
    }

    /// Shape of a picture's activations at the boundary, `[height, width, channels]`, for square pictures of
    /// `input_size` pixels a side.
    #[must_use]
    pub fn boundary_shape(self, input_size: usize) -> [usize; 3] {
        let frozen = &CONVS[..self.0];
        let side = side_above(frozen, input_size);
        [side, side, frozen.last().map_or(CONVS[0].inputs, |conv| conv.outputs)]
    }
}

/// A layer name that isn't one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a convolution of VGG16, block1_conv1 to block5_conv3, or none, not {0:?}")]
pub struct UnknownLayer(String);

impl std::str::FromStr for UnfreezeFrom {
    type Err = UnknownLayer;

    fn from_str(name: &str) -> Result<Self, UnknownLayer> {
        if name == "none" {
            return Ok(Self::NONE);
        }
        CONVS.iter().position(|conv| conv.name == name).map(Self).ok_or_else(|| UnknownLayer(name.to_owned()))
    }
}

impl TryFrom<String> for UnfreezeFrom {
    type Error = UnknownLayer;

    fn try_from(name: String) -> Result<Self, UnknownLayer> {
        name.parse()
    }
}

impl From<UnfreezeFrom> for String {
    fn from(from: UnfreezeFrom) -> Self {
        from.to_string()
    }
}

impl fmt::Display for UnfreezeFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CONVS.get(self.0).map_or("none", |conv| conv.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_adds_up_to_vgg16() {
        let numbers: usize = CONVS.iter().map(|conv| conv.weight_len() + conv.outputs).sum();
        assert_eq!(numbers, 14_714_688);
        for pair in CONVS.windows(2) {
            assert_eq!(pair[0].outputs, pair[1].inputs);
        }
    }

    #[test]
    fn boundaries_are_named_and_shaped_as_keras_has_them() {
        let cases = [
            ("block1_conv1", "input", [224, 224, 3]),
            ("block4_conv2", "block4_conv1", [28, 28, 512]),
            ("block5_conv1", "block4_pool", [14, 14, 512]),
            ("none", "block5_pool", [7, 7, 512]),
        ];
        for (name, boundary, shape) in cases {
            let from: UnfreezeFrom = name.parse().unwrap();
            assert_eq!(
                (from.to_string().as_str(), from.boundary().as_str(), from.boundary_shape(224)),
                (name, boundary, shape)
            );
        }
        assert_eq!("block5_conv1".parse(), Ok(UnfreezeFrom::BLOCK5_CONV1));
        assert!("block6_conv1".parse::<UnfreezeFrom>().is_err());
    }
}
