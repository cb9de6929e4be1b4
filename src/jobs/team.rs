//! The workers that compute a job's features with it.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::context::Context;
use super::exchange::Trouble;
use super::execute::Input;
use super::help::{Hands, Helped, help};
use crate::store::{self, StoreError};
use crate::training::{Finished, Helpers, Shard, SharingError, Standing};

/// How often the others are asked how far they are.
const PAUSE: Duration = Duration::from_millis(200);

/// The others, as a job sees them.
pub struct Team<'a> {
    input: &'a Input,
    /// Whether it is of any use to others while it waits.
    helps: Cell<bool>,
    pub trouble: Trouble,
}

impl fmt::Debug for Team<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").field("job", &self.input.job.id).finish_non_exhaustive()
    }
}

impl<'a> Team<'a> {
    /// Of a job under way.
    pub fn new(input: &'a Input) -> Self {
        Self { input, helps: Cell::new(true), trouble: Trouble::default() }
    }

    fn ask<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, SharingError> {
        self.input.context.runtime.block_on(answer).map_err(|error| self.trouble.told(error))
    }
}

impl Helpers for Team<'_> {
    fn turn(&self, features: &str, arithmetic: &str) -> Result<bool, SharingError> {
        let Input { context: Context { store, .. }, job, lease, .. } = self.input;
        self.ask(store.begin_extraction(job.id, *lease, features, arithmetic))
    }

    /// Whoever waits for another job's features helps to compute them.
    fn await_turn(&self) {
        if !self.helps.get() {
            return self.wait();
        }
        let Input { context, job, stop, .. } = self.input;
        let (ends, shutdown) = watch::channel(false);
        let own = Arc::clone(stop);
        // By a task of its own: helping blocks this thread.
        let link = context.runtime.spawn(async move {
            while !own.load(Ordering::Acquire) {
                tokio::time::sleep(PAUSE).await;
            }
            ends.send_replace(true);
            // Whoever has a channel's end must see what was sent last.
            ends.closed().await;
        });
        let worker = job.worker.clone().unwrap_or_default();
        let hands = Hands { context: context.clone(), worker, shutdown, yields: false };
        match help(&hands) {
            Helped::Some => {}
            Helped::Nothing => self.wait(),
            Helped::Failed => self.helps.set(false),
        }
        link.abort();
    }

    fn offer(&self, shards: &[Shard]) -> Result<(), SharingError> {
        let Input { context: Context { store, .. }, job, lease, .. } = self.input;
        let rows: Vec<_> = shards.iter().map(|shard| (shard.number, shard.samples.to_string())).collect();
        self.ask(store.offer_shards(job.id, *lease, &rows))?;
        tracing::info!(job = %job.id, shards = rows.len(), "features are computed in shards: idle workers help");
        Ok(())
    }

    fn next(&self) -> Result<Option<u32>, SharingError> {
        let Input { context: Context { store, .. }, job, lease, .. } = self.input;
        self.ask(store.take_shard(job.id, *lease, store::now()))
    }

    fn finish(&self, shard: u32) -> Result<(), SharingError> {
        let Input { context: Context { store, .. }, job, lease, .. } = self.input;
        self.ask(store.collect_shard(job.id, *lease, shard))
    }

    fn standing(&self) -> Result<Standing, SharingError> {
        let Input { context: Context { store, .. }, job, lease, .. } = self.input;
        let standing = self.ask(store.shard_standing(job.id, *lease))?;
        let finished = standing.finished.into_iter().map(|(number, segments)| Finished { number, segments });
        Ok(Standing { finished: finished.collect(), open: standing.open })
    }

    fn wait(&self) {
        thread::sleep(PAUSE);
    }

    fn end(&self) {
        let Input { context: Context { store, runtime, .. }, job, lease, .. } = self.input;
        if let Err(error) = runtime.block_on(store.end_extraction(job.id, *lease)) {
            tracing::warn!(job = %job.id, %error, "the turn to compute features is given back when the job is over");
        }
    }
}
