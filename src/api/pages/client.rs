//! The API as pages ask it: within the process, as the caller that looks, with the same answers and refusals as anybody's.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt;
use url::Url;

use crate::api::access::Caller;

/// The longest answer that a page is made of: the report on a thousand classes, without its predictions, takes some megabytes.
const ANSWER: usize = 32 << 20;

/// Asks the API.
pub(super) struct Client {
    api: Router,
    caller: Caller,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub detail: String,
}

impl Refused {
    fn broken(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a page can't be made");
        let detail = "Something went wrong on the server; its log has the cause.".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail }
    }

    /// The status in words.
    pub fn title(&self) -> String {
        self.status.canonical_reason().unwrap_or("Error").to_owned()
    }
}

impl Client {
    pub fn new(api: Router, caller: Caller) -> Self {
        Self { api, caller }
    }

    /// What is at `/v1/` and these segments, which need no escaping; of the query, what is given.
    pub async fn get(&self, segments: &[&str], query: &[(&str, Option<&str>)]) -> Result<Value, Refused> {
        // Addresses take these for steps up, not for names.
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(Refused { status: StatusCode::NOT_FOUND, detail: "There is no page at this address.".to_owned() });
        }
        let request = Request::get(address(segments, query)?).header(header::ACCEPT, "application/json");
        let request = request.extension(self.caller.clone()).body(Body::empty()).map_err(Refused::broken)?;
        let Ok(response) = self.api.clone().oneshot(request).await;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), ANSWER).await.map_err(Refused::broken)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(Refused::broken)?;
        if status.is_success() {
            return Ok(value);
        }
        let detail = value["detail"].as_str().unwrap_or_default().to_owned();
        Err(Refused { status, detail })
    }

    /// The same; nothing if it isn't there, or isn't for this caller.
    pub async fn find(&self, segments: &[&str], query: &[(&str, Option<&str>)]) -> Result<Option<Value>, Refused> {
        match self.get(segments, query).await {
            Ok(value) => Ok(Some(value)),
            Err(refused) if matches!(refused.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// The first `limit` of a list; an empty one if it isn't for this caller.
    pub async fn find_list(&self, what: &str, limit: u32) -> Result<Value, Refused> {
        let found = self.find(&[what], &[("limit", Some(&limit.to_string()))]).await?;
        Ok(found.unwrap_or_else(|| json!({"items": []})))
    }
}

/// An answer in a form of ours.
pub(super) fn form<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    serde_json::from_value(value).map_err(Refused::broken)
}

/// The address within the API. Whatever the segments and the query hold, it is escaped: nothing in them can lead elsewhere.
fn address(segments: &[&str], query: &[(&str, Option<&str>)]) -> Result<Uri, Refused> {
    let mut url = Url::parse("http://api/v1/").map_err(Refused::broken)?;
    url.path_segments_mut().map_err(|()| Refused::broken("an address without a path"))?.pop_if_empty().extend(segments);
    let given = query.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    given.for_each(|(name, value)| {
        url.query_pairs_mut().append_pair(name, value);
    });
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.path()).parse().map_err(Refused::broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped() {
        let address = |segments: &[&str], query: &[(&str, Option<&str>)]| address(segments, query).unwrap().to_string();
        assert_eq!(address(&["datasets"], &[("limit", Some("5")), ("cursor", None)]), "/v1/datasets?limit=5");
        assert_eq!(address(&["datasets", "a/b?c#d", "images"], &[]), "/v1/datasets/a%2Fb%3Fc%23d/images");
        assert_eq!(address(&["x"], &[("label", Some("a & b"))]), "/v1/x?label=a+%26+b");
    }
}
