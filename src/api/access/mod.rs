//! Who may ask for what. Each request passes [`guard`]: its key is checked, its rate, and its key's scopes by the one table in
//! `routes`; what it was to change is noted in the audit log once it is answered.
//!
//! Nothing about keys is remembered between requests but their rates: a key that is revoked is refused from the next request
//! on, also when another process revoked it.

mod audit;
mod caller;
mod cookie;
mod describe;
mod quota;
mod rates;
mod routes;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub(super) use audit::router;
pub(super) use caller::Caller;
pub(super) use cookie::Cookie;
pub(super) use describe::{describe, needs};
pub(super) use quota::Room;
pub(super) use rates::Rates;

use super::{ApiError, AppState, pages, v2};
use crate::access::{Asking, Key, Scopes};
use crate::config::Settings;
use crate::store::{ApiKey, Store, StoreError};
use audit::Note;
use routes::Need;

/// Why the server must not start as it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It would ask for keys, and there are none.
    #[error(
        "at {listen} every request needs a key, and there is none that can be used: make one with `topgraft keys create \
         --data-dir {} --name NAME --scope admin`, or let everybody who reaches that address do everything with `--auth off`",
        data_dir.display()
    )]
    NoKey {
        /// Where it was to listen.
        listen: std::net::SocketAddr,
        /// The data folder.
        data_dir: std::path::PathBuf,
    },
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses to serve nobody, and warns before serving everybody.
///
/// # Errors
/// [`AccessError::NoKey`].
pub async fn check_access(settings: &Settings, store: &Store) -> Result<(), AccessError> {
    let listen = settings.listen;
    match settings.auth.at(listen.ip()) {
        Asking::Required if !store.has_usable_key().await? => {
            Err(AccessError::NoKey { listen, data_dir: settings.data_dir.clone() })
        }
        Asking::Off if !crate::access::is_loopback(listen.ip()) => {
            tracing::warn!(%listen, "no key is asked for (auth = off): whoever reaches this address can do everything");
            Ok(())
        }
        Asking::Required | Asking::Optional | Asking::Off => Ok(()),
    }
}

/// 1. What the route needs; 2. who asks, and whether they may; 3. the handler; 4. the note of what was to change.
pub(super) async fn guard(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let need = routes::need(request.method(), route);
    let asking = state.settings.auth.at(state.settings.listen.ip());
    let admitted = match (need, asking) {
        (Need::Nothing, _) | (_, Asking::Off) => Ok(Caller::default()),
        (Need::Key(_) | Need::Page, Asking::Required | Asking::Optional) => admit(&state, request.headers(), asking).await,
    };
    // Nobody further in has a use for the secret: so nobody can log it.
    caller::forget(request.headers_mut());
    let caller = match admitted {
        Ok(caller) => caller,
        // Not noted: who has no key, or asks too often, changes nothing, and mustn't be able to fill the disk.
        Err(refusal) if need == Need::Page => return pages::refused(&address(&request), &refusal.error),
        Err(refusal) => return refuse(route, *refusal),
    };
    let note = Note::begin(&state, &caller, &request, route);
    let response = match need.allows(&caller) {
        Ok(()) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => refuse(route, error.into()),
    };
    if let Some(note) = note {
        note.end(response.status()).await;
    }
    response
}

/// Checks what a page asks of the API within the process: who looks has been let in already, and needs the scopes that they need from
/// outside.
pub(super) async fn within(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
    match routes::need(request.method(), route).allows(&caller) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn address(request: &Request) -> String {
    request.uri().path_and_query().map(ToString::to_string).unwrap_or_default()
}

/// Why somebody isn't let in, and what the answer's head says of it.
struct Refusal {
    error: ApiError,
    headers: HeaderMap,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, headers: HeaderMap::new() }
    }
}

impl Refusal {
    fn unauthenticated(detail: impl Into<String>) -> Self {
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]);
        Self { error: ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail), headers }
    }

    fn rate_limited(key: &ApiKey, wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        let per_minute = key.requests_per_minute.unwrap_or_default();
        let detail = format!("the key {} is good for {per_minute} requests a minute: come back in {seconds} seconds", key.id);
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(seconds))]);
        Self { error: ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail), headers }
    }
}

/// Answers as the route's clients expect it.
fn refuse(route: Option<&str>, refusal: Refusal) -> Response {
    let mut response = match route {
        Some(route) if route.starts_with("/v2") => v2::refusal(refusal.error),
        _ => refusal.error.into_response(),
    };
    response.headers_mut().extend(refusal.headers);
    response
}

/// Who asks. Boxed: a refusal is rare, and large.
async fn admit(state: &AppState, headers: &HeaderMap, asking: Asking) -> Result<Caller, Box<Refusal>> {
    let sent = caller::sent(headers).map_err(|detail| Box::new(Refusal::unauthenticated(detail)))?;
    let Some(sent) = sent else {
        return match asking {
            Asking::Required => Err(Box::new(Refusal::unauthenticated(
                "this needs a key: send it as `Authorization: Bearer tg_…`; `topgraft keys create` makes one",
            ))),
            Asking::Optional | Asking::Off => Ok(Caller::default()),
        };
    };
    verify(state, &sent).await.map(Caller::of)
}

/// The key that was sent, if it holds.
pub(super) async fn verified(state: &AppState, sent: &Key) -> Result<ApiKey, ApiError> {
    verify(state, sent).await.map_err(|refusal| refusal.error)
}

async fn verify(state: &AppState, sent: &Key) -> Result<ApiKey, Box<Refusal>> {
    let key = match state.store.key(sent.id()).await {
        Ok(key) if key.hash.is_of(sent) => key,
        Ok(_) | Err(StoreError::NotFound(_)) => {
            return Err(Box::new(Refusal::unauthenticated(
                "no such key is known here: check that it is whole, or ask for one",
            )));
        }
        Err(error) => return Err(Box::new(ApiError::from(error).into())),
    };
    // Said only to who has the secret.
    if key.revoked_at.is_some() {
        let detail = format!("the key {} was revoked: ask for another", key.id);
        return Err(Box::new(Refusal::unauthenticated(detail)));
    }
    if key.is_expired(chrono::Utc::now()) {
        let detail = format!("the key {} has expired: ask for another", key.id);
        return Err(Box::new(Refusal::unauthenticated(detail)));
    }
    tracing::Span::current().record("key", tracing::field::display(key.id));
    if let Err(wait) = state.rates.take(&key) {
        return Err(Box::new(Refusal::rate_limited(&key, wait)));
    }
    if state.rates.is_use_to_note(key.id) {
        let (store, id) = (state.store.clone(), key.id);
        // Not waited for: the database may be busy with a large data set.
        tokio::spawn(async move {
            if let Err(error) = store.touch_key(id, crate::store::now()).await {
                tracing::warn!(key = %id, %error, "when the key was last used can't be noted");
            }
        });
    }
    Ok(key)
}

impl Need {
    /// Whether the caller's scopes suffice. Who needn't show a key may do everything.
    fn allows(self, caller: &Caller) -> Result<(), ApiError> {
        // A page shows what its reader's key is good for.
        let (Self::Key(sufficient), Some(key)) = (self, caller.key()) else { return Ok(()) };
        if key.scopes.allow(sufficient) {
            return Ok(());
        }
        let lacking = sufficient.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" or ");
        let detail = format!("this needs a key with the scope {lacking}, and {} has {}", key.id, scopes(&key.scopes));
        Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

fn scopes(scopes: &Scopes) -> String {
    let text = scopes.to_string();
    if text.is_empty() { "none".to_owned() } else { text }
}
