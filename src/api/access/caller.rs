//! Who asks: the key that a request carries.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, HeaderName, header, request};

use super::Cookie;
use crate::access::Key;
use crate::store::{Allowance, ApiKey};

/// Carries a key where `Authorization` is taken by something else.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who asks: somebody with a key that holds, or somebody who needs none.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Caller {
    key: Option<Arc<ApiKey>>,
}

impl Caller {
    pub(super) fn of(key: ApiKey) -> Self {
        Self { key: Some(Arc::new(key)) }
    }

    pub(super) fn key(&self) -> Option<&ApiKey> {
        self.key.as_deref()
    }

    /// Whether they showed a key.
    pub(in crate::api) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// What they may have; without a key there is no bound.
    pub(in crate::api) fn allowance(&self) -> Option<Allowance> {
        self.key().map(ApiKey::allowance)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The key that was sent: in a header, or, from a page where somebody signed in, in its cookie. What is sent but is no key, or twice, is
/// refused with the reason, which repeats nothing of it.
pub(super) fn sent(headers: &HeaderMap) -> Result<Option<Key>, String> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().map(|value| (value, true));
    let mut values = bearers.chain(headers.get_all(API_KEY).iter().map(|value| (value, false)));
    let Some((value, is_bearer)) = values.next() else { return kept(headers) };
    if values.next().is_some() {
        return Err("send one key, in one header: `Authorization: Bearer tg_…` or `X-Api-Key: tg_…`".to_owned());
    }
    let text = value.to_str().unwrap_or_default().trim();
    let text = if is_bearer { bearer(text) } else { Some(text) };
    match text.map(str::parse) {
        Some(Ok(key)) => Ok(Some(key)),
        Some(Err(error)) => Err(format!("{error}: what was sent is none")),
        None => Err("the header must be `Authorization: Bearer tg_…`".to_owned()),
    }
}

/// The key in the page's cookie.
fn kept(headers: &HeaderMap) -> Result<Option<Key>, String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let Some((_, value)) = pairs.find(|(name, _)| *name == Cookie::NAME) else { return Ok(None) };
    value.parse().map(Some).map_err(|error| format!("{error}: the one that the browser keeps is none; sign in again"))
}

/// Removes what may be a key.
pub(super) fn forget(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::COOKIE);
    headers.remove(API_KEY);
}

/// What follows the scheme, whose name may be in any case.
fn bearer(text: &str) -> Option<&str> {
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(sent: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_key_comes_in_one_of_two_headers() {
        let key = Key::generate().unwrap().reveal();
        let found = |name: HeaderName, value: String| sent(&headers(&[(name, &value)])).unwrap().unwrap().reveal();
        assert_eq!(found(header::AUTHORIZATION, format!("Bearer {key}")), key);
        assert_eq!(found(header::AUTHORIZATION, format!("bearer  {key}")), key);
        assert_eq!(found(API_KEY, key.clone()), key);
        assert!(sent(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn a_header_comes_before_the_pages_cookie() {
        let [kept, sent_one] = [(); 2].map(|()| Key::generate().unwrap().reveal());
        let cookie = (header::COOKIE, format!("a=b; {}={kept}; c=d", Cookie::NAME));
        let found = |sent: &[(HeaderName, &str)]| super::sent(&headers(sent)).unwrap().map(|key| key.reveal());
        assert_eq!(found(&[(cookie.0.clone(), &cookie.1)]), Some(kept));
        assert_eq!(found(&[(cookie.0.clone(), &cookie.1), (API_KEY, &sent_one)]), Some(sent_one.clone()));
        assert_eq!(found(&[(header::COOKIE, "a=b; topgraft_key_of_another=tg_x")]), None);
        let mut both = headers(&[(cookie.0, &cookie.1), (API_KEY, &sent_one)]);
        forget(&mut both);
        assert!(both.is_empty());
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let key = Key::generate().unwrap().reveal();
        let auth = |value: &str| headers(&[(header::AUTHORIZATION, value)]);
        let bearer = format!("Bearer {key}");
        let bad = [
            auth(""),
            auth("Bearer"),
            auth("Bearer "),
            auth(&key),
            auth("Basic dXNlcjpwYXNz"),
            auth(&format!("{bearer}x")),
            auth(&format!("{bearer}, {bearer}")),
            headers(&[(API_KEY, "")]),
            headers(&[(header::COOKIE, &format!("{}={key}x", Cookie::NAME))]),
            headers(&[(API_KEY, &bearer)]),
            headers(&[(API_KEY, &key), (header::AUTHORIZATION, &bearer)]),
            headers(&[(header::AUTHORIZATION, &bearer), (header::AUTHORIZATION, &bearer)]),
        ];
        for headers in bad {
            let refused = sent(&headers).unwrap_err();
            assert!(!refused.contains(&key[..20]), "{refused}");
        }
    }
}
