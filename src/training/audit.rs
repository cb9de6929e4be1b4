//! What a network sees in a data set's pictures, for [`crate::dataset::audit`] to judge.
//!
//! The activations at the top of the frozen body, averaged over the picture, are what it sees: how like two pictures are is the cosine
//! between them, and a linear head on them, trained on four fifths of the pictures, says of the others what they are. The rows are the
//! training's own, of the picture as training sees it, so after a job nearly all of them are there already.

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Reduction, TchError, Tensor};

use super::features::{FeatureStore, Target, budget, demand, plan as planned};
use super::optimizer::Optimizer;
use super::phase::NO_CLASS;
use super::progress::Reporter;
use super::sample;
use super::{Observer, Plan, TrainingData, TrainingError, seeds};
use crate::dataset::audit::{Evidence, Judgement, Neighbour};
use crate::dataset::split::folds;
use crate::recipe::{Optimizer as Spec, OptimizerKind};
use crate::vision::backbone::Backbone;
use crate::vision::device;
use crate::vision::int8::Profile;

/// Heads, each of which doesn't see a part of the pictures.
const FOLDS: u32 = 5;
/// Steps that a head learns for, and most pictures a step: a linear head needs no more.
const STEPS: u32 = 300;
const PICTURES_A_STEP: i64 = 4096;
const LEARNING_RATE: f64 = 0.01;
/// Keeps a head from being sure of everything: there may be fewer pictures than weights.
const WEIGHT_DECAY: f64 = 0.03;
/// Other classes that are told of a picture.
const OTHERS: usize = 3;
/// Neighbours that are told of a picture.
const NEAREST: i64 = 6;
/// Pictures that are compared with all others at a time: bounds the matrix of similarities.
const COMPARED: i64 = 256;

/// Looks at every picture of `data`; `plan`'s recipe says how.
///
/// # Errors
/// [`TrainingError::Stopped`] when told to stop; pictures, disk or memory otherwise.
pub fn evidence(
    plan: &Plan<'_>,
    data: &TrainingData,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Evidence, TrainingError> {
    let seen = seen(plan, data, observer, stop)?;
    let halt = || if stop.load(Ordering::Relaxed) { Err(TrainingError::Stopped) } else { Ok(()) };
    halt()?;
    let labels: Vec<u32> = data.images.iter().map(|image| image.class).collect();
    let keys: Vec<&str> = data.images.iter().map(|image| image.sha256.as_str()).collect();
    let groups: Vec<Option<u32>> = data.images.iter().map(|image| image.duplicate_group).collect();
    // A copy of a picture would tell its head the label.
    let folds = folds(&labels, &keys, &groups, FOLDS, plan.recipe.seed);
    let mut judgements = vec![Judgement { own: 1.0, others: Vec::new() }; labels.len()];
    let inputs = standardised(&seen)?;
    for fold in 0..FOLDS {
        halt()?;
        judge(&inputs, &labels, data.classes.len(), &folds, fold, plan.recipe.seed, &mut judgements)?;
    }
    Ok(Evidence { judgements, nearest: nearest(&seen, &halt)? })
}

/// What the body sees in each picture: `[N, 512]` f32, each row of length 1. Of square roots, so that a channel that shouts doesn't
/// drown the others (Perronnin, Sánchez and Mensink 2010, section 3.2).
fn seen(plan: &Plan<'_>, data: &TrainingData, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Tensor, TrainingError> {
    let recipe = &plan.recipe;
    let device = device::device();
    let precision = device::resolve(recipe.precision, device, Profile::of(plan.body).is_some());
    let from = recipe.fine_tune.unfreeze_from;
    let backbone = Backbone::new(plan.body, precision, device, from)?;
    let demand = demand(recipe, from, backbone.precision(), (data.images.len() as u64, 0), 0);
    let planned = planned(&demand, budget(&plan.features_dir, plan.feature_cache_bytes)?);
    let mut store = FeatureStore::open(plan, data, backbone, from, &planned)?;
    let images: Vec<usize> = (0..data.images.len()).collect();
    let passes = sample::passes(&images, &[recipe.unaugmented()]);
    let mut reporter = Reporter::new(observer);
    store.ensure(&passes.concat(), &mut reporter, stop)?;
    let mut rows = Vec::with_capacity(passes.len());
    store.each(Target::Head, &passes, stop, |_, x| {
        let mean = x.f_mean_dim(&[2i64, 3][..], false, Kind::Float)?;
        // Behind a ReLU: nothing is negative.
        rows.push(mean.f_sqrt()?.f_to_device(Device::Cpu)?);
        Ok(())
    })?;
    let seen = Tensor::f_cat(&rows, 0)?;
    Ok(seen.f_div(&seen.f_norm_scalaropt_dim(2.0, [1i64], true)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?)
}

/// Each column with mean 0 and deviation 1, as heads learn best from.
fn standardised(seen: &Tensor) -> Result<Tensor, TchError> {
    let centred = seen.f_sub(&seen.f_mean_dim(&[0i64][..], true, Kind::Float)?)?;
    let deviation = centred.f_square()?.f_mean_dim(&[0i64][..], true, Kind::Float)?.f_sqrt()?;
    // A column that never changes stays zero.
    centred.f_div(&deviation.f_clamp_min(f64::from(f32::EPSILON))?)
}

/// Trains a head on the pictures outside of a fold, and writes down what it makes of those in it.
fn judge(
    inputs: &Tensor,
    labels: &[u32],
    classes: usize,
    folds: &[u32],
    fold: u32,
    seed: u64,
    judgements: &mut [Judgement],
) -> Result<(), TrainingError> {
    let numbers = |inside: bool| -> Vec<i64> {
        let chosen = folds.iter().enumerate().filter(|(_, of)| (**of == fold) == inside);
        chosen.map(|(number, _)| number as i64).collect()
    };
    let (inside, outside) = (numbers(true), numbers(false));
    if inside.is_empty() || outside.is_empty() {
        return Ok(());
    }
    let truth: Vec<i64> = outside.iter().map(|&number| i64::from(labels[number as usize])).collect();
    let rows = |numbers: &[i64]| inputs.f_index_select(0, &Tensor::f_from_slice(numbers)?);
    seeds::seed_torch(seed, "audit", u64::from(fold));
    let head = linear_head(&rows(&outside)?, &Tensor::f_from_slice(&truth)?, classes)?;
    let logits = rows(&inside)?.f_linear(&head[0], Some(&head[1]))?;
    let probabilities = Vec::<Vec<f32>>::try_from(&logits.f_softmax(-1, Kind::Float)?)?;
    for (number, probabilities) in inside.into_iter().zip(probabilities) {
        let own = labels[number as usize];
        let mut others: Vec<(u32, f32)> = (0..).zip(probabilities.iter().copied()).filter(|(class, _)| *class != own).collect();
        others.sort_by(|a, b| b.1.total_cmp(&a.1));
        others.truncate(OTHERS);
        judgements[number as usize] = Judgement { own: probabilities[own as usize], others };
    }
    Ok(())
}

/// Weights `[classes, features]` and biases of softmax regression, learnt along a cosine.
fn linear_head(inputs: &Tensor, truth: &Tensor, classes: usize) -> Result<Vec<Tensor>, TchError> {
    let [count, features] = [inputs.size()[0], inputs.size()[1]];
    let zeros = |shape: &[i64]| Ok::<_, TchError>(Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?.set_requires_grad(true));
    let head = vec![zeros(&[classes as i64, features])?, zeros(&[classes as i64])?];
    let spec = Spec { kind: OptimizerKind::Adam, learning_rate: LEARNING_RATE, momentum: 0.0, weight_decay: WEIGHT_DECAY };
    let mut optimizer = Optimizer::new(spec, &head)?;
    let step_size = count.min(PICTURES_A_STEP);
    let order = Tensor::f_randperm(count, (Kind::Int64, Device::Cpu))?;
    for step in 0..STEPS {
        let (inputs, truth) = if step_size == count {
            (inputs.shallow_clone(), truth.shallow_clone())
        } else {
            // Around and around; the last pictures of a round that don't fill a step come in none, but others each round.
            let turned = order.f_roll([-(i64::from(step) * step_size % count)], [0])?.f_narrow(0, 0, step_size)?;
            (inputs.f_index_select(0, &turned)?, truth.f_index_select(0, &turned)?)
        };
        let logits = inputs.f_linear(&head[0], Some(&head[1]))?;
        let loss = logits.f_cross_entropy_loss(&truth, None::<&Tensor>, Reduction::Mean, NO_CLASS, 0.0)?;
        let gradients = Tensor::f_run_backward(&[&loss], &head, false, false)?;
        let rate = 0.5 * LEARNING_RATE * (1.0 + (std::f64::consts::PI * f64::from(step) / f64::from(STEPS)).cos());
        optimizer.step(&gradients, rate)?;
    }
    head.iter().map(Tensor::f_detach).collect()
}

/// Of each picture those that are most like it.
fn nearest(seen: &Tensor, halt: &dyn Fn() -> Result<(), TrainingError>) -> Result<Vec<Vec<Neighbour>>, TrainingError> {
    let count = seen.size()[0];
    let (all, most) = (seen.f_transpose(0, 1)?, NEAREST.min(count - 1));
    let mut nearest = Vec::with_capacity(count as usize);
    for start in (0..count).step_by(COMPARED as usize) {
        halt()?;
        let length = COMPARED.min(count - start);
        let likeness = seen.f_narrow(0, start, length)?.f_matmul(&all)?;
        // Not itself: less than any cosine.
        let _ = likeness.f_narrow(1, start, length)?.f_fill_diagonal_(-2.0, false)?;
        let (values, places) = likeness.f_topk(most, -1, true, true)?;
        for (values, places) in Vec::<Vec<f32>>::try_from(&values)?.into_iter().zip(Vec::<Vec<i64>>::try_from(&places)?) {
            // A place is a picture's number, which 32 bits hold.
            let neighbour = |(similarity, image): (f32, i64)| Neighbour { image: image as u32, similarity };
            nearest.push(values.into_iter().zip(places).map(neighbour).collect());
        }
    }
    Ok(nearest)
}
