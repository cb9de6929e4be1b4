//! `topgraft backup`: a copy of the data folder that is one itself.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::HumanBytes;
use topgraft::config::SettingsArgs;
use topgraft::store::Store;
use topgraft::upkeep;

/// Where to.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Folder for the backup, new or empty; to restore, start a server with it as --data-dir
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Link files instead of copying them where that can be: at once and without room, but on the same disk
    #[arg(long)]
    link: bool,
    #[command(flatten)]
    settings: Box<SettingsArgs>,
}

/// Backs up, and says what.
pub fn run(args: BackupArgs) -> Result<()> {
    let settings = args.settings.resolve()?;
    super::start_logging(&settings, "warn");
    super::demand_database(&settings)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let store = Store::open(&settings.database()).await.context("the database can't be opened")?;
        let summary = upkeep::backup(&settings, &store, &args.to, args.link).await;
        store.close().await;
        let summary = summary?;
        let (to, bytes) = (args.to.display(), HumanBytes(summary.bytes));
        println!("the database and {} files, {bytes}, in {to}; {} of them linked", summary.files, summary.linked);
        Ok(())
    })
}
