use serde_json::json;

use super::*;

fn request(json: Value) -> RecipeRequest {
    serde_json::from_value(json).unwrap()
}

/// From text, since a `Value` sorts its fields.
fn vary(base: Value, fields: &str) -> Result<Vec<Recipe>, InvalidSweep> {
    serde_json::from_str::<Vary>(fields).unwrap().recipes(&request(base))
}

fn refused(result: Result<Vec<Recipe>, InvalidSweep>) -> Vec<(String, String)> {
    result.unwrap_err().0.into_iter().map(|error| (error.field, error.message)).collect()
}

fn fields(result: Result<Vec<Recipe>, InvalidSweep>) -> Vec<String> {
    refused(result).into_iter().map(|(field, _)| field).collect()
}

#[test]
fn every_combination_in_the_order_of_the_fields_as_given() {
    let recipes =
        vary(json!({"head": {"dropout": 0.1}}), r#"{"warm_up.epochs": [1, 2], "head.units": [8, 16, 32], "seed": [7]}"#)
            .unwrap();
    let told: Vec<_> = recipes.iter().map(|r| (r.warm_up.epochs, r.head.units)).collect();
    assert_eq!(told, [(1, 8), (1, 16), (1, 32), (2, 8), (2, 16), (2, 32)]);
    assert!(recipes.iter().all(|r| r.seed == 7 && (r.head.dropout - 0.1).abs() < 1e-9));
    assert_eq!(vary(json!({"seed": 3}), "{}").unwrap()[0].seed, 3, "nothing varied is the base alone");
    let differ = differences(&recipes);
    assert_eq!(differ[1], BTreeMap::from([("head.units".to_owned(), json!(16)), ("warm_up.epochs".to_owned(), json!(1))]));
    assert!(differences(&recipes[..1])[0].is_empty() && differences(&[]).is_empty());
}

#[test]
fn what_can_not_vary_is_named() {
    let base = json!({});
    let unknown = vary(base.clone(), r#"{"head.unit": [1], "head": [{"units": 1}], "seed": []}"#);
    assert_eq!(fields(unknown), ["vary.head.unit", "vary.head", "vary.seed"]);
    let unread = vary(base.clone(), r#"{"head.units": [8, "many"], "warm_up.optimizer.kind": ["sgd", "lion"]}"#);
    assert_eq!(fields(unread), ["vary.head.units[1]", "vary.warm_up.optimizer.kind[1]"]);
    let values = |count: usize| json!((0..count).collect::<Vec<_>>()).to_string();
    let many = format!(r#"{{"seed": {}, "warm_up.epochs": {}}}"#, values(129), values(2));
    assert_eq!(fields(vary(base.clone(), &many)), ["vary"]);
    let whole = format!(r#"{{"seed": {}}}"#, values(MAX_TRIALS));
    assert_eq!(vary(base.clone(), &whole).unwrap().len(), MAX_TRIALS);
    assert!(serde_json::from_str::<Vary>(r#"{"seed": [1], "seed": [2]}"#).is_err());
    let twice = refused(vary(base, r#"{"head.units": [8, 16, 8]}"#));
    assert_eq!(twice, [("vary".to_owned(), "makes the same trial twice: head.units = 8; head.units = 8".to_owned())]);
}

#[test]
fn each_refusal_is_named_once_with_a_trial_that_it_is_about() {
    let base = json!({"batch_size": 0});
    let wrong = refused(vary(base, r#"{"head.units": [8, 0], "warm_up.epochs": [1, 2]}"#));
    assert_eq!(wrong.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), ["recipe.batch_size", "vary.head.units[1]"]);
    assert_eq!(wrong[1].1, "must be from 1 to 8192, not 0 (in the trial of head.units = 0, warm_up.epochs = 1)");
    // Wrong in a combination only.
    let momentum = json!({"preset": "classic", "warm_up": {"optimizer": {"momentum": 0.9}}});
    let wrong = refused(vary(momentum, r#"{"warm_up.optimizer.kind": ["sgd", "adam"]}"#));
    assert_eq!(wrong[0].0, "recipe.warm_up.optimizer.momentum");
    assert!(wrong[0].1.ends_with("(in the trial of warm_up.optimizer.kind = \"adam\")"), "{}", wrong[0].1);
    // A base that no trial is.
    assert!(vary(json!({"head": {"units": 0}}), r#"{"head.units": [8]}"#).is_ok());
}

#[test]
fn recipes_may_be_listed() {
    let classic = || request(json!({"preset": "classic"}));
    let recipes = resolve_all(vec![classic(), request(json!({"preset": "classic", "seed": 1}))]).unwrap();
    assert_eq!(differences(&recipes)[1], BTreeMap::from([("seed".to_owned(), json!(1))]));
    assert_eq!(fields(resolve_all(Vec::new())), ["recipes"]);
    assert_eq!(fields(resolve_all(vec![classic(); MAX_TRIALS + 1])), ["recipes"]);
    assert_eq!(fields(resolve_all(vec![classic(), request(json!({"head": {"units": 0}}))])), ["recipes[1].head.units"]);
    assert_eq!(fields(resolve_all(vec![classic(), classic()])), ["recipes[1]"]);
}
