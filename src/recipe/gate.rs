//! The gate that a recipe passes.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::request::{AugmentationRequest, OptimizerRequest, PhaseRequest, ScheduleRequest};
use super::{FieldError, InvalidRecipe, Optimizer, Phase, Recipe, Schedule, Views};
use crate::vision::augmentation::Augmentation;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::preprocessing::Resize;

/// Below 160 five poolings leave less than 5 × 5 positions, above 448 a picture is more than four times the work of 224,
/// which the weights were trained on.
const INPUT_SIZE: RangeInclusive<u32> = 160..=448;
/// Five poolings of stride 2: every side must halve five times.
const INPUT_SIZE_STEP: u32 = 1 << 5;
const VIEWS: RangeInclusive<u32> = 0..=64;
const CROP_AREA_MIN: RangeInclusive<f64> = 0.05..=1.0;
const ROTATION: RangeInclusive<f64> = 0.0..=180.0;
const COLOR_JITTER: RangeInclusive<f64> = 0.0..=0.9;
/// Of validation and test together: a tenth at least is learnt from.
const MAX_HELD_OUT: f64 = 0.9;
const EPOCHS: RangeInclusive<u32> = 0..=10_000;
const GRADIENT_CLIP: RangeInclusive<f64> = 0.0..=1_000.0;
const EMA_DECAY: RangeInclusive<f64> = 0.0..=0.99999;
const PATIENCE: RangeInclusive<u32> = 0..=10_000;
const LEARNING_RATE: RangeInclusive<f64> = 1e-9..=10.0;
const MOMENTUM: RangeInclusive<f64> = 0.0..=0.9999;
const WEIGHT_DECAY: RangeInclusive<f64> = 0.0..=1.0;
const RAMP_EPOCHS: RangeInclusive<f64> = 0.0..=1_000.0;
const STEP_EPOCHS: RangeInclusive<u32> = 1..=10_000;
const PLATEAU_PATIENCE: RangeInclusive<u32> = 1..=10_000;

/// Collects every refusal, so that one answer names them all.
#[derive(Default)]
pub(super) struct Gate {
    errors: Vec<FieldError>,
}

impl Gate {
    /// The recipe, if nothing was refused.
    pub(super) fn passed(self, recipe: Recipe) -> Result<Recipe, InvalidRecipe> {
        if self.errors.is_empty() { Ok(recipe) } else { Err(InvalidRecipe(self.errors)) }
    }

    fn refuse(&mut self, field: &str, message: String) {
        self.errors.push(FieldError { field: field.to_owned(), message });
    }

    pub(super) fn within<T: PartialOrd + Copy + Display>(
        &mut self,
        field: &str,
        given: Option<T>,
        base: T,
        range: &RangeInclusive<T>,
    ) -> T {
        let value = given.unwrap_or(base);
        // A NaN compares false with everything, so it is refused here too.
        if !range.contains(&value) {
            self.refuse(field, format!("must be from {} to {}, not {value}", range.start(), range.end()));
        }
        value
    }

    /// For a field that the chosen kind has no use for: answers `fixed`, and lets nothing else be asked for. A recipe read
    /// back gives `fixed` itself, which passes.
    fn unused<T: PartialEq>(&mut self, field: &str, given: Option<T>, fixed: T, owners: &str) -> T {
        if given.is_some_and(|given| given != fixed) {
            self.refuse(field, format!("belongs to {owners}: leave it out"));
        }
        fixed
    }

    pub(super) fn input_size(&mut self, given: Option<u32>, base: u32) -> u32 {
        let size = self.within("input_size", given, base, &INPUT_SIZE);
        if INPUT_SIZE.contains(&size) && !size.is_multiple_of(INPUT_SIZE_STEP) {
            self.refuse(
                "input_size",
                format!("must be a multiple of {INPUT_SIZE_STEP}, not {size}: five poolings halve the side"),
            );
        }
        size
    }

    pub(super) fn layer(&mut self, given: Option<&str>, base: UnfreezeFrom) -> UnfreezeFrom {
        let Some(name) = given else { return base };
        name.parse().unwrap_or_else(|error| {
            self.refuse("fine_tune.unfreeze_from", format!("{error}"));
            base
        })
    }

    /// `resize` is what the request says of evaluation: who changes that means training too, unless told otherwise.
    pub(super) fn augmentation(&mut self, given: Option<AugmentationRequest>, resize: Option<Resize>, base: Views) -> Views {
        let given = given.unwrap_or_default();
        let strengths = base.strengths;
        Views {
            count: self.within("augmentation.views", given.views, base.count, &VIEWS),
            unaugmented: given.unaugmented.or(resize).unwrap_or(base.unaugmented),
            strengths: Augmentation {
                crop_area_min: self.within(
                    "augmentation.crop_area_min",
                    given.crop_area_min,
                    strengths.crop_area_min,
                    &CROP_AREA_MIN,
                ),
                flip: given.flip.unwrap_or(strengths.flip),
                rotation: self.within("augmentation.rotation", given.rotation, strengths.rotation, &ROTATION),
                color_jitter: self.within(
                    "augmentation.color_jitter",
                    given.color_jitter,
                    strengths.color_jitter,
                    &COLOR_JITTER,
                ),
            },
        }
    }

    pub(super) fn phase(&mut self, field: &str, given: PhaseRequest, base: Phase) -> Phase {
        Phase {
            epochs: self.within(&format!("{field}.epochs"), given.epochs, base.epochs, &EPOCHS),
            optimizer: self.optimizer(&format!("{field}.optimizer"), given.optimizer, base.optimizer),
            schedule: self.schedule(&format!("{field}.schedule"), given.schedule, base.schedule),
            gradient_clip: self.within(
                &format!("{field}.gradient_clip"),
                given.gradient_clip,
                base.gradient_clip,
                &GRADIENT_CLIP,
            ),
            ema_decay: self.within(&format!("{field}.ema_decay"), given.ema_decay, base.ema_decay, &EMA_DECAY),
            patience: self.within(&format!("{field}.patience"), given.patience, base.patience, &PATIENCE),
        }
    }

    fn optimizer(&mut self, field: &str, given: Option<OptimizerRequest>, base: Optimizer) -> Optimizer {
        let given = given.unwrap_or_default();
        let kind = given.kind.unwrap_or(base.kind);
        let base = if kind == base.kind {
            base
        } else {
            Optimizer { kind, momentum: 0.0, weight_decay: kind.default_weight_decay(), ..base }
        };
        let momentum = format!("{field}.momentum");
        Optimizer {
            kind,
            momentum: if kind.takes_momentum() {
                self.within(&momentum, given.momentum, base.momentum, &MOMENTUM)
            } else {
                self.unused(&momentum, given.momentum, 0.0, "sgd and rmsprop")
            },
            learning_rate: self.within(
                &format!("{field}.learning_rate"),
                given.learning_rate,
                base.learning_rate,
                &LEARNING_RATE,
            ),
            weight_decay: self.within(&format!("{field}.weight_decay"), given.weight_decay, base.weight_decay, &WEIGHT_DECAY),
        }
    }

    fn schedule(&mut self, field: &str, given: Option<ScheduleRequest>, base: Schedule) -> Schedule {
        let given = given.unwrap_or_default();
        let kind = given.kind.unwrap_or(base.kind);
        let fixed = Schedule::new(kind);
        let base = if kind == base.kind { base } else { Schedule { ramp_epochs: base.ramp_epochs, ..fixed } };
        let (step_epochs, patience) = (format!("{field}.step_epochs"), format!("{field}.patience"));
        Schedule {
            kind,
            ramp_epochs: self.within(&format!("{field}.ramp_epochs"), given.ramp_epochs, base.ramp_epochs, &RAMP_EPOCHS),
            step_epochs: if kind.takes_step_epochs() {
                self.within(&step_epochs, given.step_epochs, base.step_epochs, &STEP_EPOCHS)
            } else {
                self.unused(&step_epochs, given.step_epochs, fixed.step_epochs, "step")
            },
            factor: if kind.takes_factor() {
                self.share(&format!("{field}.factor"), given.factor.unwrap_or(base.factor))
            } else {
                self.unused(&format!("{field}.factor"), given.factor, fixed.factor, "step and plateau")
            },
            patience: if kind.takes_patience() {
                self.within(&patience, given.patience, base.patience, &PLATEAU_PATIENCE)
            } else {
                self.unused(&patience, given.patience, fixed.patience, "plateau")
            },
        }
    }

    /// Like [`Gate::within`] with both ends of 0 to 1 left out.
    fn share(&mut self, field: &str, value: f64) -> f64 {
        if !(value > 0.0 && value < 1.0) {
            self.refuse(field, format!("must be above 0 and below 1, not {value}"));
        }
        value
    }

    /// What fields must keep to between them.
    pub(super) fn together(&mut self, recipe: &Recipe) {
        let held_out = recipe.validation_fraction + recipe.test_fraction;
        // The sum of two decimal fractions may lie a rounding above what they add up to.
        if held_out > MAX_HELD_OUT + 1e-9 && !self.errors.iter().any(|error| error.field.ends_with("_fraction")) {
            self.refuse("test_fraction", format!("must be at most {MAX_HELD_OUT} together with validation_fraction"));
        }
        if recipe.warm_up.epochs == 0 && recipe.fine_tune.phase.epochs == 0 {
            self.refuse("fine_tune.epochs", "must be at least 1 when warm_up.epochs is 0: nothing would be trained".into());
        }
    }
}
