//! Hearing of what other processes wrote, sooner than by looking again and again.
//!
//! PostgreSQL tells (`listen`, `notify`); each message is the topic that there is news of. SQLite doesn't: there, one looks. News may be
//! missed while a connection is made anew, so with PostgreSQL one looks as well, but seldom.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::Store;
use super::sql::CHANNEL;

/// Something may be claimed.
pub(super) const WORK: &str = "work";
/// A webhook may be due.
pub(super) const MESSAGES: &str = "messages";
/// Anything may have happened.
const ANYTHING: &str = "";

/// How long one waits at most for news that PostgreSQL would tell of.
const AT_MOST: Duration = Duration::from_secs(5);
/// How long to wait before the server is asked again that didn't answer.
const RECONNECT: Duration = Duration::from_secs(1);
/// Messages that somebody who doesn't listen for a while may miss no more than: then they look.
const BACKLOG: usize = 256;

/// Listens to PostgreSQL, until all of its clones are gone.
#[derive(Debug, Clone)]
pub(super) struct Ears(Arc<Listening>);

#[derive(Debug)]
struct Listening {
    told: broadcast::Sender<Arc<str>>,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ears {
    pub(super) fn open(pool: PgPool) -> Self {
        let (told, _) = broadcast::channel(BACKLOG);
        let task = tokio::spawn(listen(pool, told.clone())).abort_handle();
        Self(Arc::new(Listening { told, task }))
    }

    /// Ends listening for all clones.
    pub(super) fn close(&self) {
        self.0.task.abort();
    }
}

async fn listen(pool: PgPool, told: broadcast::Sender<Arc<str>>) {
    loop {
        let error = match PgListener::connect_with(&pool).await {
            Ok(mut listener) => hear_all(&mut listener, &told).await,
            Err(error) => error,
        };
        tracing::warn!(%error, "the database can't be listened to; it is asked every {AT_MOST:?} instead");
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Passes on what the server tells, until it can't be heard any more; says why.
async fn hear_all(listener: &mut PgListener, told: &broadcast::Sender<Arc<str>>) -> sqlx::Error {
    // Nobody may be waiting, which is fine.
    let tell = |topic: &str| drop(told.send(topic.into()));
    if let Err(error) = listener.listen(CHANNEL).await {
        return error;
    }
    tell(ANYTHING);
    loop {
        match listener.try_recv().await {
            Ok(Some(message)) => tell(message.payload()),
            // It has lost the connection, and makes another: what was said between them wasn't heard.
            Ok(None) => tell(ANYTHING),
            Err(error) => return error,
        }
    }
}

/// What there is news of, from the moment on when this was made.
#[derive(Debug)]
pub struct News(Option<broadcast::Receiver<Arc<str>>>);

impl Store {
    /// Listens from now on. Do so before looking, and nothing is missed in between.
    #[must_use]
    pub fn news(&self) -> News {
        News(self.ears.as_ref().map(|ears| ears.0.told.subscribe()))
    }
}

impl News {
    /// Waits until something may be there to claim. Where nobody tells, it is time to look after `pause`.
    pub async fn of_work(&mut self, pause: Duration) {
        self.of(WORK, pause).await;
    }

    /// Waits until a webhook may be due; likewise.
    pub async fn of_messages(&mut self, pause: Duration) {
        self.of(MESSAGES, pause).await;
    }

    /// Waits until there may be news of a job; likewise.
    pub async fn of_job(&mut self, job: Uuid, pause: Duration) {
        self.of(&job.to_string(), pause).await;
    }

    async fn of(&mut self, topic: &str, pause: Duration) {
        match &mut self.0 {
            None => tokio::time::sleep(pause).await,
            // Running out of time is as good as news.
            Some(told) => drop(tokio::time::timeout(AT_MOST.max(pause), heard(told, topic)).await),
        }
    }
}

async fn heard(told: &mut broadcast::Receiver<Arc<str>>, topic: &str) {
    loop {
        match told.recv().await {
            Ok(news) if *news == *topic || *news == *ANYTHING => return,
            Ok(_) => {}
            // Some were missed: they may have been of this.
            Err(RecvError::Lagged(_)) => return,
            // Only once the store is closed.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
