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

/// Most steps of a weight of the first convolution: what bf16 holds.
const FIRST_WEIGHT_STEPS: f64 = 255.0;
/// Parts of a weight step that its bias is a whole number of.
const BIAS_PARTS: f64 = 8.0;

/// Kernel and bias of the first convolution, which stays in floating point: both divided by its activations' scale, the bias
/// raised by half a step, so that cutting off rounds, and by what pixels lack whose mean is a whole number
/// ([`Normalisation::whole`]).
///
/// Each output channel's numbers are whole multiples of a power of two, few enough to be exact in bf16 and, times pixels, added up
/// in f32: 27 products of 255 steps and 152 are 2²⁰ steps. So whatever adds them, in whatever order, gets the same sum, and 8-bit
/// activations are the same on every processor and in every engine. A sum that came out differently in its last bit would now and
/// then round to another step; each such step becomes hundreds by `block4_pool`.
///
/// [`Normalisation::whole`]: crate::vision::weights::Normalisation::whole
#[must_use]
pub fn first_layer(body: &BodyWeights, profile: Profile) -> [Vec<f32>; 2] {
    let layer = &body.layers()[0];
    let scale = profile.scale(1);
    let (_, missing) = body.pixel_convention().normalisation().whole();
    let inner = layer.spec.weight_len() / layer.spec.outputs;
    let taps = inner / layer.spec.inputs;
    let [mut weight, mut bias] = [Vec::with_capacity(layer.weight.len()), Vec::with_capacity(layer.bias.len())];
    for (channel, unshifted) in layer.weight.chunks_exact(inner).zip(&layer.bias) {
        let most = channel.iter().fold(0f32, |most, n| most.max(n.abs()));
        let step = (f64::from(most.max(f32::MIN_POSITIVE)) / scale / FIRST_WEIGHT_STEPS).log2().ceil().exp2();
        let on_grid = |n: f64, step: f64| (n / step).round_ties_even() * step;
        let weights: Vec<f64> = channel.iter().map(|n| on_grid(f64::from(*n) / scale, step)).collect();
        let lacking: f64 = weights.iter().enumerate().map(|(place, n)| n * f64::from(missing[place / taps])).sum();
        let shifted = half::bf16::from_f64(f64::from(*unshifted) / scale + lacking + 0.5);
        weight.extend(weights.into_iter().map(|n| n as f32));
        bias.push(on_grid(f64::from(shifted), step / BIAS_PARTS) as f32);
    }
    [weight, bias]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::int8::tests::body;
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

    #[test]
    fn the_first_layers_sums_are_exact_in_any_order() {
        let body = body();
        let [weight, bias] = first_layer(&body, Profile::imagenet());
        let layer = &body.layers()[0];
        let scale = Profile::imagenet().scale(1);
        for (channel, original) in weight.chunks_exact(27).zip(layer.weight.chunks_exact(27)) {
            let most = channel.iter().fold(0f32, |most, n| most.max(n.abs()));
            for (n, original) in channel.iter().zip(original) {
                assert_eq!(half::bf16::from_f32(*n).to_f32(), *n, "bf16 holds it");
                assert!((f64::from(*n) - f64::from(*original) / scale).abs() <= f64::from(most) / 250.0);
            }
        }
        for (channel, bias) in weight.chunks_exact(27).zip(&bias) {
            assert_eq!(half::bf16::from_f32(*bias).to_f32(), *bias);
            // Pixels about the mean, forwards and backwards, and with the bias first or last.
            let pixels: Vec<f32> = (0..27).map(|place| ((place * 97) % 256) as f32 - 117.0).collect();
            let terms: Vec<f32> = channel.iter().zip(&pixels).map(|(n, pixel)| n * pixel).collect();
            let exact = terms.iter().map(|n| f64::from(*n)).sum::<f64>() + f64::from(*bias);
            let forwards = terms.iter().sum::<f32>() + bias;
            let backwards = terms.iter().rev().fold(*bias, |sum, n| sum + n);
            assert_eq!((f64::from(forwards), f64::from(backwards)), (exact, exact));
        }
    }
}
