//! One batch: a pass through the shared prefix, then each model's own layers for its own rows.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use tch::{Kind, TchError, Tensor};

use super::engine::{Group, Request};
use super::loader::Served;
use super::{Answer, ModelRef, PredictError, broken, telemetry};
use crate::vision::backbone::Backbone;
use crate::vision::grad_cam::{HeatMap, heat_map};
use crate::vision::precision::Precision;

/// A picture in the batch, with its model's own layers.
pub struct Seat {
    pub request: Request,
    pub served: Rc<Served>,
}

/// The answers to `seats`, all of one group, in their order.
pub fn batch(backbones: &HashMap<Precision, Backbone>, seats: &[Seat]) -> Vec<Result<Answer, PredictError>> {
    let began = Instant::now();
    let group = seats[0].request.group();
    let activations =
        backbones.get(&group.0).ok_or(PredictError::Unavailable).and_then(|backbone| prefix(backbone, group, seats));
    let activations = match activations {
        Ok(activations) => activations,
        Err(error) => return seats.iter().map(|_| Err(error.clone())).collect(),
    };
    let computed = Instant::now();
    let mut answers: Vec<_> = seats.iter().map(|_| Err(PredictError::Unavailable)).collect();
    for (places, rows) in models(seats) {
        match own_layers(seats, &places, &activations, &rows) {
            Ok(own) => places.into_iter().zip(own).for_each(|(place, answer)| answers[place] = Ok(answer)),
            Err(error) => places.into_iter().for_each(|place| answers[place] = Err(error.clone())),
        }
    }
    telemetry::batch(seats.len(), computed - began, computed.elapsed());
    answers
}

fn prefix(backbone: &Backbone, (_, frozen, side): Group, seats: &[Seat]) -> Result<Tensor, PredictError> {
    let compute = |pixels: &[u8]| {
        let x = backbone.frozen(&backbone.pixels(pixels, side as usize)?, 0, frozen)?;
        backbone.handed_over(&x, frozen)
    };
    match seats {
        [alone] => compute(&alone.request.pixels),
        _ => compute(&seats.iter().map(|seat| seat.request.pixels.as_slice()).collect::<Vec<_>>().concat()),
    }
    .map_err(broken)
}

/// Each model's seats, and their rows among the activations: a request's views lie side by side.
fn models(seats: &[Seat]) -> Vec<(Vec<usize>, Vec<i64>)> {
    let mut models: HashMap<&ModelRef, (Vec<usize>, Vec<i64>)> = HashMap::new();
    let mut row = 0i64;
    for (place, Seat { request, .. }) in seats.iter().enumerate() {
        let (places, rows) = models.entry(&request.model).or_default();
        places.push(place);
        let views = request.views() as i64;
        rows.extend(row..row + views);
        row += views;
    }
    models.into_values().collect()
}

/// What one model says of its own rows.
fn own_layers(seats: &[Seat], places: &[usize], activations: &Tensor, rows: &[i64]) -> Result<Vec<Answer>, PredictError> {
    let Seat { request, served } = &seats[places[0]];
    let views = request.views() as i64;
    let compute = || {
        let x = rows_of(activations, rows)?;
        let computed = served.tail.answers(&x, views)?;
        let probabilities = Vec::<Vec<f32>>::try_from(&computed.probabilities)?;
        let embeddings = Vec::<Vec<f32>>::try_from(&computed.embeddings)?;
        let answers = probabilities.into_iter().zip(embeddings).enumerate().map(|(number, (probabilities, embedding))| {
            let outlier_score = served.outliers.as_ref().map(|outliers| outliers.score(&embedding));
            let Request { explain, neighbours, .. } = seats[places[number]].request;
            let kept = served.neighbours.as_ref().filter(|_| neighbours > 0);
            let neighbours = kept.map(|kept| kept.nearest(&embedding, neighbours));
            let heat_map = if explain {
                Some(explained(served, &x.f_narrow(0, number as i64 * views, 1)?, &probabilities)?)
            } else {
                None
            };
            Ok(Answer { probabilities, outlier_score, neighbours, heat_map })
        });
        answers.collect::<Result<Vec<_>, TchError>>()
    };
    compute().map_err(broken)
}

/// These rows; neighbours are not copied.
fn rows_of(activations: &Tensor, rows: &[i64]) -> Result<Tensor, TchError> {
    let count = rows.len() as i64;
    if rows.windows(2).all(|pair| pair[1] == pair[0] + 1) {
        return activations.f_narrow(0, rows[0], count);
    }
    let rows = Tensor::f_from_slice(rows)?.f_to_kind(Kind::Int64)?.f_to_device(activations.device())?;
    activations.f_index_select(0, &rows)
}

/// The heat map of the most probable class, on the picture as it is.
fn explained(served: &Served, x: &Tensor, probabilities: &[f32]) -> Result<HeatMap, TchError> {
    let best = probabilities.iter().enumerate().fold(0, |best, (k, p)| if *p > probabilities[best] { k } else { best });
    heat_map(&served.tail, x, best as i64)
}
