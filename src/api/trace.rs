//! Every request has an id, a span in the log and a line at its end.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

/// Carries a request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id, for whoever handles it.
#[derive(Debug, Clone)]
pub struct RequestId(pub HeaderValue);

/// Longest id that is taken from a client.
const MAX_LEN: usize = 128;

/// Gives the request an id (the client's own, if it sent a sensible one), answers with it, and logs both. Of headers and
/// of the query nothing is logged: they may hold secrets.
pub async fn trace(mut request: Request, next: Next) -> Response {
    let id = sensible(request.headers().get(&REQUEST_ID)).unwrap_or_else(fresh);
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
        // Filled in once the key is known to hold.
        key = tracing::field::Empty,
    );
    request.extensions_mut().insert(RequestId(id.clone()));
    async move {
        let began = Instant::now();
        let mut response = next.run(request).await;
        tracing::info!(status = response.status().as_u16(), ms = began.elapsed().as_millis() as u64, "answered");
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

fn sensible(id: Option<&HeaderValue>) -> Option<HeaderValue> {
    let text = id?.to_str().ok()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '+' | '=');
    ((1..=MAX_LEN).contains(&text.len()) && text.chars().all(allowed)).then(|| id.cloned()).flatten()
}

fn fresh() -> HeaderValue {
    // Hexadecimal digits and hyphens are always a header value.
    HeaderValue::try_from(Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sensible_ids_are_taken_over() {
        let long = "x".repeat(129);
        for (id, taken) in [("abc-1", true), ("", false), ("a b", false), ("a\"b", false), (long.as_str(), false)] {
            assert_eq!(sensible(Some(&HeaderValue::from_str(id).unwrap())).is_some(), taken, "{id}");
        }
        assert_eq!(fresh().len(), 36);
    }
}
