//! `topgraft predict`: classify pictures without a server, through the very engine that serves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::config::SettingsArgs;
use crate::inference::{Call, Input, ModelRef, Predictor};

/// How long a portion of pictures may take: nobody else waits for this program, so longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What to classify.
#[derive(Debug, clap::Args)]
pub struct PredictArgs {
    /// The model's folder, as `train` wrote it
    #[arg(long, value_name = "OUT")]
    model: PathBuf,
    /// How many of the most probable classes to print
    #[arg(long, default_value_t = 3)]
    top_k: usize,
    /// Pictures
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    #[command(flatten)]
    settings: Box<SettingsArgs>,
}

/// Prints a line a picture: path, then classes with their probabilities, most probable first.
pub fn run(args: PredictArgs) -> Result<()> {
    let settings = args.settings.resolve()?;
    super::start_logging(&settings, "warn");
    if !settings.backbone().exists() {
        bail!(super::no_weights(&settings.backbone()));
    }
    super::prepare_device(&settings)?;
    let model = ModelRef { name: args.model.display().to_string(), version: 0, dir: args.model };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let predictor = Predictor::start(super::serve::predictor_settings(&settings))?;
        let mut failed = 0usize;
        // In portions that fit the engine's queue, so that a thousand pictures need no more memory than these.
        for portion in args.pictures.chunks(settings.max_batch.min(settings.predict_queue).max(1)) {
            let mut bytes = Vec::with_capacity(portion.len());
            for path in portion {
                let read = std::fs::read(path).with_context(|| path.display().to_string())?;
                bytes.push(Input::Encoded(read.into()));
            }
            let call = Call { deadline: Instant::now() + PATIENCE, explain: false, neighbours: 0 };
            for (path, result) in portion.iter().zip(predictor.predict(&model, bytes, call).await) {
                match result {
                    Ok(found) => println!("{}  {}", path.display(), line(found.top(args.top_k, true))),
                    Err(error) => {
                        failed += 1;
                        eprintln!("{}: {error}", path.display());
                    }
                }
            }
        }
        if failed > 0 { bail!("{failed} of {} pictures got no answer", args.pictures.len()) } else { Ok(()) }
    })
}

fn line<'a>(top: impl IntoIterator<Item = (&'a str, f32)>) -> String {
    top.into_iter().map(|(class, probability)| format!("{class} {probability:.4}")).collect::<Vec<_>>().join("  ")
}
