//! How fast each stage of training is here, beside what the machine could do at best: `make bench`.
//!
//! Stages are timed alone, each on all cores, best of several rounds; then whole runs by what they report of themselves.
//! With arguments: `--dataset DIR|ARCHIVE` (default: generated photographs), `--weights FILE`, `--data-dir DIR`, and
//! `--whole` to train the default recipe to its end as well.

mod crew;
mod limits;
mod paired;
mod runs;
mod stages;
mod table;

use std::path::PathBuf;

use clap::Parser;
use topgraft::vision::device;
use topgraft::vision::weights::BodyWeights;

#[derive(Parser)]
struct Args {
    /// Labelled pictures
    #[arg(long)]
    dataset: Option<PathBuf>,
    /// The backbone's weights
    #[arg(long, default_value = "data/weights/vgg16.safetensors")]
    weights: PathBuf,
    /// Train the default recipe to its end as well
    #[arg(long)]
    whole: bool,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let body = BodyWeights::load(&args.weights)?;
    let device = device::device();
    println!("{device:?}, {} threads, backbone {}\n", device::threads(), body.backbone_id());
    let work = tempfile::tempdir_in(".")?;
    let pictures = runs::pictures(args.dataset.as_deref(), work.path())?;
    println!("{} pictures in {} classes\n", pictures.images.len(), pictures.classes.len());
    let limits = limits::measure(device)?;
    stages::report(&body, &pictures, device, &limits)?;
    runs::report(&body, &pictures, work.path(), args.whole)
}
