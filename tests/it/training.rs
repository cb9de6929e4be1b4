//! Training runs without a server: what is kept between epochs, what repeats, what a stop leaves behind.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use topgraft::artifact::NamedTensor;
use topgraft::config::Settings;
use topgraft::dataset::ingest::ingest;
use topgraft::dataset::pack::Pack;
use topgraft::recipe::RecipeRequest;
use topgraft::report::{FeaturePlan, Stage};
use topgraft::training::{self, Event, Observer, ObserverError, Plan, Trained, TrainingData, TrainingError};
use topgraft::vision::device;
use topgraft::vision::weights::BodyWeights;

use crate::pictures::{entries, zip};
use crate::server::weights;

/// A recipe with every kind of view, small enough for seconds.
pub fn recipe(more: &Value) -> Value {
    let mut recipe = json!({
        "preset": "balanced", "batch_size": 8, "head": {"units": 16}, "input_size": 160, "test_time_flip": true,
        "augmentation": {"views": 1},
        "warm_up": {"epochs": 2, "optimizer": {"learning_rate": 1e-3}},
        "fine_tune": {"epochs": 1}
    });
    for (key, value) in more.as_object().unwrap() {
        recipe[key] = value.clone();
    }
    recipe
}

/// Toy pictures and a feature cache.
pub struct Bench {
    dir: tempfile::TempDir,
    pub data: TrainingData,
    body: BodyWeights,
    budget: u64,
}

/// What a run said, and what stops it.
#[derive(Default)]
pub struct Told {
    pub plan: Option<FeaturePlan>,
    /// Rows of features there from the start, as a share.
    first: Option<f64>,
    /// Progress events about features.
    features: usize,
    stop_after: Option<usize>,
    stop: AtomicBool,
}

impl Observer for &mut Told {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        match event {
            Event::Features(plan) => self.plan = Some(plan.clone()),
            Event::Progress(progress) if progress.phase == Stage::Features => {
                self.features += 1;
                // The first event comes before anything is computed.
                self.first.get_or_insert(progress.fraction);
                if self.stop_after.is_some_and(|after| self.features > after) {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Bench {
    pub fn new(classes: usize, each: usize) -> Self {
        // As processes do that tests start.
        device::set_threads(Some(1));
        let dir = tempfile::tempdir().unwrap();
        let (archive, pack) = (dir.path().join("toys.zip"), dir.path().join("toys.pack"));
        std::fs::write(&archive, zip(&entries(classes, each))).unwrap();
        let limits = Settings::default().dataset_limits();
        let read = ingest(&archive, &pack, &limits, &|_| {}, &AtomicBool::new(false)).map_err(|f| f.error).unwrap();
        let data = TrainingData {
            classes: read.classes,
            images: read.images,
            content_sha256: read.content_sha256,
            pack: Pack::open(&pack).unwrap(),
            limits: limits.picture,
        };
        Self { dir, data, body: BodyWeights::load(&weights()).unwrap(), budget: 1 << 30 }
    }

    pub fn features(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn plan(&self, features: &Path, recipe: &Value) -> Plan<'_> {
        let request: RecipeRequest = serde_json::from_value(recipe.clone()).unwrap();
        Plan {
            recipe: request.resolve().unwrap(),
            body: &self.body,
            features_dir: features.to_owned(),
            feature_cache_bytes: self.budget,
            exchange: None,
            helpers: None,
        }
    }

    fn run(&self, features: &Path, recipe: &Value, told: &mut Told) -> Result<Trained, TrainingError> {
        self.carry_out(&self.plan(features, recipe), told)
    }

    pub fn carry_out(&self, plan: &Plan<'_>, told: &mut Told) -> Result<Trained, TrainingError> {
        // The observer sets the flag that the run reads: one lives in the other's owner.
        let stop = AtomicBool::new(false);
        let mut observer = Forward { told, stop: &stop };
        training::run(plan, &self.data, None, &mut observer, &stop)
    }
}

/// Passes events on, and the wish to stop.
struct Forward<'a> {
    told: &'a mut Told,
    stop: &'a AtomicBool,
}

impl Observer for Forward<'_> {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        (&mut &mut *self.told).observe(event)?;
        if self.told.stop.load(Ordering::Relaxed) {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

pub fn numbers(trained: &Trained) -> Vec<&NamedTensor> {
    trained.tensors.iter().collect()
}

#[test]
fn the_same_seed_gives_the_same_weights_to_the_bit_whether_features_are_there_or_not() {
    let bench = Bench::new(3, 6);
    device::set_threads(Some(2));
    let recipe = recipe(&json!({"label_smoothing": 0.1, "class_balance": "weights"}));
    let run = |features: &str| bench.run(&bench.features(features), &recipe, &mut Told::default()).unwrap();
    let (first, apart, warm) = (run("a"), run("b"), run("a"));
    assert_eq!(numbers(&first), numbers(&apart));
    assert_eq!(numbers(&first), numbers(&warm));
    assert_eq!(first.report, apart.report);
}

#[test]
fn a_second_run_computes_only_what_the_first_did_not() {
    let bench = Bench::new(3, 6);
    let features = bench.features("shared");
    let mut told = Told::default();
    bench.run(&features, &recipe(&json!({})), &mut told).unwrap();
    assert!(told.features > 0);
    let mut again = Told::default();
    bench.run(&features, &recipe(&json!({})), &mut again).unwrap();
    assert_eq!(again.features, 0);
    // Another seed splits otherwise: most rows are there.
    let mut other = Told::default();
    bench.run(&features, &recipe(&json!({"seed": 7})), &mut other).unwrap();
    assert!(other.first.is_none_or(|share| share > 0.4), "{:?}", other.first);
}

#[test]
fn features_of_a_stopped_run_are_kept() {
    let bench = Bench::new(3, 8);
    let features = bench.features("stopped");
    let mut told = Told { stop_after: Some(1), ..Told::default() };
    let stopped = bench.run(&features, &recipe(&json!({})), &mut told);
    assert!(matches!(stopped, Err(TrainingError::Stopped)));
    let mut again = Told::default();
    bench.run(&features, &recipe(&json!({})), &mut again).unwrap();
    let mut fresh = Told::default();
    bench.run(&bench.features("fresh"), &recipe(&json!({})), &mut fresh).unwrap();
    // Nothing is told of features when all are there: a machine that is fast may have computed them before it was told to stop.
    assert!(again.first.is_none_or(|share| share > 0.0), "{:?}", again.first);
    assert_eq!(fresh.first, Some(0.0));
}

#[test]
fn damaged_features_are_computed_again() {
    let bench = Bench::new(3, 6);
    let features = bench.features("damaged");
    let recipe = recipe(&json!({}));
    let first = bench.run(&features, &recipe, &mut Told::default()).unwrap();
    let mut segments = 0;
    for shelf in std::fs::read_dir(&features).unwrap() {
        for file in std::fs::read_dir(shelf.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "segment") {
                let mut bytes = std::fs::read(&path).unwrap();
                // Within the rows: what is read first, header and index, is whole.
                let middle = bytes.len() / 3;
                bytes[middle] ^= 0x40;
                std::fs::write(&path, bytes).unwrap();
                segments += 1;
            }
        }
    }
    assert!(segments >= 2, "{segments}");
    let again = bench.run(&features, &recipe, &mut Told::default()).unwrap();
    assert_eq!(numbers(&first), numbers(&again));
}

#[test]
fn without_room_every_epoch_starts_from_the_pictures() {
    let bench = Bench { budget: 1000, ..Bench::new(3, 6) };
    let features = bench.features("none");
    let mut told = Told::default();
    let trained = bench.run(&features, &recipe(&json!({"augmentation": {"views": 0}})), &mut told).unwrap();
    let plan = told.plan.unwrap();
    assert_eq!((plan.kept, plan.views, plan.rows, told.features), (None, 0, 0, 0));
    assert_eq!(std::fs::read_dir(&features).unwrap().count(), 0);
    // What is kept or not changes no number.
    let kept = Bench { budget: 1 << 30, ..bench };
    let same = kept.run(&kept.features("kept"), &recipe(&json!({"augmentation": {"views": 0}})), &mut Told::default()).unwrap();
    assert_eq!(numbers(&trained), numbers(&same));
}

#[test]
fn learning_may_begin_at_any_layer_and_the_boundary_moves_along() {
    let bench = Bench::new(2, 4);
    for (from, boundary) in [("block1_conv1", "input"), ("block4_conv2", "block4_conv1"), ("none", "block5_pool")] {
        let mut told = Told::default();
        let recipe = recipe(&json!({
            "augmentation": {"views": 0}, "warm_up": {"epochs": 1}, "fine_tune": {"epochs": 1, "unfreeze_from": from}
        }));
        let trained = bench.run(&bench.features("any"), &recipe, &mut told).unwrap();
        assert_eq!(told.plan.unwrap().boundary, boundary);
        assert_eq!(trained.tensors.iter().any(|tensor| tensor.name == format!("{from}.weight")), from != "none");
    }
}

#[test]
fn test_pictures_are_reported_apart_and_the_best_epoch_is_named() {
    let bench = Bench::new(3, 8);
    let recipe = recipe(&json!({
        "test_fraction": 0.25, "augmentation": {"views": 0}, "class_balance": "sampling",
        "warm_up": {"epochs": 40, "patience": 2, "optimizer": {"learning_rate": 3e-3}, "ema_decay": 0.9},
        "fine_tune": {"epochs": 0}
    }));
    let trained = bench.run(&bench.features("test"), &recipe, &mut Told::default()).unwrap();
    let split = trained.report.split;
    assert_eq!((split.train, split.validation, split.test), (12, 6, 6));
    let test = trained.report.test.unwrap();
    assert_eq!(test.classes.iter().map(|class| class.support).sum::<u64>(), 6);
    assert!(test.epoch < 40 && test.epoch == trained.report.phases[0].epoch, "{}", test.epoch);
    assert!(test.accuracy > 0.8, "{}", test.accuracy);
}
