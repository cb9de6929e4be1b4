//! A sweep as JSON, and its leaderboard.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::webhooks::{WebhookBody, settled};
use crate::api::{ApiError, AppState};
use crate::names::Name;
use crate::recipe::{Recipe, differences};
use crate::store::{DatasetName, Failure, JobState, Sweep, SweepState, Trial, TrialCounts};

/// A sweep.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SweepBody {
    id: Uuid,
    state: SweepState,
    /// What its trials train on.
    dataset: DatasetName,
    /// The model that its trials are published as.
    model: Name,
    /// How many trials may run at the same time.
    concurrency: u32,
    /// Whether its trials stop as soon as their workers hear of it.
    cancel_requested: bool,
    created_at: DateTime<Utc>,
    /// When its last trial was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
    /// How many trials are in each state.
    trials: TrialCounts,
    /// The first on the leaderboard, once a trial has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<Uuid>,
    /// The newest version that it published.
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<i64>,
    /// Whom to tell when the last trial has ended, and whether that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookBody>,
    /// Trials that succeeded, by accuracy, of equals by loss, of equals in the order of submission; then the others, in that
    /// order. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaderboard: Option<Vec<TrialBody>>,
}

/// A trial on the leaderboard.
#[derive(Debug, Serialize, ToSchema)]
struct TrialBody {
    /// Its place, 1 and up, once it has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
    /// The trial's id as a job.
    job: Uuid,
    state: JobState,
    /// Dotted fields of its recipe whose values are not the same in all trials.
    differs: BTreeMap<String, Value>,
    /// Share of the validation pictures that it gets right, once it has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    /// Its mean cross-entropy on them in nats, once it has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<f64>,
    /// Epochs that it has trained.
    epochs: u64,
    /// Wall-clock seconds of these epochs.
    seconds: f64,
    /// The version that it was published as.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

impl SweepBody {
    /// The sweep as a list shows it.
    pub(super) fn of(sweep: Sweep) -> Self {
        Self {
            id: sweep.id,
            state: sweep.state,
            dataset: sweep.dataset,
            model: sweep.model,
            concurrency: sweep.concurrency,
            cancel_requested: sweep.cancel_requested,
            created_at: sweep.created_at,
            finished_at: sweep.finished_at,
            trials: sweep.trials,
            best: sweep.best,
            published: sweep.published,
            webhook: sweep.webhook.map(WebhookBody::pending),
            leaderboard: None,
        }
    }

    /// The sweep with its trials, which are in their order.
    pub(super) fn whole(sweep: Sweep, trials: Vec<Trial>) -> Self {
        let recipes: Vec<Recipe> = trials.iter().map(|trial| trial.job.recipe).collect();
        let row = |(place, (trial, differs)): (usize, (Trial, _))| TrialBody {
            rank: trial.result.map(|_| place + 1),
            job: trial.job.id,
            state: trial.job.state,
            differs,
            accuracy: trial.result.map(|result| result.accuracy),
            loss: trial.result.map(|result| result.loss),
            epochs: trial.epochs,
            seconds: trial.seconds,
            version: trial.job.published(),
            error: trial.job.error,
        };
        let leaderboard = trials.into_iter().zip(differences(&recipes)).enumerate().map(row).collect();
        Self { leaderboard: Some(leaderboard), ..Self::of(sweep) }
    }

    /// The sweep as it is now, with its trials and what has become of its webhook.
    pub(super) async fn shown(sweep: Sweep, state: &AppState) -> Result<Self, ApiError> {
        let trials = state.store.trials(sweep.id).await?;
        let mut body = Self::whole(sweep, trials);
        settle(std::slice::from_mut(&mut body), state).await?;
        Ok(body)
    }
}

/// Fills in what has become of sweeps' webhooks.
pub(super) async fn settle(sweeps: &mut [SweepBody], state: &AppState) -> Result<(), ApiError> {
    let webhooks = sweeps.iter_mut().filter_map(|sweep| Some((sweep.id, sweep.webhook.as_mut()?)));
    settled(&state.store, webhooks.collect()).await
}
