//! The layers that learn: convolutions from the freeze boundary up, and the head.

use tch::{Device, Kind, TchError, Tensor};

use super::conv::{self, Conv};
use super::device;
use super::layers::UnfreezeFrom;
use super::precision::Precision;
use super::weights::BodyWeights;

/// Flatten → Linear(units) → ReLU → Dropout → Linear(classes). It learns in f32; to answer, its large layer is in the
/// arithmetic of the layers below it ([`Tail::prepared`]).
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
        let mut hidden = self.embedding(features)?;
        if let Some(p) = dropout {
            hidden = hidden.f_dropout(p, true)?;
        }
        self.logits(&hidden)
    }

    /// What the hidden layer makes `[N, units]`, f32, of features `[N, C, H, W]`.
    pub(super) fn embedding(&self, features: &Tensor) -> Result<Tensor, TchError> {
        // Channels-last memory is already in height, width, channel order: no copy but the conversion.
        let x = features.f_permute([0, 2, 3, 1])?.f_flatten(1, -1)?.f_to_kind(self.hidden_weight.kind())?;
        let hidden = if x.kind() == Kind::Float {
            x.f_mul_scalar(self.feature_scale)?.f_linear(&self.hidden_weight, Some(&self.hidden_bias))?
        } else {
            let x = x.f_linear(&self.hidden_weight, None::<&Tensor>)?.f_to_kind(Kind::Float)?;
            x.f_mul_scalar(self.feature_scale)?.f_add(&self.hidden_bias)?
        };
        hidden.f_relu()
    }

    /// Logits `[N, classes]` of what the hidden layer made.
    pub(super) fn logits(&self, embedding: &Tensor) -> Result<Tensor, TchError> {
        embedding.f_linear(&self.output_weight, Some(&self.output_bias))
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

/// What a [`Tail`] says of pictures.
#[derive(Debug)]
pub struct Answers {
    /// Class probabilities `[N, classes]`, f32: softmax as it comes.
    pub probabilities: Tensor,
    /// What the head's hidden layer makes of them `[N, units]`, f32, none negative.
    pub embeddings: Tensor,
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

    /// What it says of pictures that each come as `views` rows side by side: the mean over them. No gradients.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory or rows that aren't whole pictures.
    pub fn answers(&self, x: &Tensor, views: i64) -> Result<Answers, TchError> {
        let _fixed = tch::no_grad_guard();
        let embedding = self.head.embedding(&conv::forward(&self.convs, x)?)?;
        let probabilities = self.head.logits(&embedding)?.f_softmax(-1, Kind::Float)?;
        let mean = |x: Tensor| -> Result<Tensor, TchError> {
            if views == 1 { Ok(x) } else { x.f_reshape([-1, views, x.size()[1]])?.f_mean_dim(&[1i64][..], false, Kind::Float) }
        };
        Ok(Answers { probabilities: mean(probabilities)?, embeddings: mean(embedding)? })
    }

    /// A copy to answer with: convolutions and the head's large layer converted once instead of at every step. What a run
    /// validates is what is served, to the bit.
    ///
    /// # Errors
    /// libtorch's refusal, such as want of memory.
    pub fn prepared(&self, precision: Precision) -> Result<Self, TchError> {
        let _fixed = tch::no_grad_guard();
        let kind = device::kind(precision);
        let convs = self.convs.iter().map(|conv| conv.fixed(kind)).collect::<Result<_, _>>()?;
        let head = &self.head;
        let head = Head {
            feature_scale: head.feature_scale,
            hidden_weight: head.hidden_weight.f_to_kind(kind)?,
            hidden_bias: head.hidden_bias.shallow_clone(),
            output_weight: head.output_weight.shallow_clone(),
            output_bias: head.output_bias.shallow_clone(),
        };
        Ok(Self { convs, head })
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
