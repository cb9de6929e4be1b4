//! An audit of a data set: what the network sees in its pictures, and what is probably wrong with them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::watch;
use uuid::Uuid;

use super::context::Context;
use super::execute::ExecuteError;
use super::patience::insist;
use super::watch::{Claimed, Held, StopReason, watch};
use super::worker::{TROUBLED, WorkerError, rest};
use crate::dataset::audit::{AuditSummary, Finding, findings};
use crate::recipe::Recipe;
use crate::store::{Failure, StoreError};
use crate::training::{self, Event, Observer, ObserverError, TrainingError};

/// The share of an audit that is extracting features, when none are there.
const FEATURES: f64 = 0.95;

/// Audits a data set under a claim, and writes down what came of it.
pub async fn run(
    context: &Context,
    dataset: Uuid,
    lease: Uuid,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    tracing::info!(%dataset, "audit started");
    let Context { settings, store, .. } = context;
    let stop = Arc::new(AtomicBool::new(false));
    let held = Held { what: Claimed::Audit(dataset), lease, lease_ms: settings.lease_ms() };
    let mut watcher = tokio::spawn(watch(store.clone(), held, Arc::clone(&stop), shutdown.clone()));
    let means = context.clone();
    let outcome = tokio::task::spawn_blocking(move || audited(&means, dataset, lease, &stop)).await;
    let outcome = outcome.unwrap_or_else(|panic| Err(ExecuteError::Panicked(panic.to_string())));
    let reason = match &outcome {
        Err(ExecuteError::Training(TrainingError::Stopped)) => (&mut watcher).await.ok(),
        _ => None,
    };
    let written = match outcome {
        Ok((summary, findings)) => {
            insist(shutdown.clone(), async || store.finish_audit(dataset, lease, &summary, &findings).await).await
        }
        Err(_) if reason == Some(StopReason::LostLease) => Err(StoreError::LostLease),
        Err(_) if reason.is_some() => store.release_audit(dataset, lease).await,
        Err(ExecuteError::Store(error @ StoreError::LostLease)) => Err(error),
        Err(error) if error.waits_for().is_some() => {
            tracing::error!(%dataset, %error, "the audit waits");
            let released = insist(shutdown.clone(), async || store.release_audit(dataset, lease).await).await;
            // It is the next to be claimed again: not before the machine had a moment.
            rest(TROUBLED, &mut shutdown).await;
            released
        }
        Err(error) => {
            tracing::error!(%dataset, %error, "audit failed");
            let failure = Failure { code: error.code().to_owned(), message: error.to_string() };
            insist(shutdown.clone(), async || store.fail_audit(dataset, lease, &failure).await).await
        }
    };
    watcher.abort();
    match written {
        Ok(()) => tracing::info!(%dataset, "audit ended"),
        Err(StoreError::LostLease) => tracing::warn!(%dataset, "the claim on the audit was lost, or its dataset deleted"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Looks, and judges.
fn audited(
    context: &Context,
    dataset: Uuid,
    lease: Uuid,
    stop: &AtomicBool,
) -> Result<(AuditSummary, Vec<Finding>), ExecuteError> {
    let (_, data) = context.training_data(dataset)?;
    let bucket = context.bucket();
    // Without help: few rows, and most of them a job has computed or will.
    let plan = context.plan(Recipe::default(), &bucket, None);
    let evidence = training::evidence(&plan, &data, &mut Recorder { context, dataset, lease }, stop);
    if let Some(trouble) = bucket.trouble.take() {
        return Err(trouble);
    }
    let evidence = evidence?;
    let findings = findings(&data.classes, &data.images, &evidence);
    Ok((AuditSummary::of(&evidence, &findings), findings))
}

/// Writes down how far an audit is.
struct Recorder<'a> {
    context: &'a Context,
    dataset: Uuid,
    lease: Uuid,
}

impl Observer for Recorder<'_> {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        let Event::Progress(progress) = event else { return Ok(()) };
        let Context { store, runtime, .. } = self.context;
        let written = store.record_audit_progress(self.dataset, self.lease, FEATURES * progress.fraction);
        // Whether to stop is the watcher's to say, and a number for people isn't worth an audit.
        if let Err(error) = runtime.block_on(written) {
            tracing::warn!(dataset = %self.dataset, %error, "an audit's progress isn't noted");
        }
        Ok(())
    }
}
