//! A job's events as they come (server-sent events).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response, sse};
use futures_util::Stream;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::extract::{Path, Query};
use crate::api::{ApiError, AppState, Problem};
use crate::store::EventKind;
use crate::store::{Event, News, StateEvent, StoreError};

/// How often the database is asked for news, if it doesn't tell. Workers are other processes: only the database hears of them all.
const POLL: Duration = Duration::from_millis(250);

/// Events that are fetched at once.
const BATCH: u32 = 500;

/// An event on its way.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: events are written line by line")]
pub(super) struct JobEvent {
    /// Its number within the job.
    id: String,
    /// Its kind.
    event: String,
    /// JSON of that kind.
    data: String,
}

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Begin after the event of this number; the header `Last-Event-ID` comes before it.
    after: Option<u64>,
}

/// Follow a job
///
/// Server-sent events: `id` is the event's number within the job, `event` its kind (`state`, `restarted`, `progress`,
/// `epoch`, `report`), `data` JSON. The stream begins with the job's first event, or after the one that `Last-Event-ID` or
/// `after` names, and ends after the `state` event of the job's end; then asking again from there answers 204, which tells a
/// browser not to come back. Of progress events only the newest is kept; all others are.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "follow_job",
    tag = "jobs",
    params(
        ("id" = Uuid, Path, description = "The job's id"),
        EventsQuery,
        ("last-event-id" = Option<String>, Header, description = "Begin after the event of this number; if empty, with the first",
         pattern = "^[0-9]{0,18}$"),
    ),
    responses(
        (status = OK, body = JobEvent, content_type = "text/event-stream"),
        (status = NO_CONTENT, description = "The job is over and there are no more events"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn events(
    State(state): State<AppState>,
    Path(id): Path<Uuid>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if query.after.is_some_and(|after| i64::try_from(after).is_err()) {
        return Err(ApiError::field("after", "must be the number of an event"));
    }
    let after = match headers.get("last-event-id").map(|value| value.to_str()) {
        // A browser that was told no id yet sends an empty one.
        None | Some(Ok("")) => query.after.unwrap_or(0),
        Some(value) => value
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| ApiError::field("last-event-id", "must be the number of an event"))?,
    };
    let news = state.store.news();
    let mut follower = Follower { state, news, id, after, waiting: VecDeque::new(), over: false };
    if follower.fetch().await? && follower.waiting.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(stream(follower)).keep_alive(keep_alive).into_response())
}

/// Who follows a job, and how far they have come.
struct Follower {
    state: AppState,
    news: News,
    id: Uuid,
    after: u64,
    waiting: VecDeque<Event>,
    over: bool,
}

impl Follower {
    /// Fetches what is new. True if nothing will ever follow it.
    ///
    /// The job is looked at before its events: if it was over then, its last event had been written, so an empty answer
    /// afterwards means that there are no more.
    async fn fetch(&mut self) -> Result<bool, StoreError> {
        let is_over = self.state.store.job(self.id).await?.state.is_terminal();
        let events = self.state.store.events(self.id, self.after, BATCH).await?;
        self.waiting.extend(events);
        self.over = is_over && self.waiting.is_empty();
        Ok(self.over)
    }

    /// The next event, waited for; none after the last.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.after = event.seq;
                self.over = is_last(&event);
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.fetch().await {
                Ok(_) if !self.waiting.is_empty() || self.over => continue,
                Ok(_) => {}
                Err(error) => {
                    // The client comes back with the last number that it had, and misses nothing.
                    tracing::error!(%error, job = %self.id, "events can't be read");
                    return None;
                }
            }
            tokio::select! {
                () = self.news.of_job(self.id, POLL) => {}
                () = self.state.stopping.cancelled() => return None,
            }
        }
    }
}

fn is_last(event: &Event) -> bool {
    let ends = |event: StateEvent| event.state.is_terminal();
    event.kind == EventKind::State && serde_json::from_str(&event.data).is_ok_and(ends)
}

fn stream(follower: Follower) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    futures_util::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        // JSON text has no line breaks of its own, which data and names must not have.
        let event = sse::Event::default().id(event.seq.to_string()).event(event.kind.as_str()).data(event.data);
        Some((Ok(event), follower))
    })
}
