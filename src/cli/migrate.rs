//! `topgraft migrate`: the database's tables, brought up to date by somebody who may change them.

use anyhow::{Context, Result};
use clap::Args;

use crate::config::SettingsArgs;
use crate::store::Store;

/// Which database.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    settings: Box<SettingsArgs>,
}

/// Brings the tables up to date, and says of which database.
pub fn run(args: MigrateArgs) -> Result<()> {
    let settings = args.settings.resolve()?;
    super::start_logging(&settings, "warn");
    let database = settings.database();
    tokio::runtime::Runtime::new()?.block_on(async {
        Store::open(&database).await.with_context(|| format!("{database} can't be opened"))?.close().await;
        println!("the tables of {database} are up to date");
        Ok(())
    })
}
