//! A base recipe of which some fields vary.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::{InvalidSweep, MAX_TRIALS, error_at, leaves, twice};
use crate::recipe::{FieldError, InvalidRecipe, Recipe, RecipeRequest};

/// Fields of a recipe by their dotted path, each with the values that it takes, in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub struct Vary(Vec<(String, Vec<Value>)>);

impl<'de> Deserialize<'de> for Vary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// Reads a map without losing its order.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from dotted fields of a recipe to arrays of values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vary, A::Error> {
        let mut fields: Vec<(String, Vec<Value>)> = Vec::new();
        while let Some((field, values)) = map.next_entry::<String, _>()? {
            if fields.iter().any(|(there, _)| *there == field) {
                return Err(A::Error::custom(format!("{field} is there twice")));
            }
            fields.push((field, values));
        }
        Ok(Vary(fields))
    }
}

impl Vary {
    /// Every combination of the values on top of `base`; the last field's change fastest.
    ///
    /// # Errors
    /// Every field that has to change: `vary.FIELD[n]` where a value is wrong by itself or in a combination, `recipe.FIELD`
    /// where the base is; combinations that make the same recipe twice.
    pub fn recipes(&self, base: &RecipeRequest) -> Result<Vec<Recipe>, InvalidSweep> {
        self.check()?;
        // A request is plain data with text for keys, so it can be written.
        let base = serde_json::to_value(base).expect("plain data serialises");
        self.readable(&base)?;
        let mut refused = Refused::default();
        let mut recipes = Vec::new();
        for trial in 0..self.count().unwrap_or_default() {
            let choice = self.choice(trial);
            let mut request = base.clone();
            self.0.iter().zip(&choice).for_each(|((field, values), &value)| set(&mut request, field, values[value].clone()));
            match serde_json::from_value::<RecipeRequest>(request).map(RecipeRequest::resolve) {
                Ok(Ok(recipe)) => recipes.push(recipe),
                Ok(Err(InvalidRecipe(errors))) => {
                    errors
                        .into_iter()
                        .for_each(|error| refused.add(error, |field| self.name(field, &choice), &self.text(&choice)));
                }
                // Each value was read before, and none decides whether another can be.
                Err(error) => refused.add(error_at("", error), |_| "vary".to_owned(), &self.text(&choice)),
            }
        }
        refused.none()?;
        let same = |(one, other)| error_at("vary", format!("makes the same trial twice: {}; {}", self.of(one), self.of(other)));
        twice(&recipes).map(same).map_or(Ok(recipes), |error| Err(InvalidSweep(vec![error])))
    }

    /// Whether its fields are a recipe's, and how many trials it makes.
    fn check(&self) -> Result<(), InvalidSweep> {
        let known = leaves(&Recipe::default());
        let mut errors = Vec::new();
        for (field, values) in &self.0 {
            let field = format!("vary.{field}");
            if !known.contains_key(&field["vary.".len()..]) {
                errors.push(error_at(field, "is no field of a recipe that has a value: write one as head.units"));
            } else if values.is_empty() {
                errors.push(error_at(field, "must have a value at least"));
            }
        }
        if errors.is_empty() && self.count().is_none_or(|trials| trials > MAX_TRIALS) {
            errors.push(error_at("vary", format!("must make {MAX_TRIALS} trials at most: give fewer values")));
        }
        if errors.is_empty() { Ok(()) } else { Err(InvalidSweep(errors)) }
    }

    /// Whether each value is of its field's type.
    fn readable(&self, base: &Value) -> Result<(), InvalidSweep> {
        let values = self.0.iter().flat_map(|(field, values)| values.iter().enumerate().map(move |value| (field, value)));
        let wrong = |(field, (n, value)): (&String, (usize, &Value))| {
            let mut request = base.clone();
            set(&mut request, field, value.clone());
            let error = serde_json::from_value::<RecipeRequest>(request).err()?;
            Some(error_at(format!("vary.{field}[{n}]"), format!("can't be read: {error}")))
        };
        let errors: Vec<_> = values.filter_map(wrong).collect();
        if errors.is_empty() { Ok(()) } else { Err(InvalidSweep(errors)) }
    }

    /// How many combinations there are; none if too many to count.
    fn count(&self) -> Option<usize> {
        self.0.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()))
    }

    /// Which value each field has in a trial.
    fn choice(&self, trial: usize) -> Vec<usize> {
        let mut rest = trial;
        let mut choice = vec![0; self.0.len()];
        for (value, (_, values)) in choice.iter_mut().zip(&self.0).rev() {
            *value = rest % values.len();
            rest /= values.len();
        }
        choice
    }

    /// Where a field's value came from.
    fn name(&self, field: &str, choice: &[usize]) -> String {
        let varied = self.0.iter().zip(choice).find(|((varied, _), _)| varied == field);
        varied.map_or_else(|| format!("recipe.{field}"), |(_, value)| format!("vary.{field}[{value}]"))
    }

    /// The trial, for people.
    fn text(&self, choice: &[usize]) -> String {
        let field = |((field, values), &value): (&(String, Vec<Value>), &usize)| format!("{field} = {}", values[value]);
        self.0.iter().zip(choice).map(field).collect::<Vec<_>>().join(", ")
    }

    fn of(&self, trial: usize) -> String {
        self.text(&self.choice(trial))
    }
}

/// Gives a field of a request a value.
fn set(request: &mut Value, field: &str, value: Value) {
    let place = field.split('.').fold(request, |place, name| {
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        &mut place[name]
    });
    *place = value;
}

/// Refusals of many trials, each named once, with the first trial that it is about.
#[derive(Default)]
struct Refused {
    seen: Vec<FieldError>,
    errors: Vec<FieldError>,
}

impl Refused {
    fn add(&mut self, error: FieldError, name: impl Fn(&str) -> String, trial: &str) {
        let named = error_at(name(&error.field), &error.message);
        if self.seen.contains(&named) {
            return;
        }
        let message = if trial.is_empty() { error.message } else { format!("{} (in the trial of {trial})", error.message) };
        self.errors.push(FieldError { field: named.field.clone(), message });
        self.seen.push(named);
    }

    fn none(self) -> Result<(), InvalidSweep> {
        if self.errors.is_empty() { Ok(()) } else { Err(InvalidSweep(self.errors)) }
    }
}
