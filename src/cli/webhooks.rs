//! `topgraft webhooks`: what receivers need.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::config::SettingsArgs;
use crate::webhooks::SigningSecret;

/// What to do about webhooks.
#[derive(Debug, Args)]
pub struct WebhooksArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the secret that messages are signed with, for receivers to check them; it is made if there is none yet
    Secret {
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
}

/// Prints the secret.
pub fn run(args: WebhooksArgs) -> Result<()> {
    let Command::Secret { settings } = args.command;
    println!("{}", SigningSecret::of(&settings.resolve()?)?.expose());
    Ok(())
}
