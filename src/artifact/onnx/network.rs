//! The network, operator by operator as serving computes it.
//!
//! bf16 is emulated: f32 operators whose results are rounded to bf16 wherever libtorch stores bf16. Sums stay in f32, as they
//! do in oneDNN's bf16 convolutions. The 8-bit layers are emulated likewise: f32 convolutions of whole numbers. Such a sum is
//! exact in f32 below 2²⁴, which sums of both signs hardly ever reach, whatever order a CPU adds in; ONNX Runtime's own
//! 8-bit kernels saturate in between on CPUs without VNNI.

use super::graph::{Builder, int, ints};
use super::proto::DataType;
use crate::artifact::fit::{Layer, Learnt};
use crate::vision::int8::{ACTIVATION_STEPS, KernelSteps, Profile, first_layer};
use crate::vision::layers::{CONVS, ConvSpec, KERNEL};
use crate::vision::precision::Precision;
use crate::vision::weights::{BodyWeights, ConvWeights};

/// Name of the graph's input, uint8 `[N, S, S, 3]` RGB.
pub(super) const PICTURES: &str = "pictures";
/// Name of the graph's output, f32 `[N, classes]`.
pub(super) const PROBABILITIES: &str = "probabilities";

/// Numbers that 0 to 255 are clipped to, by name.
const BOTTOM: &str = "activations.min";
const TOP: &str = "activations.max";

/// More than any sum of 512 · 9 products of a step up to 255 and a weight up to 127.
const LARGEST_SUM: f32 = 268_435_456.0;

/// What a graph is made from.
pub(super) struct Network<'a> {
    pub(super) body: &'a BodyWeights,
    pub(super) learnt: &'a Learnt<'a>,
    pub(super) precision: Precision,
    /// The 8-bit scales, if the frozen layers are in 8-bit integers.
    pub(super) profile: Option<Profile>,
    /// Whether the answer is the mean over the picture and its mirror image.
    pub(super) flip: bool,
    /// What the logarithms of the probabilities are divided by.
    pub(super) temperature: f64,
    pub(super) classes: usize,
}

impl Network<'_> {
    /// Adds all of it to `b`, from [`PICTURES`] to [`PROBABILITIES`].
    pub(super) fn build(&self, b: &mut Builder) {
        let mut x = self.pixels(b);
        let frozen = CONVS.len() - self.learnt.convs.len();
        for (index, layer) in self.body.layers()[..frozen].iter().enumerate() {
            x = match (self.profile, index) {
                (None, _) => {
                    let weights = Layer { weight: &layer.weight, bias: &layer.bias };
                    self.learning(b, &x, &layer.spec, weights)
                }
                (Some(profile), 0) => self.first_of_8_bit(b, &x, profile),
                (Some(profile), _) => eight_bit(b, &x, layer, [profile.scale(index), profile.scale(index + 1)]),
            };
        }
        if let Some(profile) = self.profile.filter(|_| frozen > 0) {
            // libtorch rounds the factor to the activations' arithmetic too.
            let scale = self.constant(b, "handed_over.scale", &[], &[profile.scale(frozen) as f32]);
            x = b.node("Mul", "handed_over", &[&x, &scale], vec![]);
            x = self.rounded(b, x);
        }
        for (spec, weights) in &self.learnt.convs {
            x = self.learning(b, &x, spec, *weights);
        }
        self.head(b, &x);
    }

    /// From uint8 `[N, S, S, 3]` RGB to what the first convolution takes, `[N, 3, S, S]`, or `[2N, 3, S, S]` with the mirror
    /// images behind the pictures.
    fn pixels(&self, b: &mut Builder) -> String {
        let mut x = PICTURES.to_owned();
        if self.flip {
            let [first, before_first, width, back] = [("first", -1), ("before_first", i64::MIN), ("width", 2), ("back", -1)]
                .map(|(name, number)| b.integers(&format!("mirror.{name}"), &[number]));
            let mirrored = b.node("Slice", "mirrored", &[&x, &first, &before_first, &width, &back], vec![]);
            x = b.node("Concat", "both_views", &[&x, &mirrored], vec![int("axis", 0)]);
        }
        x = b.node("Transpose", "channels_first", &[&x], vec![ints("perm", &[0, 3, 1, 2])]);
        let normalisation = self.body.pixel_convention().normalisation();
        let normalisation = if self.profile.is_some() { normalisation.whole().0 } else { normalisation };
        if normalisation.reversed {
            let order = b.integers("pixels.order", &[2, 1, 0]);
            x = b.node("Gather", "bgr", &[&x, &order], vec![int("axis", 1)]);
        }
        x = b.cast("pixels/f32", &x, DataType::Float);
        let mean = b.floats("pixels.mean", &[1, 3, 1, 1], &normalisation.mean);
        x = b.node("Sub", "pixels/centred", &[&x, &mean], vec![]);
        let scale = b.floats("pixels.scale", &[1, 3, 1, 1], &normalisation.scale);
        x = b.node("Mul", "pixels/scaled", &[&x, &scale], vec![]);
        self.rounded(b, x)
    }

    /// A convolution in the learning layers' arithmetic, then pooling, then ReLU, as `vision::conv` has them.
    fn learning(&self, b: &mut Builder, x: &str, spec: &ConvSpec, weights: Layer<'_>) -> String {
        let x = self.convolution(b, x, spec, weights);
        let x = pooled(b, x, spec);
        b.node("Relu", &format!("{}/relu", spec.name), &[&x], vec![])
    }

    /// The first of the 8-bit layers: its scale is in its weights already, so what is left is to clip and to cut off.
    fn first_of_8_bit(&self, b: &mut Builder, x: &str, profile: Profile) -> String {
        let [weight, bias] = first_layer(self.body, profile);
        let spec = &CONVS[0];
        let x = self.convolution(b, x, spec, Layer { weight: &weight, bias: &bias });
        b.floats(BOTTOM, &[], &[0.0]);
        b.floats(TOP, &[], &[ACTIVATION_STEPS as f32]);
        let x = b.node("Clip", &format!("{}/clipped", spec.name), &[&x, BOTTOM, TOP], vec![]);
        // Nothing is below zero any more, so the floor is what conversion to uint8 leaves.
        b.node("Floor", &format!("{}/steps", spec.name), &[&x], vec![])
    }

    /// The convolution alone, its numbers rounded as those of the learning layers are.
    fn convolution(&self, b: &mut Builder, x: &str, spec: &ConvSpec, weights: Layer<'_>) -> String {
        let weight = self.constant(b, &format!("{}.weight", spec.name), &spec.weight_shape(), weights.weight);
        let bias = self.constant(b, &format!("{}.bias", spec.name), &[spec.outputs], weights.bias);
        let x = b.node("Conv", spec.name, &[x, &weight, &bias], convolving());
        self.rounded(b, x)
    }

    /// From features to probabilities; of two views, their mean; at the temperature of serving.
    fn head(&self, b: &mut Builder, x: &str) {
        let x = b.node("Transpose", "channels_last", &[x], vec![ints("perm", &[0, 2, 3, 1])]);
        let x = b.node("Flatten", "features", &[&x], vec![int("axis", 1)]);
        let x = self.hidden(b, &x);
        let output = self.learnt.output;
        let weight = b.floats("head.output.weight", &[self.classes, output.weight.len() / self.classes], output.weight);
        let bias = b.floats("head.output.bias", &[self.classes], output.bias);
        let mut x = b.node("Gemm", "logits", &[&x, &weight, &bias], vec![int("transB", 1)]);
        if self.flip {
            let of_views = b.node("Softmax", "of_views", &[&x], vec![int("axis", 1)]);
            let shape = b.integers("views.shape", &[2, -1, self.classes as i64]);
            let by_view = b.node("Reshape", "by_view", &[&of_views, &shape], vec![]);
            let views = b.integers("views.axis", &[0]);
            x = b.node("ReduceMean", "mean_of_views", &[&by_view, &views], vec![int("keepdims", 0)]);
            let least = b.floats("probabilities.min", &[], &[f32::MIN_POSITIVE]);
            x = b.node("Max", "above_zero", &[&x, &least], vec![]);
            x = b.node("Log", "logarithms", &[&x], vec![]);
        }
        let temperature = b.floats("temperature", &[], &[self.temperature as f32]);
        let x = b.node("Div", "tempered", &[&x, &temperature], vec![]);
        b.node("Softmax", PROBABILITIES, &[&x], vec![int("axis", 1)]);
    }

    /// The hidden layer and its ReLU, as `vision::tail` has them: in bf16, the scale and the bias come after the product.
    fn hidden(&self, b: &mut Builder, x: &str) -> String {
        let Layer { weight, bias } = self.learnt.hidden;
        let weight = self.constant(b, "head.hidden.weight", &[bias.len(), weight.len() / bias.len().max(1)], weight);
        let bias = b.floats("head.hidden.bias", &[bias.len()], bias);
        let scale = b.floats("head.feature_scale", &[], &[self.learnt.feature_scale]);
        let across = vec![int("transB", 1)];
        let x = if self.precision.learning() == Precision::Bf16 {
            let products = b.node("Gemm", "head.hidden/products", &[x, &weight], across);
            let products = self.rounded(b, products);
            let x = b.node("Mul", "head.hidden/scaled", &[&products, &scale], vec![]);
            b.node("Add", "head.hidden", &[&x, &bias], vec![])
        } else {
            let x = b.node("Mul", "features/scaled", &[x, &scale], vec![]);
            b.node("Gemm", "head.hidden", &[&x, &weight, &bias], across)
        };
        b.node("Relu", "head.hidden/relu", &[&x], vec![])
    }

    /// Rounds what the learning layers' arithmetic would round.
    fn rounded(&self, b: &mut Builder, x: String) -> String {
        if self.precision.learning() != Precision::Bf16 {
            return x;
        }
        let narrow = b.cast(&format!("{x}/bf16"), &x, DataType::Bfloat16);
        b.cast(&format!("{x}/rounded"), &narrow, DataType::Float)
    }

    /// Constant numbers as the learning layers hold them.
    fn constant(&self, b: &mut Builder, name: &str, shape: &[usize], numbers: &[f32]) -> String {
        match self.precision.learning() {
            Precision::Bf16 => b.rounded(name, shape, numbers),
            _ => b.floats(name, shape, numbers),
        }
    }
}

/// A frozen convolution on whole numbers from 0 to 255, to such numbers, in oneDNN's order: sums, pooled, times the step of the
/// input, times the steps of the weights, with the bias, in steps of the output, clipped (0 is the ReLU) and rounded half to even.
/// In another order of factors one activation in two million comes out another step, and hundreds for each of them by `block4_pool`.
///
/// No sum reaches the first clip. It stands there because ONNX Runtime would otherwise multiply the factor that follows into
/// the kernel, whose numbers then were no longer whole.
fn eight_bit(b: &mut Builder, x: &str, layer: &ConvWeights, [x_scale, out_scale]: [f64; 2]) -> String {
    let spec = &layer.spec;
    let named = |part: &str| format!("{}{part}", spec.name);
    let KernelSteps { steps, scales } = KernelSteps::of(layer);
    let weight = b.steps(&named(".weight"), &spec.weight_shape(), &steps);
    let sums = b.node("Conv", spec.name, &[x, &weight], convolving());
    let least = b.floats(&named(".sums_min"), &[], &[-LARGEST_SUM]);
    let most = b.floats(&named(".sums_max"), &[], &[LARGEST_SUM]);
    let sums = b.node("Clip", &named("/sums"), &[&sums, &least, &most], vec![]);
    let sums = pooled(b, sums, spec);
    let channels = [1, spec.outputs, 1, 1];
    let step = b.floats(&named(".input_step"), &[], &[x_scale as f32]);
    let weight_steps = b.floats(&named(".weight_steps"), &channels, &scales);
    let bias = b.floats(&named(".bias"), &channels, &layer.bias);
    let per_unit = b.floats(&named(".steps_per_unit"), &[], &[1.0 / out_scale as f32]);
    let x = b.node("Mul", &named("/in_input_units"), &[&sums, &step], vec![]);
    let x = b.node("Mul", &named("/scaled"), &[&x, &weight_steps], vec![]);
    let x = b.node("Add", &named("/shifted"), &[&x, &bias], vec![]);
    let x = b.node("Mul", &named("/in_steps"), &[&x, &per_unit], vec![]);
    let x = b.node("Clip", &named("/clipped"), &[&x, BOTTOM, TOP], vec![]);
    b.node("Round", &named("/steps"), &[&x], vec![])
}

/// 2 × 2 maximum of stride 2 where the block ends. What follows never changes an order, so it comes after: on a quarter of the
/// numbers.
fn pooled(b: &mut Builder, x: String, spec: &ConvSpec) -> String {
    if !spec.pooled {
        return x;
    }
    b.node("MaxPool", &format!("{}/pooled", spec.name), &[&x], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
}

/// Attributes of every convolution: stride 1, so that padding by half a kernel keeps the size.
fn convolving() -> Vec<super::proto::Attribute> {
    const SIDE: i64 = KERNEL as i64;
    vec![ints("kernel_shape", &[SIDE; 2]), ints("pads", &[SIDE / 2; 4])]
}
