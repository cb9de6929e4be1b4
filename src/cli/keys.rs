//! `topgraft keys`: who may use the API.

use std::io::Write;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::access::{Key, KeyId, Scope};
use crate::config::SettingsArgs;
use crate::names::Name;
use crate::store::{ApiKey, NewApiKey, Store};

/// What to do about keys.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it; a server that runs takes it at once
    Create(CreateArgs),
    /// List every key that there has been
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
    /// Revoke a key; a server that runs refuses it at once
    Revoke {
        /// The key's id: the eight digits that follow `tg_`
        #[arg(value_name = "ID")]
        id: KeyId,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
}

/// What the key is to be.
#[derive(Debug, Args)]
struct CreateArgs {
    /// What to call it, in lists and in the audit log
    #[arg(long, value_name = "NAME")]
    name: Name,
    /// What it is for; once for each
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
    /// Days until it ends by itself; never if not given
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    expires_days: Option<u32>,
    /// Requests a minute that it is good for; who has rested may send a minute's worth at once
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_minute: Option<u32>,
    /// Bytes that its datasets may take
    #[arg(long, value_name = "BYTES")]
    max_stored_bytes: Option<u64>,
    /// Jobs of it that may be unfinished, the trials of sweeps among them
    #[arg(long, value_name = "JOBS")]
    max_queued_jobs: Option<u64>,
    #[command(flatten)]
    settings: Box<SettingsArgs>,
}

/// Does it, in the database of the data folder.
pub fn run(args: KeysArgs) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match args.command {
            Command::Create(args) => create(args).await,
            Command::List { json, settings } => list(*settings, json).await,
            Command::Revoke { id, settings } => {
                let store = open(*settings).await?;
                let revoked = store.revoke_key(id).await;
                store.close().await;
                let key = revoked?;
                eprintln!("{} ({}) is revoked", key.id, key.name);
                Ok(())
            }
        }
    })
}

async fn open(settings: SettingsArgs) -> Result<Store> {
    let settings = settings.resolve()?;
    super::start_logging(&settings, "warn");
    Store::open(&settings.database()).await.context("the database can't be opened")
}

/// The key alone goes to standard output, so that it can be piped to where it belongs without being seen.
async fn create(args: CreateArgs) -> Result<()> {
    let key = Key::generate().context("the operating system gives no random numbers")?;
    let new = NewApiKey {
        id: key.id(),
        name: args.name,
        hash: key.hash(),
        scopes: args.scopes.into_iter().collect(),
        expires_at: args.expires_days.map(|days| Utc::now() + TimeDelta::days(i64::from(days))),
        requests_per_minute: args.requests_per_minute,
        max_stored_bytes: args.max_stored_bytes,
        max_queued_jobs: args.max_queued_jobs,
    };
    let store = open(*args.settings).await?;
    let entered = store.insert_key(&new).await;
    store.close().await;
    let entered = entered?;
    let until = entered.expires_at.map_or_else(|| "until it is revoked".to_owned(), |end| format!("until {}", time(end)));
    eprintln!("{} ({}) is for {}, {until}.", entered.id, entered.name, entered.scopes);
    eprintln!("Here is the key. It is shown this once, and kept nowhere:");
    let mut out = std::io::stdout();
    if writeln!(out, "{}", key.reveal()).and_then(|()| out.flush()).is_err() {
        bail!("the key could not be written to where it was to go: revoke {} and make another", entered.id);
    }
    Ok(())
}

async fn list(settings: SettingsArgs, json: bool) -> Result<()> {
    let store = open(settings).await?;
    let keys = store.keys().await;
    store.close().await;
    let keys = keys?;
    let text = if json {
        serde_json::to_string_pretty(&keys.iter().map(as_json).collect::<Vec<_>>())?
    } else {
        table(&keys.iter().map(as_row).collect::<Vec<_>>())
    };
    // A reader that has seen enough is no error.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

fn state(key: &ApiKey) -> &'static str {
    match (key.revoked_at, key.is_expired(Utc::now())) {
        (Some(_), _) => "revoked",
        (None, true) => "expired",
        (None, false) => "usable",
    }
}

fn as_json(key: &ApiKey) -> serde_json::Value {
    json!({
        "id": key.id.to_string(),
        "name": key.name,
        "scopes": key.scopes,
        "state": state(key),
        "requests_per_minute": key.requests_per_minute,
        "max_stored_bytes": key.max_stored_bytes,
        "max_queued_jobs": key.max_queued_jobs,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    })
}

const HEAD: [&str; 8] = ["ID", "NAME", "SCOPES", "STATE", "CREATED", "EXPIRES", "LAST USED", "LIMITS"];

fn as_row(key: &ApiKey) -> [String; 8] {
    let or_never = |at: Option<DateTime<Utc>>| at.map_or_else(|| "never".to_owned(), time);
    let limits = [
        key.requests_per_minute.map(|most| format!("{most} requests/min")),
        key.max_stored_bytes.map(|most| format!("{most} bytes")),
        key.max_queued_jobs.map(|most| format!("{most} jobs")),
    ];
    let limits = limits.into_iter().flatten().collect::<Vec<_>>().join(", ");
    [
        key.id.to_string(),
        key.name.to_string(),
        key.scopes.to_string(),
        state(key).to_owned(),
        time(key.created_at),
        or_never(key.expires_at),
        or_never(key.last_used_at),
        if limits.is_empty() { "none".to_owned() } else { limits },
    ]
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Columns as wide as they must be.
fn table(rows: &[[String; 8]]) -> String {
    let head = HEAD.map(str::to_owned);
    let lines: Vec<&[String; 8]> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |cells: &&[String; 8]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |id: &str| std::array::from_fn(|column| if column == 0 { id.to_owned() } else { "x".to_owned() });
        let text = table(&[row("1f0c4a9e"), row("2")]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ID        NAME  SCOPES  STATE  CREATED  EXPIRES  LAST USED  LIMITS");
        assert_eq!(lines[2], "2         x     x       x      x        x        x          x");
    }
}
