//! `topgraft serve` and `topgraft worker`.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;

use crate::api::{self, AppState};
use crate::config::{Settings, SettingsArgs};
use crate::inference::{Predictor, PredictorSettings};
use crate::jobs::{Supervisor, WorkerHealth, worker};
use crate::storage::{Storage, StorageError};
use crate::store::Store;
use crate::webhooks::{Deliverer, SigningSecret};

/// How to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// How to work.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// End when standard input closes: how a server that is gone takes its workers along
    #[arg(long)]
    supervised: bool,
    /// Name under which jobs are claimed; unique among workers
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What the prediction engine may use.
pub fn predictor_settings(settings: &Settings) -> PredictorSettings {
    PredictorSettings {
        backbone: settings.backbone(),
        limits: settings.picture_limits(),
        queue: settings.predict_queue,
        callers: settings.predict_requests,
        max_batch: settings.max_batch,
        decode_threads: settings.decode_threads,
        model_cache_bytes: usize::try_from(settings.model_cache_bytes).unwrap_or(usize::MAX),
    }
}

/// Serves until asked to stop.
pub fn serve(args: ServeArgs) -> Result<()> {
    let settings = prepare(args.settings)?;
    runtime()?.block_on(async {
        let store = Store::open(&settings.database()).await.context("the database can't be opened")?;
        let storage = super::storage(&settings).await?;
        api::check_access(&settings, &store).await?;
        let listener =
            TcpListener::bind(settings.listen).await.with_context(|| format!("{} can't be listened on", settings.listen))?;
        let address = listener.local_addr()?;
        share_secret(&settings, &storage).await.context("webhooks can't be signed")?;
        let deliverer = Deliverer::new(store.clone(), &settings).context("webhooks can't be signed")?;
        let predictor = Predictor::start(predictor_settings(&settings))?;
        let health = WorkerHealth::new(settings.workers);
        let (stop, stopped) = watch::channel(false);
        let supervisor = Supervisor {
            program: std::env::current_exe().context("this program's own path")?,
            settings: Arc::clone(&settings),
            store: store.clone(),
            health: health.clone(),
        };
        let workers = tokio::spawn(supervisor.run(stopped.clone()));
        let webhooks = tokio::spawn(deliverer.run(stopped.clone()));
        let signals = tokio::spawn(stop_on_signal(stop)?);
        // For programs that asked for port 0: the one line on standard output.
        println!("listening on http://{address}");
        tracing::info!(%address, data = %settings.data_dir.display(), "serving");
        let state = AppState::new(settings, store.clone(), storage, predictor, health);
        api::serve(listener, state, turned_true(stopped)).await?;
        workers.await??;
        webhooks.await?;
        signals.abort();
        store.close().await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Runs queued jobs until asked to stop.
pub fn worker(args: WorkerArgs) -> Result<()> {
    let settings = prepare(args.settings)?;
    // Before there are threads: they inherit it. Predictions on the same processors go first.
    if let Err(error) = rustix::process::nice(i32::from(settings.worker_nice)) {
        tracing::warn!(%error, nice = settings.worker_nice, "the worker keeps its priority");
    }
    runtime()?.block_on(async {
        let store = Store::open(&settings.database()).await.context("the database can't be opened")?;
        let storage = super::storage(&settings).await?;
        let (stop, stopped) = watch::channel(false);
        if args.supervised {
            let stop = stop.clone();
            // A thread of its own: a read that can't be cancelled mustn't keep the runtime from ending.
            std::thread::spawn(move || {
                // The server never writes: whatever ends this read, it is gone or wants the worker to end.
                let _ = std::io::stdin().read(&mut [0]);
                stop.send_replace(true);
            });
        }
        tokio::spawn(stop_on_signal(stop)?);
        let name = args.name.unwrap_or_else(|| format!("worker-{}", Uuid::now_v7()));
        worker::run(settings, (store.clone(), storage), &name, stopped).await?;
        store.close().await;
        Ok(())
    })
}

/// Servers that share a storage sign with one secret: the one that the first of them made, unless it is given.
async fn share_secret(settings: &Settings, storage: &Storage) -> Result<()> {
    let file = settings.webhook_secret_file();
    if !storage.is_remote() || settings.webhook_secret.is_some() {
        return Ok(());
    }
    if !storage.exists(&file).await? {
        SigningSecret::of(settings)?;
        match storage.keep_new(&file).await {
            Ok(()) => return Ok(()),
            // Another was faster.
            Err(StorageError::AlreadyThere { .. }) => std::fs::remove_file(&file)?,
            Err(error) => return Err(error.into()),
        }
    }
    // It is read at once, and again at the next start; by nobody else.
    let _ = storage.fetch(&file).await?;
    Ok(std::fs::set_permissions(&file, Permissions::from_mode(0o600))?)
}

fn prepare(args: SettingsArgs) -> Result<Arc<Settings>> {
    let settings = args.resolve()?;
    super::start_logging(&settings, "info,sqlx=warn");
    if !settings.backbone().exists() {
        bail!(super::no_weights(&settings.backbone()));
    }
    super::prepare_device(&settings)?;
    Ok(Arc::new(settings))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")
}

/// Turns `stop` true at the first SIGTERM or SIGINT; the second ends the process at once.
fn stop_on_signal(stop: watch::Sender<bool>) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for last in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if last {
                std::process::exit(130);
            }
            tracing::info!("stopping; once more to stop at once");
            stop.send_replace(true);
        }
    })
}

async fn turned_true(mut flag: watch::Receiver<bool>) {
    // An error means that the sender is gone: then nobody will ask any more, and stopping is the safe reading.
    let _ = flag.wait_for(|stop| *stop).await;
}
