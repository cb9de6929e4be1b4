//! Copies of the weights: their exponential moving average, and the best epoch's.

use tch::{TchError, Tensor};

/// The exponential moving average of parameters, and the parameters themselves to exchange it with.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    steps: u32,
    average: Vec<Tensor>,
    parameters: Vec<Tensor>,
}

impl Average {
    /// The average of `parameters`, which so far is what they are.
    pub fn new(decay: f64, parameters: &[Tensor]) -> Result<Self, TchError> {
        let parameters: Vec<Tensor> = parameters.iter().map(Tensor::f_detach).collect::<Result<_, _>>()?;
        Ok(Self { decay, steps: 0, average: copy(&parameters)?, parameters })
    }

    /// How many steps it has taken in, and its numbers.
    pub fn state(&self) -> (u32, &[Tensor]) {
        (self.steps, &self.average)
    }

    /// Takes a state that [`Average::state`] gave, of tensors of the same sizes.
    pub fn resume(&mut self, steps: u32, average: &[Tensor]) -> Result<(), TchError> {
        self.steps = steps;
        restore(&self.average, average)
    }

    /// Takes the parameters' present numbers in.
    ///
    /// The first steps weigh more, decay min(d, (1 + t) / (10 + t)) as in TensorFlow's ExponentialMovingAverage: otherwise the
    /// initial weights would linger.
    pub fn update(&mut self) -> Result<(), TchError> {
        let _plain = tch::no_grad_guard();
        self.steps = self.steps.saturating_add(1);
        let steps = f64::from(self.steps);
        let share = 1.0 - self.decay.min((1.0 + steps) / (10.0 + steps));
        self.average.iter_mut().zip(&self.parameters).try_for_each(|(average, p)| average.f_lerp_(p, share).map(drop))
    }

    /// Exchanges the parameters' numbers with the average's; a second time exchanges them back.
    pub fn exchange(&mut self) -> Result<(), TchError> {
        let _plain = tch::no_grad_guard();
        for (average, parameter) in self.average.iter_mut().zip(&mut self.parameters) {
            let kept = duplicate(parameter)?;
            parameter.f_copy_(average)?;
            average.f_copy_(&kept)?;
        }
        Ok(())
    }
}

/// Copies of tensors.
pub fn copy(tensors: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    tensors.iter().map(|tensor| duplicate(&tensor.f_detach()?)).collect()
}

fn duplicate(tensor: &Tensor) -> Result<Tensor, TchError> {
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

/// Sets the numbers of `tensors` to those of `copies`.
pub fn restore(tensors: &[Tensor], copies: &[Tensor]) -> Result<(), TchError> {
    let _plain = tch::no_grad_guard();
    tensors.iter().zip(copies).try_for_each(|(tensor, copy)| tensor.f_detach()?.f_copy_(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(tensor: &Tensor) -> f64 {
        tensor.double_value(&[0])
    }

    #[test]
    fn the_average_follows_and_changes_places() {
        let p = Tensor::from_slice(&[0.0f32]).set_requires_grad(true);
        let mut average = Average::new(0.5, std::slice::from_ref(&p)).unwrap();
        restore(std::slice::from_ref(&p), &[Tensor::from_slice(&[11.0f32])]).unwrap();
        average.update().unwrap();
        // Decay of the first step: 2/11.
        average.exchange().unwrap();
        assert!((number(&p) - 9.0).abs() < 1e-5);
        average.exchange().unwrap();
        assert!((number(&p) - 11.0).abs() < 1e-6);
        for _ in 0..200 {
            average.update().unwrap();
        }
        average.exchange().unwrap();
        assert!((number(&p) - 11.0).abs() < 1e-5);
    }

    #[test]
    fn a_copy_is_its_own() {
        let p = Tensor::from_slice(&[1.0f32]);
        let copies = copy(std::slice::from_ref(&p)).unwrap();
        let _ = p.shallow_clone().fill_(5.0);
        restore(std::slice::from_ref(&p), &copies).unwrap();
        assert!((number(&p) - 1.0).abs() < 1e-9);
    }
}
