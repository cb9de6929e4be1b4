//! Keeps worker processes running.
//!
//! Training is a process of its own so that a libtorch abort, an out-of-memory kill or a CUDA fault can't take predictions
//! down. A worker that ends unasked is started again, after a pause that doubles while it keeps ending at once; what it was
//! working on goes back to the queue before that. The worker holds the other end of a pipe: when the server is gone,
//! however it went, the pipe closes and the worker ends too.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;
use uuid::Uuid;

use super::{WorkerHealth, resume};
use crate::config::{ConfigError, ENVIRONMENT, Settings};
use crate::store::Store;

/// Pause before the first restart; doubled for each that follows at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A worker that ran this long was sound: the pause begins anew.
const SOUND: Duration = Duration::from_secs(60);
/// How often leases that ran out, and checkpoints that nobody needs, are looked for.
const EXPIRY_CHECK: Duration = Duration::from_secs(5);

/// What a supervisor needs.
#[derive(Debug, Clone)]
pub struct Supervisor {
    /// The program: this one.
    pub program: PathBuf,
    /// The settings, which workers read from a file.
    pub settings: Arc<Settings>,
    /// Where jobs are.
    pub store: Store,
    /// Where it says how workers fare.
    pub health: WorkerHealth,
}

impl Supervisor {
    /// Keeps `settings.workers` workers running until `shutdown` turns true, then ends them in good order.
    ///
    /// # Errors
    /// The settings can't be handed over.
    pub async fn run(self, shutdown: watch::Receiver<bool>) -> Result<(), ConfigError> {
        let file = self.settings.data_dir.join("worker.toml");
        // Workers send nothing, so the secret isn't theirs.
        let settings = Settings { webhook_secret: None, ..Settings::clone(&self.settings) };
        let mut stopped = shutdown.clone();
        while let Err(error) = settings.save(&file) {
            let ConfigError::Io { .. } = &error else { return Err(error) };
            tracing::error!(%error, "no worker can be started for now");
            tokio::select! {
                () = tokio::time::sleep(EXPIRY_CHECK) => {}
                _ = stopped.changed() => return Ok(()),
            }
        }
        let slots = (0..self.settings.workers).map(|_| self.clone().keep(file.clone(), shutdown.clone()));
        tokio::join!(futures_util::future::join_all(slots), self.settle_expired(shutdown.clone()));
        Ok(())
    }

    /// Settles the jobs of workers that are run elsewhere and have died there, and removes the checkpoints of jobs that are over.
    /// A worker that claims settles them too, but all of them may be busy for hours.
    async fn settle_expired(&self, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow() {
            match self.store.expire_leases(crate::store::now(), self.settings.max_attempts).await {
                Ok(settled) => settled.iter().for_each(|(job, state)| tracing::warn!(%job, ?state, "a job's lease ran out")),
                Err(error) => tracing::warn!(%error, "leases that ran out wait"),
            }
            if let Err(error) = resume::clear(&self.settings, &self.store).await {
                tracing::warn!(%error, "the checkpoints of jobs that are over wait");
            }
            tokio::select! {
                () = tokio::time::sleep(EXPIRY_CHECK) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    /// One worker, again and again.
    async fn keep(self, file: PathBuf, mut shutdown: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        while !*shutdown.borrow() {
            let name = format!("worker-{}", Uuid::now_v7());
            let began = Instant::now();
            let reason = match self.spawn(&name, &file) {
                Ok(mut child) => {
                    self.health.started();
                    // Taken out: waiting for a child closes the pipe that is still in it.
                    let pipe = child.stdin.take();
                    tokio::select! {
                        ended = child.wait() => describe(ended),
                        _ = shutdown.changed() => {
                            drop(pipe);
                            self.end(&mut child).await;
                            self.health.stopped();
                            self.release(&name, "the server was stopped").await;
                            return;
                        }
                    }
                }
                Err(error) => {
                    self.health.started();
                    format!("it couldn't be started: {error}")
                }
            };
            tracing::error!(worker = name, reason, "a worker process ended unasked");
            self.health.exited(reason.as_str());
            self.release(&name, &reason).await;
            pause = if began.elapsed() >= SOUND { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    fn spawn(&self, name: &str, file: &PathBuf) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(["worker", "--supervised", "--name", name, "--config"]).arg(file);
        // In the file already, and a variable would come before it.
        for variable in ENVIRONMENT {
            command.env_remove(variable);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn()
    }

    /// Waits for a worker whose pipe is closed to end, which it does after the batch at hand, and kills it if it doesn't.
    async fn end(&self, child: &mut Child) {
        let patience = Duration::from_secs(u64::from(self.settings.stop_seconds));
        if tokio::time::timeout(patience, child.wait()).await.is_err() {
            tracing::warn!(seconds = patience.as_secs(), "a worker didn't end in time and is killed");
            if let Err(error) = child.kill().await {
                tracing::error!(%error, "a worker couldn't be killed");
            }
        }
    }

    /// Gives back what the worker was at; a lease would also run out by itself, later.
    async fn release(&self, name: &str, reason: &str) {
        match self.store.release_worker(name, reason, self.settings.max_attempts).await {
            Ok(settled) => {
                settled.iter().for_each(|(job, state)| tracing::warn!(%job, ?state, reason, "a job lost its worker"))
            }
            Err(error) => tracing::error!(worker = name, %error, "a lost worker's jobs wait for their lease to run out"),
        }
    }
}

/// How a process ended, for people.
fn describe(ended: std::io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match ended {
        Err(error) => format!("its end couldn't be seen: {error}"),
        Ok(status) => match status.signal() {
            Some(9) => "it was killed (signal 9), as the system does when memory runs out".to_owned(),
            Some(signal) => format!("it was ended by signal {signal}"),
            None => format!("it ended with {status}"),
        },
    }
}
