//! What a webhook is told: what ended and how, and where to read more. A receiver may be anybody, so no more than that.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::names::Name;
use crate::store::rows::json;
use crate::store::{DatasetName, Failure, Job, JobState, StoreError, Sweep, SweepState, TrialCounts};

/// What has ended.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Job(&'a Job),
    Sweep(&'a Sweep),
}

#[derive(Serialize)]
struct Message<T> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: DateTime<Utc>,
    data: T,
}

#[derive(Serialize)]
struct JobData<'a> {
    id: Uuid,
    state: JobState,
    dataset: &'a DatasetName,
    model: Model<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
    link: String,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
}

#[derive(Serialize)]
struct SweepData<'a> {
    id: Uuid,
    state: SweepState,
    dataset: &'a DatasetName,
    model: Model<'a>,
    trials: TrialCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<Uuid>,
    link: String,
}

impl Subject<'_> {
    pub(super) const fn id(self) -> Uuid {
        match self {
            Self::Job(job) => job.id,
            Self::Sweep(sweep) => sweep.id,
        }
    }

    pub(super) const fn job(self) -> Option<Uuid> {
        match self {
            Self::Job(job) => Some(job.id),
            Self::Sweep(_) => None,
        }
    }

    pub(super) const fn sweep(self) -> Option<Uuid> {
        match self {
            Self::Job(_) => None,
            Self::Sweep(sweep) => Some(sweep.id),
        }
    }

    /// The JSON text that is sent and signed.
    pub(super) fn message(self) -> Result<String, StoreError> {
        match self {
            Self::Job(job) => json(&Message {
                kind: format!("job.{}", job.state),
                timestamp: job.finished_at.unwrap_or_else(Utc::now),
                data: JobData {
                    id: job.id,
                    state: job.state,
                    dataset: &job.dataset,
                    model: Model { name: &job.model, version: job.published() },
                    error: job.error.as_ref(),
                    link: format!("/v1/jobs/{}", job.id),
                },
            }),
            Self::Sweep(sweep) => json(&Message {
                kind: "sweep.finished".to_owned(),
                timestamp: sweep.finished_at.unwrap_or_else(Utc::now),
                data: SweepData {
                    id: sweep.id,
                    state: sweep.state,
                    dataset: &sweep.dataset,
                    model: Model { name: &sweep.model, version: None },
                    trials: sweep.trials,
                    best: sweep.best,
                    link: format!("/v1/sweeps/{}", sweep.id),
                },
            }),
        }
    }
}
