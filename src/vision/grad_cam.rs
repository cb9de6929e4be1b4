//! Where in a picture a class's logit comes from: Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep
//! Networks via Gradient-based Localization", equations 1 and 2).

use tch::{Kind, TchError, Tensor};

use super::conv;
use super::tail::Tail;

/// How much each place of a picture speaks for a class: 0 to 1, the strongest place 1; rows from the top.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Places in a row, and rows: the map is square, as the network's input is.
    pub side: usize,
    /// `side` × `side` numbers, row-major.
    pub values: Vec<f32>,
}

/// The heat map of `class` for one picture, `x`: `[1, C, H, W]` activations at the tail's freeze boundary.
///
/// Its places are those of the last convolution, 14 × 14 for 224 pixels, or those of the last pooling if no convolution learns.
///
/// # Errors
/// libtorch's refusal, such as want of memory.
pub fn heat_map(tail: &Tail, x: &Tensor, class: i64) -> Result<HeatMap, TchError> {
    let activations = {
        let _fixed = tch::no_grad_guard();
        match tail.convs.split_last() {
            Some((last, below)) => last.linear(&conv::forward(below, x)?)?.f_relu_()?,
            None => x.shallow_clone(),
        }
    };
    let activations = activations.f_to_kind(Kind::Float)?.f_detach()?.f_set_requires_grad(true)?;
    let pooled = if tail.convs.is_empty() {
        activations.shallow_clone()
    } else {
        activations.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?
    };
    let logit = tail.head.logits(&tail.head.embedding(&pooled)?)?.f_select(1, class)?.f_sum(Kind::Float)?;
    let gradients = Tensor::f_run_backward(&[&logit], &[&activations], false, false)?;
    let _fixed = tch::no_grad_guard();
    let weights = gradients[0].f_mean_dim(&[2i64, 3][..], true, Kind::Float)?;
    let map = activations.f_mul(&weights)?.f_sum_dim_intlist(&[1i64][..], false, Kind::Float)?.f_relu()?;
    let side = map.size()[2] as usize;
    let strongest = f64::try_from(map.f_max()?)?;
    // A map of zeros stays one: nothing in the picture speaks for the class.
    let map = if strongest > 0.0 { map.f_div_scalar(strongest)? } else { map };
    Ok(HeatMap { side, values: Vec::<f32>::try_from(map.f_flatten(0, -1)?)? })
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::vision::conv::Conv;
    use crate::vision::layers::CONVS;
    use crate::vision::tail::Head;

    /// A head that counts the features of one place for class 0 and of another for class 1.
    fn head(side: i64) -> Head {
        let hidden = Tensor::zeros([2, side, side, 512], (Kind::Float, Device::Cpu));
        let _ = hidden.get(0).get(0).get(1).fill_(1.0);
        let _ = hidden.get(1).get(1).get(0).fill_(1.0);
        Head {
            feature_scale: 0.1,
            hidden_weight: hidden.reshape([2, -1]),
            hidden_bias: Tensor::zeros([2], (Kind::Float, Device::Cpu)),
            output_weight: Tensor::eye(2, (Kind::Float, Device::Cpu)),
            output_bias: Tensor::zeros([2], (Kind::Float, Device::Cpu)),
        }
    }

    #[test]
    fn a_map_follows_the_activations_that_speak_for_the_class() {
        let tail = Tail { convs: Vec::new(), head: head(2) };
        // Channel 0 is alight at the top right, channel 1 at the bottom left.
        let x = Tensor::zeros([1, 512, 2, 2], (Kind::Float, Device::Cpu));
        let _ = x.get(0).get(0).get(0).get(1).fill_(8.0);
        let _ = x.get(0).get(1).get(1).get(0).fill_(2.0);
        // The gradient of either class is the same in every channel, so the map is the activations' sum.
        let map = heat_map(&tail, &x, 0).unwrap();
        assert_eq!((map.side, map.values), (2, vec![0.0, 1.0, 0.25, 0.0]));
    }

    #[test]
    fn a_learnt_convolution_gives_a_map_of_its_places_and_leaves_no_gradients() {
        let spec = CONVS[12];
        let mut weight = vec![0f32; spec.weight_len()];
        // The centre of each kernel that leads from a channel to itself: the convolution changes nothing.
        (0..512).for_each(|channel| weight[(channel * 512 + channel) * 9 + 4] = 1.0);
        let conv = Conv::new(spec, &weight, &[0.0; 512], Device::Cpu).unwrap();
        let tail = Tail { convs: vec![conv], head: head(2) };
        let x = Tensor::zeros([1, 512, 4, 4], (Kind::Float, Device::Cpu));
        let _ = x.get(0).get(7).get(0).get(3).fill_(3.0);
        let map = heat_map(&tail, &x, 0).unwrap();
        assert_eq!(map.side, 4);
        assert_eq!(map.values.iter().position(|value| *value == 1.0), Some(3));
        assert!(!tail.head.hidden_weight.grad().defined());
        assert_eq!(heat_map(&tail, &x.zeros_like(), 1).unwrap().values, vec![0.0; 16]);
    }
}
