//! Whether an artifact fits what is here: its tensors its manifest, its manifest the backbone.

use super::{Manifest, NamedTensor};
use crate::vision::int8::Profile;
use crate::vision::layers::{CONVS, ConvSpec, UnfreezeFrom};
use crate::vision::weights::BodyWeights;

/// Kernel and bias of a convolution, or matrix and bias of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer<'a> {
    /// `[outputs, inputs, 3, 3]` or `[outputs, inputs]`, row-major.
    pub weight: &'a [f32],
    /// `[outputs]`.
    pub bias: &'a [f32],
}

/// The layers that learnt, whole and of the right shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Learnt<'a> {
    /// From the freeze boundary to `block5_conv3`; none if only the head learnt.
    pub convs: Vec<(ConvSpec, Layer<'a>)>,
    /// What features are multiplied by before the hidden layer.
    pub feature_scale: f32,
    /// `[units, side · side · 512]`, columns in height, width, channel order.
    pub hidden: Layer<'a>,
    /// `[classes, units]`.
    pub output: Layer<'a>,
}

/// Why an artifact doesn't fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A tensor isn't there.
    #[error("the artifact has no tensor {0}")]
    Missing(String),
    /// A tensor has another shape than the manifest asks for.
    #[error("the artifact's {name} is {found:?}, not {expected:?}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Its shape, or the count of its numbers if that isn't its shape's.
        found: Vec<usize>,
        /// The right one.
        expected: Vec<usize>,
    },
    /// A number is infinite or none.
    #[error("the artifact's {0} holds a number that isn't finite")]
    NotFinite(String),
    /// It was trained on another body.
    #[error("it was trained on the backbone {id} (SHA-256 {expected}), and the weights here are {found_id} (SHA-256 {found})")]
    Backbone {
        /// The artifact's backbone.
        id: String,
        /// Its hash.
        expected: String,
        /// The one here.
        found_id: String,
        /// Its hash.
        found: String,
    },
    /// Its 8-bit layers have other scales.
    #[error("its 8-bit scales are {expected:?} and those of this version of topgraft {found:?}")]
    Scales {
        /// The artifact's.
        expected: Option<String>,
        /// This version's, if these weights have any.
        found: Option<String>,
    },
}

/// What the weights that are here are known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The backbone's id.
    pub id: String,
    /// SHA-256 of the body's tensors.
    pub sha256: String,
    /// Names their 8-bit scales, if they have any.
    pub scales: Option<String>,
}

impl Ground {
    /// Of these weights.
    #[must_use]
    pub fn of(body: &BodyWeights) -> Self {
        let scales = Profile::of(body).map(|profile| profile.id().to_owned());
        Self { id: body.backbone_id(), sha256: body.sha256(), scales }
    }

    /// Whether a model can run on them: the same numbers, and, with 8-bit layers, the same scales.
    ///
    /// # Errors
    /// [`Misfit::Backbone`], [`Misfit::Scales`].
    pub fn carries(&self, manifest: &Manifest) -> Result<(), Misfit> {
        let wanted = &manifest.backbone;
        if wanted.sha256 != self.sha256 {
            let (id, expected) = (wanted.id.clone(), wanted.sha256.clone());
            return Err(Misfit::Backbone { id, expected, found_id: self.id.clone(), found: self.sha256.clone() });
        }
        if manifest.precision.is_int8() && (self.scales.is_none() || wanted.scales != self.scales) {
            return Err(Misfit::Scales { expected: wanted.scales.clone(), found: self.scales.clone() });
        }
        Ok(())
    }
}

/// Finds the layers that learnt among an artifact's tensors.
///
/// # Errors
/// [`Misfit::Missing`], [`Misfit::Shape`], [`Misfit::NotFinite`].
pub fn learnt<'a>(manifest: &Manifest, tensors: &'a [NamedTensor]) -> Result<Learnt<'a>, Misfit> {
    let found = Tensors(tensors);
    let convs = CONVS[manifest.unfreeze_from.frozen()..].iter();
    let convs = convs.map(|spec| Ok((*spec, found.layer(spec.name, &spec.weight_shape())?))).collect::<Result<_, _>>()?;
    let features = UnfreezeFrom::NONE.boundary_shape(manifest.preprocessing.input_size as usize).iter().product();
    let units = found.named("head.hidden.bias")?.data.len();
    Ok(Learnt {
        convs,
        feature_scale: found.shaped("head.feature_scale", &[1])?[0],
        hidden: found.layer("head.hidden", &[units, features])?,
        output: found.layer("head.output", &[manifest.classes.len(), units])?,
    })
}

struct Tensors<'a>(&'a [NamedTensor]);

impl<'a> Tensors<'a> {
    fn named(&self, name: &str) -> Result<&'a NamedTensor, Misfit> {
        self.0.iter().find(|tensor| tensor.name == name).ok_or_else(|| Misfit::Missing(name.to_owned()))
    }

    /// As many numbers as `shape` says.
    fn shaped(&self, name: &str, shape: &[usize]) -> Result<&'a [f32], Misfit> {
        let tensor = self.named(name)?;
        let numbers = tensor.data.len();
        if tensor.shape != shape || numbers != shape.iter().product::<usize>() {
            let found = if tensor.shape == shape { vec![numbers] } else { tensor.shape.clone() };
            return Err(Misfit::Shape { name: name.to_owned(), found, expected: shape.to_vec() });
        }
        if tensor.data.iter().all(|number| number.is_finite()) {
            Ok(&tensor.data)
        } else {
            Err(Misfit::NotFinite(name.to_owned()))
        }
    }

    fn layer(&self, name: &str, weight: &[usize]) -> Result<Layer<'a>, Misfit> {
        Ok(Layer {
            weight: self.shaped(&format!("{name}.weight"), weight)?,
            bias: self.shaped(&format!("{name}.bias"), &weight[..1])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing::{body, manifest, tensors};
    use crate::vision::precision::Precision;

    #[test]
    fn what_is_missing_or_misshapen_is_named() {
        let manifest = manifest("flowers", 1);
        let whole = tensors(&manifest, 3);
        let found = learnt(&manifest, &whole).unwrap();
        assert_eq!((found.convs.len(), found.hidden.bias.len(), found.output.weight.len()), (3, 3, 6));
        let broken = |change: &dyn Fn(&mut NamedTensor)| {
            let mut tensors = whole.clone();
            tensors.iter_mut().filter(|tensor| tensor.name == "block5_conv2.bias").for_each(change);
            learnt(&manifest, &tensors).unwrap_err()
        };
        assert_eq!(broken(&|tensor| tensor.name.clear()), Misfit::Missing("block5_conv2.bias".to_owned()));
        let shape = |found| Misfit::Shape { name: "block5_conv2.bias".to_owned(), found, expected: vec![512] };
        assert_eq!(broken(&|tensor| tensor.shape = vec![512, 1]), shape(vec![512, 1]));
        assert_eq!(broken(&|tensor| tensor.data.truncate(9)), shape(vec![9]));
        assert_eq!(broken(&|tensor| tensor.data[7] = f32::NAN), Misfit::NotFinite("block5_conv2.bias".to_owned()));
        let mut more = manifest.clone();
        more.classes.push("rose".to_owned());
        assert!(learnt(&more, &whole).unwrap_err().to_string().contains("head.output.weight is [2, 3], not [3, 3]"));
    }

    #[test]
    fn another_backbone_is_refused() {
        let ground = Ground::of(&body());
        let mut manifest = manifest("flowers", 1);
        assert!(matches!(ground.carries(&manifest), Err(Misfit::Backbone { .. })));
        manifest.backbone.sha256.clone_from(&ground.sha256);
        assert_eq!(ground.carries(&manifest), Ok(()));
        manifest.precision = Precision::Int8;
        assert_eq!(ground.carries(&manifest), Err(Misfit::Scales { expected: None, found: None }), "these weights have none");
    }
}
