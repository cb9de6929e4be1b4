//! The one binary: a server, its worker, and the same training and prediction without a server.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Serve(cli::serve::ServeArgs),
    /// Run queued jobs, beside a server on the same database and files
    Worker(cli::serve::WorkerArgs),
    /// Train without a server
    Train(Box<cli::train::TrainArgs>),
    /// Classify pictures with a trained model, without a server
    Predict(Box<cli::predict::PredictArgs>),
    /// Models from other machines
    Models(cli::models::ModelsArgs),
    /// Keys for the API
    Keys(cli::keys::KeysArgs),
    /// Bring the database's tables up to date; servers and workers do so at their start, if they may
    Migrate(cli::migrate::MigrateArgs),
    /// Check every byte that is kept, beside a running server or without one
    Check(cli::check::CheckArgs),
    /// Copy the data folder, beside a running server or without one
    Backup(cli::backup::BackupArgs),
    /// The ImageNet weights of the backbone
    Weights(cli::weights::WeightsArgs),
    /// Messages to users' servers
    Webhooks(cli::webhooks::WebhooksArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => cli::serve::serve(args),
        Command::Worker(args) => cli::serve::worker(args),
        Command::Train(args) => cli::train::run(*args),
        Command::Predict(args) => cli::predict::run(*args),
        Command::Models(args) => cli::models::run(args),
        Command::Keys(args) => cli::keys::run(args),
        Command::Migrate(args) => cli::migrate::run(args),
        Command::Check(args) => cli::check::run(args),
        Command::Backup(args) => cli::backup::run(args),
        Command::Weights(args) => cli::weights::run(args),
        Command::Webhooks(args) => cli::webhooks::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("topgraft: {error:#}");
            ExitCode::FAILURE
        }
    }
}
