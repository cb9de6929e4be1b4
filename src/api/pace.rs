//! How slowly a request's body may come: not at a standstill, and not at a few bytes a second for hours.
//!
//! Only the time in which somebody waits for the client counts. A body that the server is slow to take, or that is long but
//! comes at a sane rate, is never cut off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Error};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::ApiError;
use crate::config::Settings;

/// How long a body is waited for before its rate counts.
const GRACE: Duration = Duration::from_secs(30);

/// How slow is too slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The longest without a byte.
    idle: Duration,
    /// The fewest bytes a second on average; 0 for no such limit.
    least: u64,
    /// How long the average doesn't count.
    grace: Duration,
}

impl Pace {
    /// That of the settings.
    pub fn of(settings: &Settings) -> Self {
        let idle = Duration::from_secs(u64::from(settings.body_idle_seconds));
        Self { idle, least: settings.min_body_bytes_per_second, grace: GRACE }
    }

    /// How much longer a body is waited for that was waited for so long and brought so many bytes.
    fn patience(self, bytes: u64, waited: Duration) -> Duration {
        match bytes.saturating_mul(1000).checked_div(self.least) {
            None => self.idle,
            Some(earned) => self.grace.max(Duration::from_millis(earned)).saturating_sub(waited).min(self.idle),
        }
    }
}

/// Keeps requests to the pace. A handler sees a body that breaks off, which it answers with 400: that is replaced by the reason.
/// What it refused for another reason stays, though it may have read on to keep the connection.
pub(super) async fn keep(State(pace): State<Pace>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let slow = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| Body::new(Paced::new(body, pace, Arc::clone(&slow))));
    let response = next.run(request).await;
    if slow.load(Ordering::Relaxed) && response.status() == StatusCode::BAD_REQUEST {
        let detail = format!(
            "the request's body came too slowly: no byte for {} s, or less than {} bytes a second on average; send it again on \
             a faster line, or in smaller parts",
            pace.idle.as_secs(),
            pace.least
        );
        return ApiError::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail).into_response();
    }
    response
}

/// A body that ends with an error when it comes too slowly.
struct Paced {
    body: Body,
    pace: Pace,
    bytes: u64,
    /// How long it was waited for, but for the present wait.
    waited: Duration,
    /// The present wait: since when, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    slow: Arc<AtomicBool>,
}

impl Paced {
    fn new(body: Body, pace: Pace, slow: Arc<AtomicBool>) -> Self {
        Self { body, pace, bytes: 0, waited: Duration::ZERO, waiting: None, slow }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.slow.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some((since, _)) = this.waiting.take() {
                this.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame {
                this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::into_inner)));
        }
        let patience = this.pace.patience(this.bytes, this.waited);
        let (_, until) = this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
        if until.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.slow.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err("it came too slowly".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { idle: Duration::from_secs(30), least: 1024, grace: Duration::from_secs(30) };

    /// Waits of so many milliseconds, each followed by a chunk of so many bytes.
    fn body(chunks: Vec<(u64, usize)>, pace: Pace) -> (Body, Arc<AtomicBool>) {
        let chunks = stream::iter(chunks).then(|(ms, bytes)| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok::<_, BoxError>(Bytes::from(vec![0; bytes]))
        });
        let slow = Arc::new(AtomicBool::new(false));
        (Body::new(Paced::new(Body::from_stream(chunks), pace, Arc::clone(&slow))), slow)
    }

    #[tokio::test]
    async fn a_standstill_and_a_trickle_end_a_body_and_a_pause_does_not() {
        let pace = Pace { idle: Duration::from_millis(300), least: 1000, grace: Duration::from_millis(200) };
        for (chunks, whole) in [
            (vec![(0, 10), (20, 10)], true),
            // Three seconds' worth at once pays for the pauses that follow.
            (vec![(0, 3000), (150, 1), (150, 1), (150, 1)], true),
            (vec![(0, 1 << 20), (2000, 1)], false),
            (vec![(60, 1); 30], false),
        ] {
            let (body, slow) = body(chunks.clone(), pace);
            let read = axum::body::to_bytes(body, usize::MAX).await;
            assert_eq!((read.is_ok(), slow.load(Ordering::Relaxed)), (whole, !whole), "{chunks:?}");
        }
    }

    #[tokio::test]
    async fn only_waiting_for_the_client_counts() {
        let pace = Pace { idle: Duration::from_millis(200), least: 1 << 40, grace: Duration::from_millis(200) };
        let (body, slow) = body(vec![(0, 1); 5], pace);
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            chunk.unwrap();
            // The server's own slowness.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!slow.load(Ordering::Relaxed));
    }

    proptest! {
        /// Whoever keeps to the rate is waited for, and nobody for longer than the rate and the grace allow.
        #[test]
        fn patience_is_what_the_bytes_have_earned(bytes in 0u64..1 << 40, waited in 0u64..1 << 30) {
            let patience = PACE.patience(bytes, Duration::from_millis(waited));
            prop_assert!(patience <= PACE.idle);
            let keeps_up = bytes * 1000 > waited * PACE.least + 1000 * PACE.least;
            prop_assert!(!keeps_up || patience > Duration::ZERO);
            let far_behind = waited > 30_000 && bytes * 1000 < waited * PACE.least;
            prop_assert!(!far_behind || patience == Duration::ZERO);
        }

        #[test]
        fn without_a_rate_only_a_standstill_counts(bytes: u64, waited: u32) {
            let pace = Pace { least: 0, ..PACE };
            prop_assert_eq!(pace.patience(bytes, Duration::from_millis(waited.into())), PACE.idle);
        }
    }
}
