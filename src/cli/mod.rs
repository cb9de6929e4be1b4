//! One file a subcommand.

pub mod backup;
pub mod check;
pub mod keys;
pub mod migrate;
pub mod models;
pub mod predict;
pub mod serve;
pub mod train;
pub mod webhooks;
pub mod weights;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use topgraft::config::{LogFormat, Settings};
use topgraft::storage::Storage;
use topgraft::store::Database;
use topgraft::vision::device;
use tracing_subscriber::EnvFilter;

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
