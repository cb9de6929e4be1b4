//! A recipe as a request gives it, and the gate it passes.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, FineTune, Head, InvalidRecipe, Optimizer, OptimizerKind, Phase, Preset, Recipe};
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::PrecisionChoice;

/// The largest integer that JSON readers in JavaScript keep exact.
const MAX_SEED: u64 = (1 << 53) - 1;
const EPOCHS: RangeInclusive<u32> = 0..=10_000;
const BATCH_SIZE: RangeInclusive<u32> = 1..=1_024;
const UNITS: RangeInclusive<u32> = 1..=8_192;
const DROPOUT: RangeInclusive<f64> = 0.0..=0.95;
const VALIDATION_FRACTION: RangeInclusive<f64> = 0.01..=0.9;
const LEARNING_RATE: RangeInclusive<f64> = 1e-9..=10.0;
const MOMENTUM: RangeInclusive<f64> = 0.0..=0.9999;
const WEIGHT_DECAY: RangeInclusive<f64> = 0.0..=1.0;

/// A recipe with every field optional; the preset fills the rest.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeRequest {
    /// The preset that fills what is left out; `classic` if none is named.
    pub preset: Option<Preset>,
    /// See [`Recipe::seed`].
    pub seed: Option<u64>,
    /// `auto` (bf16 where the processor has it, else f32), `f32` or `bf16`.
    pub precision: Option<PrecisionChoice>,
    /// Pictures a step, 1 to 1,024.
    pub batch_size: Option<u32>,
    /// Share of each class held out for validation, 0.01 to 0.9.
    pub validation_fraction: Option<f64>,
    /// The new classifier.
    pub head: Option<HeadRequest>,
    /// First phase.
    pub warm_up: Option<PhaseRequest>,
    /// Second phase.
    pub fine_tune: Option<FineTuneRequest>,
}

/// The head, every field optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadRequest {
    /// Width of the hidden layer, 1 to 8,192.
    pub units: Option<u32>,
    /// Dropout probability, 0 to 0.95.
    pub dropout: Option<f64>,
}

/// The warm-up, every field optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseRequest {
    /// Passes over the training pictures, 0 to 10,000.
    pub epochs: Option<u32>,
    /// How weights move.
    pub optimizer: Option<OptimizerRequest>,
}

/// The fine-tune phase, every field optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FineTuneRequest {
    /// Passes over the training pictures, 0 to 10,000.
    pub epochs: Option<u32>,
    /// First convolution that learns, `block1_conv1` … `block5_conv3`, or `none`.
    pub unfreeze_from: Option<String>,
    /// How weights move.
    pub optimizer: Option<OptimizerRequest>,
}

/// An optimiser, every field optional. Another `kind` than the preset's starts from that kind's own defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptimizerRequest {
    /// Which one.
    pub kind: Option<OptimizerKind>,
    /// Step size, above 0 and at most 10.
    pub learning_rate: Option<f64>,
    /// Heavy-ball momentum, 0 to 0.9999; for `sgd` and `rmsprop` only.
    pub momentum: Option<f64>,
    /// Pull towards zero, 0 to 1.
    pub weight_decay: Option<f64>,
}

impl RecipeRequest {
    /// Fills in the preset and validates.
    ///
    /// # Errors
    /// Every field that has to change, each with the range it must lie in.
    pub fn resolve(self) -> Result<Recipe, InvalidRecipe> {
        let preset = self.preset.unwrap_or_default();
        let base = preset.recipe();
        let mut gate = Gate::default();
        let head = self.head.unwrap_or_default();
        let warm_up = self.warm_up.unwrap_or_default();
        let fine_tune = self.fine_tune.unwrap_or_default();
        let recipe = Recipe {
            preset,
            seed: gate.within("seed", self.seed, base.seed, &(0..=MAX_SEED)),
            precision: self.precision.unwrap_or(base.precision),
            batch_size: gate.within("batch_size", self.batch_size, base.batch_size, &BATCH_SIZE),
            validation_fraction: gate.within(
                "validation_fraction",
                self.validation_fraction,
                base.validation_fraction,
                &VALIDATION_FRACTION,
            ),
            head: Head {
                units: gate.within("head.units", head.units, base.head.units, &UNITS),
                dropout: gate.within("head.dropout", head.dropout, base.head.dropout, &DROPOUT),
            },
            warm_up: Phase {
                epochs: gate.within("warm_up.epochs", warm_up.epochs, base.warm_up.epochs, &EPOCHS),
                optimizer: gate.optimizer("warm_up.optimizer", warm_up.optimizer, base.warm_up.optimizer),
            },
            fine_tune: FineTune {
                epochs: gate.within("fine_tune.epochs", fine_tune.epochs, base.fine_tune.epochs, &EPOCHS),
                unfreeze_from: gate.layer(fine_tune.unfreeze_from, base.fine_tune.unfreeze_from),
                optimizer: gate.optimizer("fine_tune.optimizer", fine_tune.optimizer, base.fine_tune.optimizer),
            },
        };
        if recipe.warm_up.epochs == 0 && recipe.fine_tune.epochs == 0 {
            gate.refuse("fine_tune.epochs", "must be at least 1 when warm_up.epochs is 0: nothing would be trained".into());
        }
        if gate.errors.is_empty() { Ok(recipe) } else { Err(InvalidRecipe(gate.errors)) }
    }
}

/// Collects every refusal, so that one answer names them all.
#[derive(Default)]
struct Gate {
    errors: Vec<FieldError>,
}

impl Gate {
    fn refuse(&mut self, field: &str, message: String) {
        self.errors.push(FieldError { field: field.to_owned(), message });
    }

    fn within<T: PartialOrd + Copy + std::fmt::Display>(
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

    fn layer(&mut self, given: Option<String>, base: UnfreezeFrom) -> UnfreezeFrom {
        let Some(name) = given else { return base };
        name.parse().unwrap_or_else(|error| {
            self.refuse("fine_tune.unfreeze_from", format!("{error}"));
            base
        })
    }

    fn optimizer(&mut self, field: &str, given: Option<OptimizerRequest>, base: Optimizer) -> Optimizer {
        let given = given.unwrap_or_default();
        let kind = given.kind.unwrap_or(base.kind);
        let base = if kind == base.kind {
            base
        } else {
            Optimizer { kind, momentum: 0.0, weight_decay: kind.default_weight_decay(), ..base }
        };
        if !kind.takes_momentum() && given.momentum.is_some_and(|momentum| momentum != 0.0) {
            self.refuse(&format!("{field}.momentum"), "belongs to sgd and rmsprop: leave it out".to_owned());
        }
        Optimizer {
            kind,
            learning_rate: self.within(
                &format!("{field}.learning_rate"),
                given.learning_rate,
                base.learning_rate,
                &LEARNING_RATE,
            ),
            momentum: self.within(&format!("{field}.momentum"), given.momentum, base.momentum, &MOMENTUM),
            weight_decay: self.within(&format!("{field}.weight_decay"), given.weight_decay, base.weight_decay, &WEIGHT_DECAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolve(json: &str) -> Result<Recipe, InvalidRecipe> {
        serde_json::from_str::<RecipeRequest>(json).expect("the test's own JSON").resolve()
    }

    #[test]
    fn an_empty_request_is_the_classic_recipe() {
        assert_eq!(resolve("{}").unwrap(), Preset::Classic.recipe());
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let error = resolve(
            r#"{"batch_size": 0, "head": {"dropout": 1.5}, "fine_tune": {"unfreeze_from": "block9_conv1",
                "optimizer": {"kind": "adam", "learning_rate": -1, "momentum": 0.9}}}"#,
        )
        .unwrap_err();
        let fields: Vec<_> = error.0.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "batch_size",
                "head.dropout",
                "fine_tune.unfreeze_from",
                "fine_tune.optimizer.momentum",
                "fine_tune.optimizer.learning_rate"
            ]
        );
    }

    #[test]
    fn another_kind_brings_its_own_weight_decay() {
        let recipe = resolve(r#"{"fine_tune": {"optimizer": {"kind": "adamw"}}}"#).unwrap();
        assert!((recipe.fine_tune.optimizer.weight_decay - 1e-2).abs() < f64::EPSILON);
        assert!((recipe.fine_tune.optimizer.learning_rate - 1e-3).abs() < f64::EPSILON);
    }

    #[test]
    fn a_run_without_epochs_is_refused() {
        let error = resolve(r#"{"warm_up": {"epochs": 0}, "fine_tune": {"epochs": 0}}"#).unwrap_err();
        assert_eq!(error.0[0].field, "fine_tune.epochs");
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<RecipeRequest>(r#"{"learning_rate": 1}"#).is_err());
    }

    proptest! {
        /// Whatever resolves reads back as itself: the gate changes nothing that it lets through.
        #[test]
        fn a_resolved_recipe_survives_json(seed in 0..=MAX_SEED, batch in 1u32..=1024, dropout in 0.0..0.95,
                                           rate in 1e-6..10.0f64, epochs in 1u32..500) {
            let request = RecipeRequest {
                seed: Some(seed),
                batch_size: Some(batch),
                head: Some(HeadRequest { units: None, dropout: Some(dropout) }),
                warm_up: Some(PhaseRequest {
                    epochs: Some(epochs),
                    optimizer: Some(OptimizerRequest { learning_rate: Some(rate), ..Default::default() }),
                }),
                ..Default::default()
            };
            let recipe = request.resolve().unwrap();
            let back: Recipe = serde_json::from_str(&serde_json::to_string(&recipe).unwrap()).unwrap();
            prop_assert_eq!(back, recipe);
        }
    }
}
