//! The layers that learn: convolutions from the freeze boundary up, and the head.

use tch::{Device, Kind, TchError, Tensor};

use super::conv::{self, Conv};
use super::device;
use super::layers::UnfreezeFrom;
use super::precision::Precision;
use super::weights::BodyWeights;

/// Flatten → Linear(units) → ReLU → Dropout → Linear(classes), always in f32.
#[derive(Debug)]
pub struct Head {
    /// Features are multiplied by this before the first layer. One over their standard deviation on the training pictures:
    /// raw VGG16 activations are tens of units wide, which a layer initialised for unit inputs learns badly from.
    pub feature_scale: f64,
    /// `[units, side·side·512]`; columns follow the features in height, width, channel order, as Keras flattens.
    pub hidden_weight: Tensor,
    /// `[units]`.
    pub hidden_bias: Tensor,
    /// `[classes, units]`.
    pub output_weight: Tensor,
    /// `[classes]`.
    pub output_bias: Tensor,
}

impl Head {
    /// A new head: weights uniform after Glorot and Bengio (2010), biases zero, as Keras's `Dense` begins. Drawn from
    /// libtorch's generator: seed it first.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn new(features: usize, units: u32, classes: usize, feature_scale: f64, device: Device) -> Result<Self, TchError> {
        let (features, units, classes) = (features as i64, i64::from(units), classes as i64);
        Ok(Self {
            feature_scale,
            hidden_weight: glorot_uniform(units, features, device)?,
            hidden_bias: Tensor::f_zeros([units], (Kind::Float, device))?,
            output_weight: glorot_uniform(classes, units, device)?,
            output_bias: Tensor::f_zeros([classes], (Kind::Float, device))?,
        })
    }

    /// Logits `[N, classes]` of features `[N, C, H, W]`; `dropout` only in a training step.
    fn forward(&self, features: &Tensor, dropout: Option<f64>) -> Result<Tensor, TchError> {
        // Channels-last memory is already in height, width, channel order: no copy but the conversion to f32.
        let x = features.f_permute([0, 2, 3, 1])?.f_flatten(1, -1)?.f_to_kind(Kind::Float)?;
        let x = x.f_mul_scalar(self.feature_scale)?;
        let mut hidden = x.f_linear(&self.hidden_weight, Some(&self.hidden_bias))?.f_relu_()?;
        if let Some(p) = dropout {
            hidden = hidden.f_dropout(p, true)?;
        }
        hidden.f_linear(&self.output_weight, Some(&self.output_bias))
    }

    /// Whether its shapes fit together.
    ///
    /// # Errors
    /// Which don't, in words.
    pub fn check(&self) -> Result<(), String> {
        let (hidden, output) = (self.hidden_weight.size(), self.output_weight.size());
        match (hidden.as_slice(), output.as_slice()) {
            ([units, _], [classes, inner])
                if units == inner && self.hidden_bias.size() == [*units] && self.output_bias.size() == [*classes] =>
            {
                Ok(())
            }
            _ => Err(format!("the head's layers don't fit together: hidden {hidden:?}, output {output:?}")),
        }
    }

    /// How many classes it tells apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.output_bias.numel()
    }

    /// Every tensor that learns, in a fixed order.
    pub fn parameters(&self) -> [&Tensor; 4] {
        [&self.hidden_weight, &self.hidden_bias, &self.output_weight, &self.output_bias]
    }
}

fn glorot_uniform(outputs: i64, inputs: i64, device: Device) -> Result<Tensor, TchError> {
    let limit = (6.0 / (inputs + outputs) as f64).sqrt();
    Tensor::f_empty([outputs, inputs], (Kind::Float, Device::Cpu))?.f_uniform_(-limit, limit)?.f_to_device(device)
}

/// Everything above a freeze boundary.
#[derive(Debug)]
pub struct Tail {
    /// Convolutions from the boundary to `block5_conv3`; none if only the head learns.
    pub convs: Vec<Conv>,
    /// The classifier.
    pub head: Head,
}

impl Tail {
    /// The backbone's own layers from `from` up, as f32 master weights.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn convs(body: &BodyWeights, from: UnfreezeFrom, device: Device) -> Result<Vec<Conv>, TchError> {
        body.layers()[from.frozen()..].iter().map(|layer| Conv::new(layer.spec, &layer.weight, &layer.bias, device)).collect()
    }

    /// Logits `[N, classes]` of activations at the boundary, in the activations' arithmetic up to the head.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn forward(&self, x: &Tensor, dropout: Option<f64>) -> Result<Tensor, TchError> {
        self.head.forward(&conv::forward(&self.convs, x)?, dropout)
    }

    /// Class probabilities `[N, classes]`, f32; no gradients.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn probabilities(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let _fixed = tch::no_grad_guard();
        self.forward(x, None)?.f_softmax(-1, Kind::Float)
    }

    /// Class probabilities of pictures that each come as `views` rows side by side: the mean over them. No gradients.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or rows that aren't whole pictures.
    pub fn view_probabilities(&self, x: &Tensor, views: i64) -> Result<Tensor, TchError> {
        let p = self.probabilities(x)?;
        if views == 1 { Ok(p) } else { p.f_reshape([-1, views, p.size()[1]])?.f_mean_dim(&[1i64][..], false, Kind::Float) }
    }

    /// A copy with convolutions converted once instead of at every step: for serving.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn prepared(self, precision: Precision) -> Result<Self, TchError> {
        let convs = self.convs.iter().map(|conv| conv.to_kind(device::kind(precision))).collect::<Result<_, _>>()?;
        Ok(Self { convs, ..self })
    }

    /// Every tensor that learns, convolutions first, in a fixed order.
    #[must_use]
    pub fn parameters(&self) -> Vec<Tensor> {
        let convs = self.convs.iter().flat_map(|conv| [&conv.weight, &conv.bias]);
        convs.chain(self.head.parameters()).map(Tensor::shallow_clone).collect()
    }

    /// Bytes that its weights take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parameters().iter().map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
    }
}
