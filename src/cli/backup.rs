//! `topgraft backup`: a copy of the data folder that is one itself.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::HumanBytes;

use crate::config::SettingsArgs;
use crate::store::{Database, Store};
use crate::upkeep;

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
    if let Some(storage) = &settings.storage {
        bail!("files are kept in {storage}: back that up by its own means, such as versions of objects (docs/backup.md)");
    }
    if let Database::Postgres { url, .. } = settings.database() {
        bail!(
            "the database is {url}: back it up with pg_dump, and the data folder's files by copying them after that (docs/backup.md)"
        );
    }
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
