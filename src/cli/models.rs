//! `topgraft models`: bring a model from another machine.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::config::SettingsArgs;
use crate::jobs;
use crate::names::Name;
use crate::store::Store;

/// What to do about models.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take an artifact that was downloaded from another machine as the next version of its model; a server may be running
    Import {
        /// The tar, as `GET /v1/models/NAME/versions/N/download` gives it
        #[arg(value_name = "ARTIFACT.tar")]
        artifact: PathBuf,
        /// The model's name here; the one that it has if not given
        #[arg(long, value_name = "NAME")]
        name: Option<Name>,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
}

/// Imports, and says as what.
pub fn run(args: ModelsArgs) -> Result<()> {
    let Command::Import { artifact, name, settings } = args.command;
    let settings = settings.resolve()?;
    super::start_logging(&settings, "warn");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let store = Store::open(&settings.database()).await.context("the database can't be opened")?;
        let storage = super::storage(&settings).await?;
        let imported = jobs::import(&artifact, name, &settings, (&store, &storage)).await;
        store.close().await;
        let (name, version) = imported?;
        println!("{name} version {version} in {}", settings.model_dir(&name, version).display());
        Ok(())
    })
}
