//! `topgraft check`: is every byte that is kept what was written?

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::config::SettingsArgs;
use crate::store::Store;
use crate::upkeep::{self, CheckReport};

/// What to check, and what to do about it.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Put damaged caches and checkpoints into quarantine, so that they are computed again
    #[arg(long)]
    repair: bool,
    /// Say what was found as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Box<SettingsArgs>,
}

/// Checks, prints a table or JSON, and fails if something is damaged.
pub fn run(args: CheckArgs) -> Result<()> {
    let settings = args.settings.resolve()?;
    super::start_logging(&settings, "error");
    super::demand_database(&settings)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(async {
        let store = Store::open(&settings.database()).await.context("the database can't be opened")?;
        let bar = bar();
        let mut progress = |kind: upkeep::Kind, done, total| {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(kind.as_str());
        };
        let storage = super::storage(&settings).await?;
        let report = upkeep::check(&settings, (&store, &storage), args.repair, &mut progress).await;
        bar.finish_and_clear();
        store.close().await;
        anyhow::Ok(report?)
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    if report.is_bad() {
        let bad = report.damaged.iter().filter(|finding| finding.quarantined.is_none()).count();
        bail!("{bad} damaged: restore them from a backup, or see --repair for caches and checkpoints");
    }
    Ok(())
}

fn print(report: &CheckReport) {
    println!("{:<12} {:>8} {:>12} {:>8}", "", "checked", "bytes", "damaged");
    for checked in &report.checked {
        let bytes = HumanBytes(checked.bytes).to_string();
        println!("{:<12} {:>8} {bytes:>12} {:>8}", checked.kind.as_str(), checked.things, checked.damaged);
    }
    for finding in &report.damaged {
        println!("{} {}: {}", finding.kind.as_str(), finding.name, finding.reason);
        if let Some(path) = &finding.quarantined {
            println!("    now {}", path.display());
        }
    }
}

fn bar() -> ProgressBar {
    // A literal; a wrong one would show in every run, and then the plain style serves.
    let style = ProgressStyle::with_template("{msg:<12} {wide_bar} {bytes} of {total_bytes} (eta {eta})");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
