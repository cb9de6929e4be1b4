//! The command line, one file a subcommand: a server, its worker, and the same training and prediction without a server.
//!
//! In the library, not the binary: an `async fn` is compiled by whoever polls it, and the binary would compile much of the library again.

mod backup;
mod check;
mod keys;
mod migrate;
mod models;
mod predict;
mod serve;
mod train;
mod webhooks;
mod weights;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};
use crate::storage::Storage;
use crate::store::Database;
use crate::vision::device;

/// Fine-tune ImageNet VGG16 on labelled pictures and serve the classifier.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API and keep worker processes running
    Serve(serve::ServeArgs),
    /// Run queued jobs, beside a server on the same database and files
    Worker(serve::WorkerArgs),
    /// Train without a server
    Train(Box<train::TrainArgs>),
    /// Classify pictures with a trained model, without a server
    Predict(Box<predict::PredictArgs>),
    /// Models from other machines
    Models(models::ModelsArgs),
    /// Keys for the API
    Keys(keys::KeysArgs),
    /// Bring the database's tables up to date; servers and workers do so at their start, if they may
    Migrate(migrate::MigrateArgs),
    /// Check every byte that is kept, beside a running server or without one
    Check(check::CheckArgs),
    /// Copy the data folder, beside a running server or without one
    Backup(backup::BackupArgs),
    /// The ImageNet weights of the backbone
    Weights(weights::WeightsArgs),
    /// Messages to users' servers
    Webhooks(webhooks::WebhooksArgs),
}

/// The program: does what the command line asks for. The exit status is 0, or 1 after a message about what went wrong; 2 is clap's, for a line that it
/// can't read.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::serve(args),
        Command::Worker(args) => serve::worker(args),
        Command::Train(args) => train::run(*args),
        Command::Predict(args) => predict::run(*args),
        Command::Models(args) => models::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Migrate(args) => migrate::run(args),
        Command::Check(args) => check::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Weights(args) => weights::run(args),
        Command::Webhooks(args) => webhooks::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("topgraft: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sets logging up: `RUST_LOG` decides what is logged, the settings how it looks.
fn start_logging(settings: &Settings, default_level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Settles the device and the threads that the network computes on; before the first tensor.
fn prepare_device(settings: &Settings) -> Result<()> {
    device::select(settings.device)?;
    device::set_threads(settings.threads);
    Ok(())
}

/// A flag that the first interrupt (Ctrl-C) sets; the second ends the process at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime for signals")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
                eprintln!("stopping after this batch; once more to stop at once");
            }
        });
    });
    Ok(stop)
}

/// The storage of the settings, tried.
async fn storage(settings: &Settings) -> Result<Storage> {
    let opened = Storage::open(settings.storage.as_ref(), &settings.data_dir, settings.storage_cache_bytes);
    // Features make room by themselves.
    let opened = opened.and_then(|storage| storage.leaving(&settings.features_dir()));
    let storage = opened.context("the storage can't be opened")?;
    storage.check().await.context("the storage can't be used")?;
    Ok(storage)
}

/// Refuses a data folder without a database: opening one would make it, and everything would look fine.
fn demand_database(settings: &Settings) -> Result<()> {
    match settings.database() {
        Database::Sqlite(file) if !file.exists() => {
            bail!("there is no {}: give the server's data folder with --data-dir", file.display())
        }
        Database::Sqlite(_) | Database::Postgres { .. } => Ok(()),
    }
}

/// What to do when the backbone's weights aren't there.
fn no_weights(path: &Path) -> String {
    format!("no ImageNet weights in {}: run `topgraft weights fetch`", path.display())
}
