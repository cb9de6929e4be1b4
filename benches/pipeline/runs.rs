//! Whole runs, timed by what they report.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use topgraft::config::Settings;
use topgraft::dataset::ingest::ingest;
use topgraft::dataset::pack::Pack;
use topgraft::recipe::{Preset, Recipe};
use topgraft::report::{Epoch, PhaseName, Stage};
use topgraft::training::{self, Event, Observer, ObserverError, Plan, TrainingData};
use topgraft::vision::device;
use topgraft::vision::weights::BodyWeights;

use crate::{paired, stages};

/// Epochs of the phases when the recipe isn't trained to its end: the second runs as all later ones do.
const EPOCHS: u32 = 2;

/// Reads the pictures, or makes some.
pub fn pictures(dataset: Option<&Path>, work: &Path) -> anyhow::Result<TrainingData> {
    let limits = Settings::default().dataset_limits();
    let made = work.join("pictures");
    let dataset = match dataset {
        Some(dataset) => dataset,
        None => {
            make(&made)?;
            &made
        }
    };
    let pack = work.join("pictures.pack");
    let read = ingest(dataset, &pack, &limits, &|_| {}, &AtomicBool::new(false)).map_err(|failure| failure.error)?;
    Ok(TrainingData {
        classes: read.classes,
        images: read.images,
        content_sha256: read.content_sha256,
        pack: Pack::open(&pack)?,
        limits: limits.picture,
    })
}

/// 128 noisy JPEGs of 500 × 600 pixels in two classes.
fn make(folder: &Path) -> anyhow::Result<()> {
    for class in ["even", "odd"] {
        std::fs::create_dir_all(folder.join(class))?;
        for number in 0..64u32 {
            let noise = |x: u32, y: u32, c: u32| ((x * (7 + number) + y * 13 + c * 71) % 251) as u8;
            let picture = image::RgbImage::from_fn(500, 600, |x, y| image::Rgb([0, 1, 2].map(|c| noise(x / 4, y / 4, c))));
            picture.save(folder.join(class).join(format!("{number}.jpg")))?;
        }
    }
    Ok(())
}

/// Times of a run's parts, in seconds.
struct Clock {
    began: Instant,
    features_began: Option<Instant>,
    features: f64,
    rows: u64,
    /// Until the first epoch began.
    first_epoch: f64,
    epochs: Vec<Epoch>,
}

impl Observer for Clock {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        match event {
            Event::Features(plan) => self.rows = plan.rows,
            Event::Progress(progress) if progress.phase == Stage::Features => {
                let began = *self.features_began.get_or_insert_with(Instant::now);
                self.features = began.elapsed().as_secs_f64();
            }
            Event::Epoch(epoch) => {
                if self.epochs.is_empty() {
                    self.first_epoch = self.began.elapsed().as_secs_f64() - epoch.seconds;
                }
                self.epochs.push(*epoch);
            }
            Event::Progress(_) | Event::Phase(_) => {}
        }
        Ok(())
    }
}

impl Clock {
    fn start() -> Self {
        Self { began: Instant::now(), features_began: None, features: 0.0, rows: 0, first_epoch: 0.0, epochs: Vec::new() }
    }

    /// Seconds of a phase's last epoch.
    fn epoch(&self, phase: PhaseName) -> f64 {
        self.epochs.iter().rfind(|epoch| epoch.phase == phase).map_or(0.0, |epoch| epoch.seconds)
    }
}

/// Runs `classic` and `balanced`, shortened unless `whole`, each on a cold cache; then `balanced` once more on a warm one.
pub fn report(body: &BodyWeights, data: &TrainingData, work: &Path, whole: bool) -> anyhow::Result<()> {
    for preset in [Preset::Classic, Preset::Balanced] {
        let features = work.join(format!("features-{preset:?}"));
        let full = preset.recipe();
        let mut recipe = full;
        if !whole || preset == Preset::Classic {
            recipe.warm_up.epochs = EPOCHS;
            recipe.fine_tune.phase.epochs = EPOCHS;
        }
        let (side, half) = (recipe.input_size as usize, data.images.len() / 2);
        let noise = || stages::features_of_noise(body, device::device(), side, half);
        let before = noise()?;
        let (clock, seconds) = run(body, data, &features, recipe)?;
        let after = noise()?;
        let rate = clock.rows as f64 / clock.features;
        println!(
            "{preset:?}: features of {} views of {side} × {side} pixels in {:.1} s, {rate:.1} a second with decoding",
            clock.rows, clock.features,
        );
        let on_noise = 2.0 / (before + after);
        let reached = 100.0 * rate / on_noise;
        println!(
            "  {reached:.0} % of {on_noise:.1} on as many views of noise as there are pictures, half before the run and half after"
        );
        paired::report(body, data, &recipe)?;
        let (warm_up, fine_tune) = (clock.epoch(PhaseName::WarmUp), clock.epoch(PhaseName::FineTune));
        println!("  an epoch: warm-up {warm_up:.2} s, fine-tune {fine_tune:.1} s");
        let epochs = f64::from(full.warm_up.epochs) * warm_up + f64::from(full.fine_tune.phase.epochs) * fine_tune;
        let whole = if recipe == full { seconds } else { clock.features + epochs };
        let how = if recipe == full { "measured" } else { "from these figures" };
        let (first, second) = (full.warm_up.epochs, full.fine_tune.phase.epochs);
        println!("  the whole of {first} + {second} epochs: {whole:.0} s ({how})");
        if let Some(last) = clock.epochs.last().filter(|_| recipe == full) {
            println!("  validation accuracy {:.4}", last.val_accuracy);
        }
        if preset == Preset::Balanced {
            let mut again = recipe;
            again.warm_up.epochs = 1;
            again.fine_tune.phase.epochs = 1;
            let (clock, _) = run(body, data, &features, again)?;
            println!("  once more: the first epoch begins after {:.1} s", clock.first_epoch);
        }
    }
    Ok(())
}

fn run(body: &BodyWeights, data: &TrainingData, features: &Path, recipe: Recipe) -> anyhow::Result<(Clock, f64)> {
    let plan = Plan {
        recipe,
        body,
        features_dir: features.to_owned(),
        feature_cache_bytes: Settings::default().feature_cache_bytes,
        exchange: None,
        helpers: None,
    };
    let mut clock = Clock::start();
    training::run(&plan, data, None, &mut clock, &AtomicBool::new(false))?;
    let seconds = clock.began.elapsed().as_secs_f64();
    Ok((clock, seconds))
}
