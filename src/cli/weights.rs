//! `topgraft weights`: get the backbone's weights, or bring others.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::config::SettingsArgs;
use crate::vision::weights::{self, FetchOptions, FetchSource};

/// What to do about weights.
#[derive(Debug, Args)]
pub struct WeightsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download the ImageNet weights, unless they are there already
    Fetch {
        /// Look in this file first
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
    /// Take a VGG16 body from a .safetensors, .onnx, Keras .h5 or PyTorch .pth file
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
}

/// Fetches or imports, and says what came of it.
pub fn run(args: WeightsArgs) -> Result<()> {
    match args.command {
        Command::Fetch { from, settings } => {
            let settings = settings.resolve()?;
            let options = FetchOptions { local_file: from, ..FetchOptions::default() };
            let fetched = weights::fetch(&settings.backbone(), &options, &mut |line| eprintln!("{line}"))?;
            if fetched.source != FetchSource::AlreadyThere {
                println!("ImageNet weights in {}, SHA-256 of the tensors {}", fetched.path.display(), fetched.sha256);
            }
        }
        Command::Import { file, settings } => {
            let settings = settings.resolve()?;
            let imported = weights::import(&file, &settings.backbone())?;
            println!(
                "{} in {}, SHA-256 of the tensors {}",
                imported.backbone_id,
                settings.backbone().display(),
                imported.sha256
            );
        }
    }
    Ok(())
}
