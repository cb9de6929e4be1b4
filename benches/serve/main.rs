//! What the prediction engine does without a network in front: `make bench-serve` sets it beside HTTP.
//!
//! Pictures are rendered already, so this is prefix, block 5 and head and nothing else. Prints `name value` lines.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use futures_util::{StreamExt, stream};
use topgraft::inference::{Call, Input, ModelRef, Predictor, PredictorSettings};
use topgraft::vision::picture::PictureLimits;

#[derive(Parser)]
struct Args {
    /// The model's folder, as `topgraft train` wrote it
    #[arg(long)]
    model: PathBuf,
    /// The backbone's weights
    #[arg(long, default_value = "data/weights/vgg16.safetensors")]
    weights: PathBuf,
    /// Seconds for each figure
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Pictures that are always outstanding: as many as `make bench-serve` has clients.
const CLIENTS: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let settings = PredictorSettings {
        backbone: args.weights,
        limits: PictureLimits::default(),
        queue: 256,
        callers: 64,
        max_batch: 16,
        decode_threads: 2,
        model_cache_bytes: 1 << 30,
    };
    let predictor = Predictor::start(settings)?;
    let model = ModelRef { name: "bench".to_owned(), version: 1, dir: args.model };
    let side = predictor.manifest(&model).await?.preprocessing.input_size as usize;
    let pixels: Bytes = (0..side * side * 3).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect::<Vec<_>>().into();
    let ask = || async {
        let call = Call { deadline: (Instant::now() + Duration::from_secs(600)).into(), explain: false, neighbours: 0 };
        let asked = predictor.predict(&model, vec![Input::Rendered(pixels.clone())], call);
        asked.await.pop().context("one picture, one answer")?.map_err(anyhow::Error::from)
    };
    // The first answer waits for the model to be loaded.
    ask().await?;
    let seconds = Duration::from_secs(args.seconds);

    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < seconds {
        let sent = Instant::now();
        ask().await?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    println!("single_ms {:.2}", times[times.len() / 2].as_secs_f64() * 1e3);

    let began = Instant::now();
    let endless = stream::repeat_with(&ask).take_while(|_| std::future::ready(began.elapsed() < seconds));
    let mut answers = std::pin::pin!(endless.buffer_unordered(CLIENTS));
    let mut count = 0u32;
    while let Some(answer) = answers.next().await {
        answer?;
        count += 1;
    }
    println!("pictures_per_second {:.2}", f64::from(count) / began.elapsed().as_secs_f64());
    Ok(())
}
