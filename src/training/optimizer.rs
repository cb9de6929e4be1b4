//! Optimisers on plain tensors, so that their whole state can be seen, saved and restored.
//!
//! A step is bound by memory: the head alone has 6.4 million weights, and every operation is a pass over them. Adam's step is one
//! operation, therefore; for the others parameters are walked in pieces that stay in a core's cache from the first operation to the last.

use tch::{Kind, TchError, Tensor};

use crate::recipe::{Optimizer as Spec, OptimizerKind};
use crate::vision::operators::{self, Adam};

/// Numbers a piece: 256 KiB of f32, so that gradient, weight and state of a piece share a core's second-level cache.
const PIECE: i64 = 1 << 16;
/// Keras's RMSprop: decay of the mean squared gradient, and the term that keeps it from zero.
const RMSPROP_DECAY: f64 = 0.9;
const RMSPROP_EPSILON: f64 = 1e-7;
/// Kingma and Ba (2014).
const ADAM_BETA_1: f64 = 0.9;
const ADAM_BETA_2: f64 = 0.999;
const ADAM_EPSILON: f64 = 1e-8;

/// An optimiser with its state.
#[derive(Debug)]
pub struct Optimizer {
    spec: Spec,
    step: i32,
    slots: Vec<Slot>,
}

/// A parameter and what the optimiser remembers of it, flat.
#[derive(Debug)]
struct Slot {
    parameter: Tensor,
    /// Momentum, or Adam's first moment; empty where unused.
    first: Tensor,
    /// Mean squared gradient; empty where unused.
    second: Tensor,
}

impl Optimizer {
    /// An optimiser for `parameters`, which it will change in place.
    pub fn new(spec: Spec, parameters: &[Tensor]) -> Result<Self, TchError> {
        let adam = adam(&spec).is_some();
        let first = adam || spec.momentum > 0.0;
        let second = adam || spec.kind == OptimizerKind::Rmsprop;
        let slots = parameters
            .iter()
            .map(|parameter| {
                let parameter = flat(&parameter.f_detach()?)?;
                let state = |used: bool| {
                    Tensor::f_zeros([if used { parameter.numel() as i64 } else { 0 }], (Kind::Float, parameter.device()))
                };
                Ok(Slot { first: state(first)?, second: state(second)?, parameter })
            })
            .collect::<Result<_, TchError>>()?;
        Ok(Self { spec, step: 0, slots })
    }

    /// How many steps it has made, and what it remembers of each parameter: flat, in the parameters' order.
    pub fn state(&self) -> (i32, Vec<&Tensor>, Vec<&Tensor>) {
        (self.step, self.slots.iter().map(|slot| &slot.first).collect(), self.slots.iter().map(|slot| &slot.second).collect())
    }

    /// Takes a state that [`Optimizer::state`] gave, of tensors of the same sizes.
    pub fn restore(&mut self, steps: i32, first: &[Tensor], second: &[Tensor]) -> Result<(), TchError> {
        self.step = steps;
        for ((slot, first), second) in self.slots.iter_mut().zip(first).zip(second) {
            slot.first.f_copy_(first)?;
            slot.second.f_copy_(second)?;
        }
        Ok(())
    }

    /// Moves every parameter against its gradient by steps of `rate`; `gradients` in the order of the parameters.
    pub fn step(&mut self, gradients: &[Tensor], rate: f64) -> Result<(), TchError> {
        let _plain = tch::no_grad_guard();
        self.step += 1;
        let adam = adam(&self.spec);
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            let gradient = flat(gradient)?;
            if let Some(adam) = &adam {
                let Slot { parameter, first, second } = slot;
                operators::adam(adam, parameter, &gradient, first, second, self.step, rate)?;
                continue;
            }
            let len = slot.parameter.numel() as i64;
            for start in (0..len).step_by(PIECE as usize) {
                let piece = |tensor: &Tensor| tensor.f_narrow(0, start, PIECE.min(len - start));
                let state = |tensor: &Tensor| if tensor.numel() == 0 { Ok(tensor.shallow_clone()) } else { piece(tensor) };
                let piece = Piece {
                    p: piece(&slot.parameter)?,
                    g: piece(&gradient)?,
                    first: state(&slot.first)?,
                    second: state(&slot.second)?,
                };
                piece.step(&self.spec, rate)?;
            }
        }
        Ok(())
    }
}

/// Scales gradients down in place until the Euclidean norm of all of them together is at most `limit` (Pascanu, Mikolov and
/// Bengio 2013). The norm stays on its device: nothing waits for it.
pub fn clip(gradients: &[Tensor], limit: f64) -> Result<(), TchError> {
    let _plain = tch::no_grad_guard();
    let squares = gradients.iter().map(|gradient| gradient.f_square()?.f_sum(Kind::Float)).collect::<Result<Vec<_>, _>>()?;
    let norm = Tensor::f_stack(&squares, 0)?.f_sum(Kind::Float)?.f_sqrt()?;
    // The smallest float keeps a norm of zero from dividing.
    let factor = norm.f_clamp_min(f64::from(f32::MIN_POSITIVE))?.f_reciprocal()?.f_mul_scalar(limit)?.f_clamp_max(1.0)?;
    gradients.iter().try_for_each(|gradient| gradient.shallow_clone().f_mul_(&factor).map(drop))
}

/// Views of the same stretch of a parameter, its gradient and its state.
struct Piece {
    p: Tensor,
    g: Tensor,
    first: Tensor,
    second: Tensor,
}

impl Piece {
    /// A step of SGD or RMSprop.
    fn step(mut self, spec: &Spec, rate: f64) -> Result<(), TchError> {
        if spec.weight_decay > 0.0 {
            self.g = self.g.f_add(&self.p.f_mul_scalar(spec.weight_decay)?)?;
        }
        if spec.kind == OptimizerKind::Rmsprop {
            let _ = self.second.f_lerp_(&self.g.f_square()?, 1.0 - RMSPROP_DECAY)?;
            let direction = self.second.f_add_scalar(RMSPROP_EPSILON)?.f_rsqrt_()?.f_mul_(&self.g)?;
            return self.momentum(&direction, spec.momentum, rate);
        }
        self.momentum(&self.g.shallow_clone(), spec.momentum, rate)
    }

    /// p −= rate · direction, or, with momentum m: v = m·v + direction, p −= rate · v.
    fn momentum(&mut self, direction: &Tensor, momentum: f64, rate: f64) -> Result<(), TchError> {
        let direction = if momentum > 0.0 {
            let _ = self.first.f_mul_scalar_(momentum)?.f_add_(direction)?;
            &self.first
        } else {
            direction
        };
        let _ = self.p.f_sub_(&direction.f_mul_scalar(rate)?)?;
        Ok(())
    }
}

/// What it says of Adam, if it is Adam or AdamW.
fn adam(spec: &Spec) -> Option<Adam> {
    let decoupled = match spec.kind {
        OptimizerKind::Adam => false,
        OptimizerKind::Adamw => true,
        OptimizerKind::Sgd | OptimizerKind::Rmsprop => return None,
    };
    let (betas, epsilon) = ((ADAM_BETA_1, ADAM_BETA_2), ADAM_EPSILON);
    Some(Adam { betas, epsilon, weight_decay: spec.weight_decay, decoupled })
}

/// A one-dimensional view of a tensor, in memory order. Kernels lie channels-last; their gradients may lie otherwise, so
/// both go through the same order of dimensions.
fn flat(tensor: &Tensor) -> Result<Tensor, TchError> {
    if tensor.dim() == 4 { tensor.f_permute([0, 2, 3, 1])?.f_flatten(0, -1) } else { tensor.f_flatten(0, -1) }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;

    /// Three steps on f(p) = p² from p = 1 with step size 0.1, against the formulas worked out by hand in f64.
    fn descend(kind: OptimizerKind, momentum: f64, weight_decay: f64) -> f64 {
        let p = Tensor::from_slice(&[1.0f32]).set_requires_grad(true);
        let spec = Spec { kind, learning_rate: 0.1, momentum, weight_decay };
        let mut optimizer = Optimizer::new(spec, std::slice::from_ref(&p)).unwrap();
        for _ in 0..3 {
            let loss = (&p * &p).sum(Kind::Float);
            let gradients = Tensor::run_backward(&[loss], &[&p], false, false);
            optimizer.step(&gradients, 0.1).unwrap();
        }
        f64::try_from(p.detach().get(0)).unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }

    #[test]
    fn sgd() {
        close(descend(OptimizerKind::Sgd, 0.0, 0.0), 0.8f64.powi(3));
        // v: 2, 3.4, 3.98 − …: p = 1 → 0.8 → 0.46 → 0.062
        close(descend(OptimizerKind::Sgd, 0.9, 0.0), 0.062);
    }

    #[test]
    fn rmsprop_as_keras_does_it() {
        let (mut p, mut v) = (1.0f64, 0.0f64);
        for _ in 0..3 {
            let g = 2.0 * p;
            v = 0.9 * v + 0.1 * g * g;
            p -= 0.1 * g / (v + 1e-7).sqrt();
        }
        close(descend(OptimizerKind::Rmsprop, 0.0, 0.0), p);
    }

    #[test]
    fn adam_and_adamw() {
        for (kind, coupled) in [(OptimizerKind::Adam, true), (OptimizerKind::Adamw, false)] {
            let (mut p, mut m, mut v) = (1.0f64, 0.0f64, 0.0f64);
            for step in 1..=3 {
                let decay = 0.5;
                let g = 2.0 * p + if coupled { decay * p } else { 0.0 };
                if !coupled {
                    p *= 1.0 - 0.1 * decay;
                }
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                p -= 0.1 * (m / (1.0 - 0.9f64.powi(step))) / ((v / (1.0 - 0.999f64.powi(step))).sqrt() + 1e-8);
            }
            close(descend(kind, 0.0, 0.5), p);
        }
    }

    #[test]
    fn clipping_scales_all_gradients_together_and_leaves_small_ones() {
        let gradients = || [Tensor::from_slice(&[3.0f32, 0.0]), Tensor::from_slice(&[4.0f32])];
        let numbers = |g: &[Tensor]| Vec::<f32>::try_from(Tensor::cat(g, 0)).unwrap();
        let clipped = gradients();
        clip(&clipped, 1.0).unwrap();
        assert!(numbers(&clipped).iter().zip([0.6, 0.0, 0.8]).all(|(a, b)| (a - b).abs() < 1e-6));
        let left = gradients();
        clip(&left, 5.5).unwrap();
        assert_eq!(numbers(&left), numbers(&gradients()));
        let nothing = [Tensor::from_slice(&[0.0f32])];
        clip(&nothing, 1.0).unwrap();
        assert_eq!(numbers(&nothing), [0.0]);
    }

    #[test]
    fn kernels_move_whole_whatever_their_layout() {
        let kernel = Tensor::arange(36, (Kind::Float, tch::Device::Cpu)).view([2, 2, 3, 3]);
        let kernel = kernel.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]).set_requires_grad(true);
        let expected = kernel.detach().copy() * 0.9;
        let spec = Spec { kind: OptimizerKind::Sgd, learning_rate: 0.1, momentum: 0.0, weight_decay: 0.0 };
        let mut optimizer = Optimizer::new(spec, std::slice::from_ref(&kernel)).unwrap();
        // A gradient in the other memory order than the kernel's.
        optimizer.step(&[kernel.detach().contiguous().copy()], 0.1).unwrap();
        assert!(kernel.detach().allclose(&expected, 1e-6, 1e-6, false));
    }
}
