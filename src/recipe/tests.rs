use proptest::prelude::*;

use super::*;

/// What jobs and manifests hold from before the recipe had more fields.
const OLD: &str = r#"{"preset":"classic","seed":7,"precision":"auto","batch_size":32,"validation_fraction":0.25,
    "head":{"units":256,"dropout":0.5},
    "warm_up":{"epochs":25,"optimizer":{"kind":"rmsprop","learning_rate":0.001,"momentum":0.0,"weight_decay":0.0}},
    "fine_tune":{"epochs":20,"unfreeze_from":"block5_conv1",
        "optimizer":{"kind":"sgd","learning_rate":0.001,"momentum":0.0,"weight_decay":0.0}}}"#;

fn resolve(json: &str) -> Result<Recipe, InvalidRecipe> {
    serde_json::from_str::<RecipeRequest>(json).expect("the test's own JSON").resolve()
}

/// The fields that are refused, in order.
fn refused(json: &str) -> Vec<String> {
    resolve(json).unwrap_err().0.into_iter().map(|error| error.field).collect()
}

#[test]
fn an_empty_request_is_the_balanced_recipe() {
    assert_eq!(resolve("{}").unwrap(), Preset::Balanced.recipe());
}

#[test]
fn every_preset_passes_its_own_gate() {
    for preset in [Preset::Classic, Preset::Balanced, Preset::Thorough] {
        let request = RecipeRequest { preset: Some(preset), ..Default::default() };
        assert_eq!(request.resolve().unwrap(), preset.recipe());
        let json = serde_json::to_string(&preset.recipe()).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), preset.recipe(), "{json}");
    }
}

#[test]
fn a_recipe_from_before_is_what_it_was() {
    let recipe: Recipe = serde_json::from_str(OLD).unwrap();
    let mut expected = Preset::Classic.recipe();
    expected.seed = 7;
    expected.fine_tune.phase.epochs = 20;
    assert_eq!(recipe, expected);
    // The fields that there weren't, at what was done before there were any.
    assert_eq!((recipe.input_size, recipe.resize, recipe.augmentation.count), (224, Resize::Squash, 0));
    assert_eq!((recipe.class_balance, recipe.test_time_flip), (ClassBalance::None, false));
    assert!(recipe.test_fraction == 0.0 && recipe.label_smoothing == 0.0 && !recipe.group_duplicates);
    for phase in [recipe.warm_up, recipe.fine_tune.phase] {
        assert_eq!(phase.schedule, Schedule::new(ScheduleKind::Constant));
        assert!(phase.gradient_clip == 0.0 && phase.ema_decay == 0.0 && phase.patience == 0);
    }
}

#[test]
fn a_recipe_is_written_as_its_request_is_read() {
    let json = serde_json::to_value(Preset::Balanced.recipe()).unwrap();
    assert_eq!(
        json["augmentation"],
        serde_json::json!({
            "views": 2, "unaugmented": "crop", "crop_area_min": 0.4, "flip": true, "rotation": 20.0, "color_jitter": 0.2,
        })
    );
    assert_eq!(
        json["fine_tune"]["schedule"],
        serde_json::json!({"kind": "cosine", "ramp_epochs": 0.0, "step_epochs": 30, "factor": 0.1, "patience": 5})
    );
    assert_eq!(
        (&json["fine_tune"]["epochs"], &json["class_balance"], &json["resize"]),
        (&8.into(), &"none".into(), &"square".into())
    );
}

#[test]
fn training_frames_pictures_as_evaluation_does_unless_told_otherwise() {
    let framed = |json| {
        let recipe = resolve(json).unwrap();
        (recipe.resize, recipe.augmentation.unaugmented, recipe.unaugmented())
    };
    let of_the_preset = (Resize::Square, Resize::Crop, View::Framed(Resize::Crop));
    assert_eq!(framed("{}"), of_the_preset);
    assert_eq!(framed(r#"{"preset": "thorough"}"#), of_the_preset);
    assert_eq!(framed(r#"{"resize": "square", "augmentation": {"unaugmented": "crop"}}"#), of_the_preset);
    // A manifest from before there was a difference.
    let alike = (Resize::Crop, Resize::Crop, View::Evaluation);
    assert_eq!(framed(r#"{"preset": "thorough", "resize": "crop", "augmentation": {"views": 6}}"#), alike);
    assert_eq!(framed(r#"{"resize": "crop"}"#), alike);
    assert_eq!(framed(r#"{"resize": "squash"}"#), (Resize::Squash, Resize::Squash, View::Evaluation));
}

#[test]
fn every_wrong_field_is_named_at_once() {
    let fields = refused(
        r#"{"batch_size": 0, "head": {"dropout": 1.5}, "fine_tune": {"unfreeze_from": "block9_conv1",
            "optimizer": {"kind": "adam", "learning_rate": -1, "momentum": 0.9}}}"#,
    );
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
    let phase = r#"{"epochs": 10001, "gradient_clip": -1, "ema_decay": 1, "patience": 10001,
        "schedule": {"kind": "step", "ramp_epochs": -1, "step_epochs": 0, "factor": 1, "patience": 6}}"#;
    let fields = refused(&format!(
        r#"{{"test_fraction": 0.6, "input_size": 480, "label_smoothing": 0.6, "warm_up": {phase}, "fine_tune": {phase},
            "augmentation": {{"views": 65, "crop_area_min": 0, "rotation": 181, "color_jitter": 1}}}}"#
    ));
    let names = ["epochs", "schedule.ramp_epochs", "schedule.step_epochs", "schedule.factor", "schedule.patience"];
    let names = [&names[..], &["gradient_clip", "ema_decay", "patience"]].concat();
    let mut expected = vec!["test_fraction".to_owned(), "input_size".to_owned()];
    expected.extend(["views", "crop_area_min", "rotation", "color_jitter"].map(|name| format!("augmentation.{name}")));
    expected.push("label_smoothing".to_owned());
    for phase in ["warm_up", "fine_tune"] {
        expected.extend(names.iter().map(|name| format!("{phase}.{name}")));
    }
    assert_eq!(fields, expected);
}

#[test]
fn another_kind_brings_its_own_weight_decay() {
    let recipe = resolve(r#"{"preset": "classic", "fine_tune": {"optimizer": {"kind": "adamw"}}}"#).unwrap();
    assert!((recipe.fine_tune.phase.optimizer.weight_decay - 1e-2).abs() < f64::EPSILON);
    assert!((recipe.fine_tune.phase.optimizer.learning_rate - 1e-3).abs() < f64::EPSILON);
}

#[test]
fn a_run_without_epochs_is_refused() {
    let error = resolve(r#"{"warm_up": {"epochs": 0}, "fine_tune": {"epochs": 0}}"#).unwrap_err();
    assert_eq!(error.0[0].field, "fine_tune.epochs");
}

#[test]
fn unknown_fields_are_refused() {
    for json in [
        r#"{"learning_rate": 1}"#,
        r#"{"augmentation": {"strength": 1}}"#,
        r#"{"warm_up": {"unfreeze_from": "none"}}"#,
        r#"{"fine_tune": {"learning_rate": 1}}"#,
        r#"{"fine_tune": {"schedule": {"warm_up": 1}}}"#,
    ] {
        assert!(serde_json::from_str::<RecipeRequest>(json).is_err(), "{json}");
    }
}

#[test]
fn an_input_that_does_not_halve_five_times_is_refused() {
    let error = resolve(r#"{"input_size": 230}"#).unwrap_err();
    assert_eq!(error.0[0].message, "must be a multiple of 32, not 230: five poolings halve the side");
    assert_eq!(refused(r#"{"input_size": 128}"#), ["input_size"]);
    assert_eq!(resolve(r#"{"input_size": 448}"#).unwrap().input_size, 448);
}

#[test]
fn something_is_left_to_learn_from() {
    assert_eq!(refused(r#"{"validation_fraction": 0.5, "test_fraction": 0.41}"#), ["test_fraction"]);
    // 0.9 in decimals, a rounding more in binary ones.
    for (validation, test) in [(0.4, 0.5), (0.7, 0.2), (0.78, 0.12), (0.9, 0.0)] {
        let json = format!(r#"{{"validation_fraction": {validation}, "test_fraction": {test}}}"#);
        assert!(resolve(&json).is_ok(), "{json}");
    }
}

#[test]
fn what_a_schedule_does_not_use_is_refused_with_its_owners() {
    for (kind, field, owners) in [
        ("constant", "step_epochs\": 3", "step"),
        ("cosine", "factor\": 0.5", "step and plateau"),
        ("step", "patience\": 3", "plateau"),
        ("plateau", "step_epochs\": 3", "step"),
    ] {
        let error = resolve(&format!(r#"{{"warm_up": {{"schedule": {{"kind": "{kind}", "{field}}}}}}}"#)).unwrap_err();
        assert_eq!(error.0.len(), 1, "{error}");
        assert_eq!(error.0[0].message, format!("belongs to {owners}: leave it out"));
    }
}

fn schedules() -> impl Strategy<Value = ScheduleRequest> {
    let kinds = [ScheduleKind::Constant, ScheduleKind::Cosine, ScheduleKind::Step, ScheduleKind::Plateau];
    (proptest::sample::select(kinds.to_vec()), 0.0..=1000.0f64, 1u32..=10_000, 1e-6..1.0f64, 1u32..=10_000).prop_map(
        |(kind, ramp, step, factor, patience)| ScheduleRequest {
            kind: Some(kind),
            ramp_epochs: Some(ramp),
            step_epochs: kind.takes_step_epochs().then_some(step),
            factor: kind.takes_factor().then_some(factor),
            patience: kind.takes_patience().then_some(patience),
        },
    )
}

prop_compose! {
    fn phases()(epochs in 1u32..500, rate in 1e-6..10.0f64, schedule in schedules(), clip in 0.0..=1000.0f64,
                ema in 0.0..0.9999f64, patience in 0u32..=10_000) -> PhaseRequest {
        PhaseRequest {
            epochs: Some(epochs),
            optimizer: Some(OptimizerRequest { learning_rate: Some(rate), ..Default::default() }),
            schedule: Some(schedule),
            gradient_clip: Some(clip),
            ema_decay: Some(ema),
            patience: Some(patience),
        }
    }
}

proptest! {
    /// Whatever resolves reads back as itself: the gate changes nothing that it lets through.
    #[test]
    fn a_resolved_recipe_survives_json(
        preset in prop_oneof![Just(Preset::Classic), Just(Preset::Balanced), Just(Preset::Thorough)],
        seed in 0..=request::MAX_SEED, batch in 1u32..=1024, dropout in 0.0..0.95, size in 5u32..=14, test in 0.0..=0.5,
        smoothing in 0.0..=0.5, warm_up in phases(), views in 0u32..=64, strengths in (0.05..=1.0, 0.0..=180.0, 0.0..=0.9),
        schedule in schedules(),
    ) {
        let request = RecipeRequest {
            preset: Some(preset),
            seed: Some(seed),
            batch_size: Some(batch),
            test_fraction: Some(test),
            input_size: Some(size * 32),
            resize: Some(Resize::Crop),
            head: Some(HeadRequest { units: None, dropout: Some(dropout) }),
            augmentation: Some(AugmentationRequest {
                views: Some(views),
                unaugmented: Some(Resize::Square),
                crop_area_min: Some(strengths.0),
                flip: None,
                rotation: Some(strengths.1),
                color_jitter: Some(strengths.2),
            }),
            label_smoothing: Some(smoothing),
            class_balance: Some(ClassBalance::Sampling),
            warm_up: Some(warm_up),
            fine_tune: Some(FineTuneRequest { schedule: Some(schedule), ..Default::default() }),
            ..Default::default()
        };
        let recipe = request.resolve().unwrap();
        let back: Recipe = serde_json::from_str(&serde_json::to_string(&recipe).unwrap()).unwrap();
        prop_assert_eq!(back, recipe);
    }
}
