//! The numbers of the 8-bit layers, as plain data: what is packed for libtorch here, and what an exported file holds.

use super::Profile;
use crate::vision::weights::{BodyWeights, ConvWeights};

/// Largest int8 weight: symmetric, so −128 isn't used.
const WEIGHT_STEPS: f32 = 127.0;

/// A convolution's kernel in 8-bit integers.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelSteps {
    /// OIHW, −127 to 127.
    pub steps: Vec<i8>,
    /// A step's size, an output channel: the channel's largest weight over 127.
    pub scales: Vec<f32>,
}

impl KernelSteps {
    /// Quantises a kernel, each output channel to its own scale, rounding half to even.
    #[must_use]
    pub fn of(layer: &ConvWeights) -> Self {
        let inner = layer.spec.weight_len() / layer.spec.outputs;
        let channels = layer.weight.chunks_exact(inner);
        let scales: Vec<f32> = channels
            .clone()
            .map(|channel| channel.iter().fold(0f32, |most, n| most.max(n.abs())).max(f32::MIN_POSITIVE) / WEIGHT_STEPS)
            .collect();
        let step = |n: f32, scale: f32| (n / scale).round_ties_even().clamp(-WEIGHT_STEPS, WEIGHT_STEPS) as i8;
        let steps = channels.zip(&scales).flat_map(|(channel, &scale)| channel.iter().map(move |&n| step(n, scale))).collect();
        Self { steps, scales }
    }
}

/// Kernel and bias of the first convolution, which stays in floating point: both divided by its activations' scale, the bias
/// raised by half a step, so that cutting off rounds.
#[must_use]
pub fn first_layer(body: &BodyWeights, profile: Profile) -> [Vec<f32>; 2] {
    let layer = &body.layers()[0];
    let scale = profile.scale(1);
    let steps = |numbers: &[f32], more: f64| numbers.iter().map(|n| (f64::from(*n) / scale + more) as f32).collect::<Vec<_>>();
    [steps(&layer.weight, 0.0), steps(&layer.bias, 0.5)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::layers::ConvSpec;

    #[test]
    fn each_channel_has_its_own_steps() {
        let spec = ConvSpec { name: "block1_conv1", inputs: 1, outputs: 3, pooled: false };
        let mut weight = vec![0f32; 27];
        weight[..3].copy_from_slice(&[127.0, -2.5, -3.5]);
        weight[9..11].copy_from_slice(&[-0.5, 0.25]);
        let steps = KernelSteps::of(&ConvWeights { spec, weight, bias: vec![0.0; 3] });
        assert_eq!(steps.steps[..3], [127, -2, -4], "half to even");
        assert_eq!(steps.steps[9..11], [-127, 64]);
        assert_eq!(steps.steps[18..], [0; 9], "a channel of zeros");
        assert_eq!(steps.scales[..2], [1.0, 0.5 / 127.0]);
        assert!(steps.scales[2] > 0.0);
    }
}
