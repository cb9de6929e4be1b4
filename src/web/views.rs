//! What pages show that no answer has as it is: pure, from answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::recipe::{Recipe, differences};
use crate::report::{ClassReport, PhaseReport};

/// The most classes whose confusion matrix is shown whole: more cells than this nobody reads, and the page would be megabytes.
const MATRIX: usize = 40;
/// Pairs of classes that are shown in its place.
const PAIRS: usize = 50;
/// Shades of a cell.
const SHADES: u64 = 4;

/// A class's pictures and what they were taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The class.
    pub name: String,
    /// What they were taken for, in the order of classes.
    pub cells: Vec<Cell>,
}

/// Pictures of a class that were taken for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// What they were taken for.
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// The style that shows their share of the row: `hit1` … `hit4` where it is right, `miss1` … where not.
    pub shade: String,
}

/// Two classes of which one is taken for the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The class.
    pub label: String,
    /// What it is taken for.
    pub predicted: String,
    /// Pictures of which that is so.
    pub count: u64,
}

/// The confusion matrix of `phase`; nothing if there are too many classes for one.
#[must_use]
pub fn matrix(phase: &PhaseReport) -> Option<Vec<Row>> {
    let names: Vec<&str> = phase.classes.iter().map(|class| class.name.as_str()).collect();
    let row = |(at, counts): (usize, &Vec<u64>)| {
        let all: u64 = counts.iter().sum();
        let cell = |(column, (&count, name)): (usize, (&u64, &&str))| {
            let kind = if at == column { "hit" } else { "miss" };
            let shade = format!("{kind}{}", (count * SHADES).div_ceil(all.max(1)).max(1));
            Cell { name: (*name).to_owned(), count, shade }
        };
        Row { name: names[at].to_owned(), cells: counts.iter().zip(&names).enumerate().map(cell).collect() }
    };
    (names.len() <= MATRIX).then(|| phase.confusion.iter().enumerate().map(row).collect())
}

/// Which classes are taken for which, most often first.
#[must_use]
pub fn confused(phase: &PhaseReport) -> Vec<Pair> {
    let name = |class: usize| phase.classes[class].name.clone();
    let mut pairs = Vec::new();
    for (row, counts) in phase.confusion.iter().enumerate() {
        let wrong = counts.iter().enumerate().filter(|(column, count)| *column != row && **count > 0);
        pairs.extend(wrong.map(|(column, &count)| Pair { label: name(row), predicted: name(column), count }));
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
    pairs.truncate(PAIRS);
    pairs
}

/// A field in which recipes differ, with each one's value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The field, dotted.
    pub field: String,
    /// A value a recipe.
    pub values: Vec<Value>,
}

/// In what `recipes` differ.
#[must_use]
pub fn recipe_differences(recipes: &[Recipe]) -> Vec<Difference> {
    let all = differences(recipes);
    let fields = all.first().into_iter().flat_map(BTreeMap::keys);
    let values = |field: &String| all.iter().filter_map(|one| one.get(field).cloned()).collect();
    fields.map(|field| Difference { field: field.clone(), values: values(field) }).collect()
}

/// A class's F1 in two versions; nothing where a version doesn't know it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassPair {
    /// The class.
    pub name: String,
    /// In the one.
    pub a: Option<f64>,
    /// In the other.
    pub b: Option<f64>,
}

/// The classes of two versions, sorted.
#[must_use]
pub fn class_pairs(a: &[ClassReport], b: &[ClassReport]) -> Vec<ClassPair> {
    let f1 = |classes: &[ClassReport]| -> BTreeMap<String, f64> { classes.iter().map(|c| (c.name.clone(), c.f1)).collect() };
    let (a, b) = (f1(a), f1(b));
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().map(|name| ClassPair { name: name.clone(), a: a.get(name).copied(), b: b.get(name).copied() }).collect()
}

/// What a version said of a validation picture, as the API lists it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Said {
    image: u64,
    path: String,
    label: String,
    predicted: String,
}

/// A picture of which two versions say different things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// Its number.
    pub image: u64,
    /// Where it was in the archive.
    pub path: String,
    /// Its class.
    pub label: String,
    /// What the one says.
    pub a: String,
    /// What the other says.
    pub b: String,
}

/// How many pictures both were asked about, and those of which they say different things.
#[must_use]
pub fn differing(a: &[Said], b: &[Said]) -> (usize, Vec<Differing>) {
    let other: BTreeMap<u64, &Said> = b.iter().map(|said| (said.image, said)).collect();
    let both: Vec<(&Said, &Said)> = a.iter().filter_map(|one| Some((one, *other.get(&one.image)?))).collect();
    let differ = both.iter().filter(|(a, b)| a.predicted != b.predicted);
    let told = |(a, b): &(&Said, &Said)| Differing {
        image: a.image,
        path: a.path.clone(),
        label: a.label.clone(),
        a: a.predicted.clone(),
        b: b.predicted.clone(),
    };
    (both.len(), differ.map(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Preset;
    use crate::report::PhaseName;

    fn phase(classes: usize, pairs: &[(usize, usize)]) -> PhaseReport {
        let names: Vec<String> = (0..classes).map(|k| format!("c{k}")).collect();
        PhaseReport::new(PhaseName::FineTune, 1, &names, pairs.iter().copied())
    }

    #[test]
    fn cells_are_as_dark_as_their_share_of_the_row() {
        let rows = matrix(&phase(2, &[(0, 0), (0, 0), (0, 0), (0, 1), (1, 1)])).unwrap();
        let shades: Vec<&str> = rows[0].cells.iter().map(|cell| cell.shade.as_str()).collect();
        assert_eq!(shades, ["hit3", "miss1"]);
        assert_eq!((rows[1].cells[1].shade.as_str(), rows[1].cells[1].count), ("hit4", 1));
        assert_eq!(matrix(&phase(41, &[(0, 0)])), None);
    }

    #[test]
    fn the_most_confused_come_first() {
        let pairs = confused(&phase(3, &[(0, 1), (2, 0), (2, 0), (1, 1)]));
        let told: Vec<_> = pairs.iter().map(|pair| (pair.label.as_str(), pair.predicted.as_str(), pair.count)).collect();
        assert_eq!(told, [("c2", "c0", 2), ("c0", "c1", 1)]);
    }

    #[test]
    fn recipes_are_told_apart_by_what_differs() {
        let recipes = [Preset::Balanced.recipe(), Preset::Thorough.recipe()];
        let differences = recipe_differences(&recipes);
        let views = differences.iter().find(|difference| difference.field == "augmentation.views").unwrap();
        assert_eq!(views.values, recipes.map(|recipe| Value::from(recipe.augmentation.count)));
        assert!(!differences.iter().any(|difference| difference.field == "label_smoothing"));
        assert!(recipe_differences(&[]).is_empty());
    }

    #[test]
    fn versions_are_compared_on_what_both_were_asked() {
        let said =
            |image, predicted: &str| Said { image, path: format!("{image}"), label: "a".into(), predicted: predicted.into() };
        let (common, differ) =
            differing(&[said(1, "a"), said(2, "a"), said(3, "b")], &[said(2, "b"), said(3, "b"), said(4, "a")]);
        assert_eq!(common, 2);
        assert_eq!(differ.iter().map(|one| (one.image, one.a.as_str(), one.b.as_str())).collect::<Vec<_>>(), [(2, "a", "b")]);
        let pairs = class_pairs(&phase(1, &[(0, 0)]).classes, &phase(2, &[(0, 1), (1, 1)]).classes);
        assert_eq!((pairs[0].a, pairs[0].b, pairs[1].a), (Some(1.0), Some(0.0), None));
    }
}
