//! Many recipes at once: a base of which some fields vary, or a list. And back: in what recipes differ.

#[cfg(test)]
mod tests;
mod vary;

use std::collections::BTreeMap;

use serde_json::Value;

pub use vary::Vary;

use super::{FieldError, InvalidRecipe, Recipe, RecipeRequest};

/// The most recipes that are tried together.
pub const MAX_TRIALS: usize = 256;

/// Recipes that can't be tried together: every field that has to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sweep has fields that must change: {}", .0.iter().map(|e| format!("{} {}", e.field, e.message)).collect::<Vec<_>>().join("; "))]
pub struct InvalidSweep(pub Vec<FieldError>);

/// Whole recipes, each by itself.
///
/// # Errors
/// Every field that has to change, as `recipes[n].FIELD`; recipes that are there twice.
pub fn resolve_all(requests: Vec<RecipeRequest>) -> Result<Vec<Recipe>, InvalidSweep> {
    if !(1..=MAX_TRIALS).contains(&requests.len()) {
        let message = format!("must be 1 to {MAX_TRIALS} recipes, not {}", requests.len());
        return Err(InvalidSweep(vec![error_at("recipes", message)]));
    }
    let (mut recipes, mut errors) = (Vec::new(), Vec::new());
    for (n, request) in requests.into_iter().enumerate() {
        match request.resolve() {
            Ok(recipe) => recipes.push(recipe),
            Err(InvalidRecipe(refused)) => {
                errors.extend(refused.into_iter().map(|e| error_at(format!("recipes[{n}].{}", e.field), e.message)));
            }
        }
    }
    if errors.is_empty()
        && let Some((one, other)) = twice(&recipes)
    {
        errors.push(error_at(format!("recipes[{other}]"), format!("is the same recipe as recipes[{one}]: leave it out")));
    }
    if errors.is_empty() { Ok(recipes) } else { Err(InvalidSweep(errors)) }
}

/// Of each recipe, the dotted fields whose values are not the same in all.
#[must_use]
pub fn differences(recipes: &[Recipe]) -> Vec<BTreeMap<String, Value>> {
    let mut all: Vec<_> = recipes.iter().map(leaves).collect();
    let Some(first) = all.first().cloned() else { return all };
    // Every recipe has the same fields.
    let differs = |field: &String| all.iter().any(|leaves| leaves.get(field) != first.get(field));
    let fields: Vec<_> = first.keys().filter(|field| differs(field)).cloned().collect();
    all.iter_mut().for_each(|leaves| leaves.retain(|field, _| fields.contains(field)));
    all
}

/// The first two recipes that are the same.
fn twice(recipes: &[Recipe]) -> Option<(usize, usize)> {
    let same = |(other, recipe)| recipes[..other].iter().position(|one| one == recipe).map(|one| (one, other));
    recipes.iter().enumerate().find_map(same)
}

/// A recipe's values by their dotted fields.
fn leaves(recipe: &Recipe) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: Value, leaves: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                let below = |field: String| if path.is_empty() { field } else { format!("{path}.{field}") };
                fields.into_iter().for_each(|(field, value)| walk(&below(field), value, leaves));
            }
            value => {
                leaves.insert(path.to_owned(), value);
            }
        }
    }
    let mut found = BTreeMap::new();
    // A recipe is plain data with text for keys, so it can be written.
    walk("", serde_json::to_value(recipe).expect("plain data serialises"), &mut found);
    found
}

fn error_at(field: impl Into<String>, message: impl ToString) -> FieldError {
    FieldError { field: field.into(), message: message.to_string() }
}
