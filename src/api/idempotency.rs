//! Requests that may be sent again: the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).
//!
//! The answer is remembered in the very transaction that makes what it tells of: after a crash there are both or neither. Until
//! then the key is only in this process's memory, so a request that came to nothing leaves nothing, and may be sent again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::access::Caller;
use super::{ApiError, AppState};
use crate::hex::hex;
use crate::store::{Answer, Conflict, Keep, RequestKey, StoreError, now};

/// The client's key.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key, in bytes.
const MAX_KEY: usize = 255;

/// What makes a request repeatable.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described: the header is read by hand")]
pub(super) struct IdempotencyHeader {
    /// A key of the client's making, such as a UUID: 1 to 255 visible ASCII characters. The same request with the same key makes
    /// nothing again and is given the first answer, with the header `idempotency-replayed: true`. Another request with it is
    /// refused (422 `idempotency_key_reused`), one that comes while the first is being answered too (409
    /// `idempotency_key_in_use`). Only successes are remembered, for 24 hours unless the server is set otherwise.
    #[serde(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

/// Keys of requests that are being answered; clones are the same set.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight {
    /// A plain lock, not an async one: it is held for a few instructions and never across an await.
    keys: Arc<Mutex<HashSet<String>>>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        // Nothing that could panic runs under the lock.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's key. Until it is dropped, no other request gets the same.
#[derive(Debug)]
pub(super) struct Turn {
    keys: InFlight,
    key: String,
    since: i64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.key);
    }
}

/// An answer that was given before.
#[derive(Debug)]
pub(super) struct Earlier {
    fingerprint: String,
    answer: Answer,
}

/// What a request with a key is.
#[derive(Debug)]
pub(super) enum Asked {
    /// To be answered, and the answer to be remembered.
    First(Promise),
    /// Answered before, so.
    Again(Response),
}

/// The promise to remember what a request is answered.
#[derive(Debug)]
pub(super) struct Promise {
    request: RequestKey,
    _turn: Turn,
}

impl Turn {
    /// The key of a request, if it has one.
    pub fn begin(request: &Request, state: &AppState) -> Result<Option<Self>, ApiError> {
        let mut values = request.headers().get_all(&KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
        let (Some(key), None) = (key.filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic())), values.next()) else {
            let detail = format!("the header idempotency-key must be one, of 1 to {MAX_KEY} visible ASCII characters");
            return Err(ApiError::unprocessable("invalid_idempotency_key", detail));
        };
        // Whoever guesses another's key must not be given the other's answer. No such text is visible ASCII throughout.
        let caller = request.extensions().get::<Caller>().and_then(Caller::allowance);
        let key = caller.map_or_else(|| key.to_owned(), |caller| format!("{} {key}", caller.key));
        let keys = state.in_flight.clone();
        if !keys.lock().insert(key.clone()) {
            return Err(StoreError::from(Conflict::KeyInUse).into());
        }
        let since = now().saturating_sub(state.settings.idempotency_ms());
        Ok(Some(Self { keys, key, since }))
    }

    /// What was answered under the key before.
    pub async fn earlier(&self, state: &AppState) -> Result<Option<Earlier>, ApiError> {
        let earlier = state.store.answer(&self.key, self.since).await?;
        Ok(earlier.map(|(fingerprint, answer)| Earlier { fingerprint, answer }))
    }

    /// Settles what a request is, given where it went and the SHA-256 of its content.
    pub fn asked(self, earlier: Option<Earlier>, address: &str, content_sha256: &str) -> Result<Asked, ApiError> {
        let fingerprint = hex(&Sha256::digest(format!("{address}\n{content_sha256}")));
        match earlier {
            None => {
                let request = RequestKey { key: self.key.clone(), fingerprint, since: self.since };
                Ok(Asked::First(Promise { request, _turn: self }))
            }
            Some(earlier) if earlier.fingerprint == fingerprint => {
                let mut response = answered(earlier.answer)?;
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                Ok(Asked::Again(response))
            }
            Some(_) => {
                let detail = "this idempotency key was used for another request: make a key of its own for each";
                Err(ApiError::unprocessable("idempotency_key_reused", detail))
            }
        }
    }
}

impl Promise {
    /// How the answer is remembered.
    pub fn keep<T>(&self, answer: fn(&T) -> serde_json::Result<Answer>) -> Keep<'_, T> {
        Keep { request: &self.request, answer }
    }
}

/// Where a request goes, as far as it tells requests apart.
pub(super) fn address(parts: &Parts) -> String {
    format!("{} {}", parts.method, parts.uri.path_and_query().map_or("/", |path| path.as_str()))
}

/// The answer to a creation.
pub(super) fn created(status: StatusCode, location: String, body: &impl Serialize) -> serde_json::Result<Answer> {
    Ok(Answer { status: status.as_u16(), location: Some(location), body: serde_json::to_string(body)? })
}

/// An answer as it goes out.
pub(super) fn answered(answer: Answer) -> Result<Response, ApiError> {
    let status = StatusCode::from_u16(answer.status).map_err(ApiError::internal)?;
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response();
    if let Some(location) = answer.location {
        response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(location).map_err(ApiError::internal)?);
    }
    Ok(response)
}

/// A body, and the promise to remember the answer if the request has a key. A request that was answered before doesn't reach the
/// handler: it is rejected with its answer.
#[derive(Debug)]
pub(super) struct Keyed<E>(pub E, pub Option<Promise>);

impl<E: FromRequest<AppState, Rejection = ApiError>> FromRequest<AppState> for Keyed<E> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        match keyed(request, state).await {
            Ok(keyed) => keyed,
            Err(error) => Err(error.into_response()),
        }
    }
}

async fn keyed<E>(request: Request, state: &AppState) -> Result<Result<Keyed<E>, Response>, ApiError>
where
    E: FromRequest<AppState, Rejection = ApiError>,
{
    let Some(turn) = Turn::begin(&request, state)? else {
        return Ok(Ok(Keyed(E::from_request(request, state).await?, None)));
    };
    let (parts, body) = request.into_parts();
    let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await?;
    let earlier = turn.earlier(state).await?;
    let promise = match turn.asked(earlier, &address(&parts), &hex(&Sha256::digest(&bytes)))? {
        Asked::First(promise) => promise,
        Asked::Again(response) => return Ok(Err(response)),
    };
    let body = E::from_request(Request::from_parts(parts, Body::from(bytes)), state).await?;
    Ok(Ok(Keyed(body, Some(promise))))
}
