//! `topgraft train`: the same training without a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::artifact;
use crate::charts;
use crate::config::{Settings, SettingsArgs};
use crate::dataset::ingest::{IngestProgress, ingest};
use crate::dataset::pack::Pack;
use crate::recipe::RecipeRequest;
use crate::report::{Epoch, PhaseName, Stage};
use crate::training::{self, Event, Identity, Observer, ObserverError, Plan, TrainingData};
use crate::vision::weights::BodyWeights;

/// The pictures' file names in the model's folder.
const CURVES: &str = "curves.svg";
const CONFUSION: &str = "confusion.svg";

/// What to train.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// Labelled pictures: a folder of class folders, or an archive of one (zip, tar, tar.gz, tar.zst)
    #[arg(long, value_name = "DIR|ARCHIVE")]
    dataset: PathBuf,
    /// Folder for the model; it must not exist yet
    #[arg(long, value_name = "OUT")]
    model: PathBuf,
    /// Recipe as JSON, or @FILE to read it from a file; every field is optional
    #[arg(long, value_name = "JSON", default_value = "{}")]
    recipe: String,
    #[command(flatten)]
    settings: Box<SettingsArgs>,
}

/// Trains, prints both reports, writes the model, its curves and its confusion matrix.
pub fn run(args: TrainArgs) -> Result<()> {
    let settings = args.settings.resolve()?;
    super::start_logging(&settings, "warn");
    super::prepare_device(&settings)?;
    if args.model.exists() {
        bail!("{} exists already: name a new folder with --model", args.model.display());
    }
    let recipe = recipe(&args.recipe)?;
    let backbone = settings.backbone();
    let body = BodyWeights::load(&backbone).with_context(|| super::no_weights(&backbone))?;
    let parent = args.model.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("{} can't be made", parent.display()))?;
    // Beside the model, not in the system's temporary folder, which may be small or in memory.
    let work = tempfile::Builder::new().prefix(".training-").tempdir_in(parent)?;
    let stop = super::stop_on_interrupt()?;
    let data = read(&args.dataset, work.path(), &settings, &stop)?;
    let plan = Plan {
        recipe,
        body: &body,
        features_dir: settings.features_dir(),
        feature_cache_bytes: settings.feature_cache_bytes,
        exchange: None,
        helpers: None,
    };
    let mut bars = Bars::default();
    let trained = training::run(&plan, &data, None, &mut bars, &stop)?;
    bars.finish();
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let identity =
        Identity { model: name(&args.model), version: 0, dataset_id: String::new(), dataset_name: name(&args.dataset) };
    artifact::publish(&args.model, trained.manifest(&plan, &data, identity), &trained.tensors, &trained.report)?;
    draw(&args.model.join(CURVES), charts::curves(&bars.epochs)?)?;
    if let Some(last) = trained.report.phases.last() {
        draw(&args.model.join(CONFUSION), charts::confusion(last)?)?;
    }
    println!("{}", trained.report);
    println!("model in {0}, curves in {0}/{CURVES}, confusion matrix in {0}/{CONFUSION}", args.model.display());
    Ok(())
}

fn draw(path: &Path, svg: String) -> Result<()> {
    std::fs::write(path, svg).with_context(|| format!("{} can't be written", path.display()))
}

fn recipe(text: &str) -> Result<crate::recipe::Recipe> {
    let json = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("the recipe {file} can't be read"))?,
        None => text.to_owned(),
    };
    let request: RecipeRequest = serde_json::from_str(&json).context("the recipe isn't valid JSON for a recipe")?;
    Ok(request.resolve()?)
}

/// Ingests the pictures as an upload would be.
fn read(dataset: &Path, work: &Path, settings: &Settings, stop: &Arc<AtomicBool>) -> Result<TrainingData> {
    let limits = settings.dataset_limits();
    let pack = work.join("pictures.pack");
    let bar = bar("{spinner} reading pictures {pos}");
    let ingested = ingest(dataset, &pack, &limits, &|progress: IngestProgress| bar.set_position(progress.accepted), stop);
    bar.finish_and_clear();
    let ingested = ingested.map_err(|failure| failure.error).with_context(|| dataset.display().to_string())?;
    println!("{} pictures in {} classes", ingested.images.len(), ingested.classes.len());
    for rejected in &ingested.rejected {
        eprintln!("left out {}: {}", rejected.path, rejected.reason);
    }
    Ok(TrainingData {
        classes: ingested.classes,
        images: ingested.images,
        content_sha256: ingested.content_sha256,
        pack: Pack::open(&pack)?,
        limits: limits.picture,
    })
}

/// Progress bars, and the epochs for the curves.
#[derive(Default)]
struct Bars {
    bar: Option<(Stage, ProgressBar)>,
    epochs: Vec<Epoch>,
}

impl Observer for Bars {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        match event {
            Event::Features(plan) => println!("{plan}"),
            Event::Progress(progress) => {
                if self.bar.as_ref().is_none_or(|(stage, _)| *stage != progress.phase) {
                    self.finish();
                    let name = match progress.phase {
                        Stage::Features => "features ",
                        Stage::WarmUp => "warm-up  ",
                        Stage::FineTune => "fine-tune",
                    };
                    let bar = bar("{prefix} {wide_bar} {percent:>3} % {elapsed} (eta {eta}) {msg}").with_prefix(name);
                    bar.set_length(1000);
                    self.bar = Some((progress.phase, bar));
                }
                if let Some((_, bar)) = &self.bar {
                    bar.set_position((progress.fraction * 1000.0) as u64);
                }
            }
            Event::Epoch(epoch) => {
                self.epochs.push(*epoch);
                let line = epoch_line(epoch);
                match &self.bar {
                    // A hidden bar (no terminal) prints nothing of its own, so the line goes out plainly.
                    Some((_, bar)) if !bar.is_hidden() => bar.println(line),
                    _ => println!("{line}"),
                }
            }
            Event::Phase(_) => {}
        }
        Ok(())
    }
}

impl Bars {
    fn finish(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn epoch_line(epoch: &Epoch) -> String {
    let phase = match epoch.phase {
        PhaseName::WarmUp => "warm-up  ",
        PhaseName::FineTune => "fine-tune",
    };
    format!(
        "{phase} {:>4}  loss {:.4}  accuracy {:.4}  val loss {:.4}  val accuracy {:.4}  {:.1} s",
        epoch.epoch, epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy, epoch.seconds
    )
}

fn bar(template: &str) -> ProgressBar {
    // The templates are literals above; a wrong one would show in every run, and then the plain style serves.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style)
}
