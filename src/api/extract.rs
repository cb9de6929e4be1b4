//! axum's extractors with our problems as their rejections; pages of lists; what a client accepts.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiError;

/// A JSON body or answer.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Json<T>(pub T);

/// A body that may be left out, and the header `content-type` with it.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let body = <axum::Json<T> as OptionalFromRequest<S>>::from_request(request, state).await?;
        Ok(body.map(|axum::Json(body)| Self(body)))
    }
}

impl<T: Serialize> axum::response::IntoResponse for Json<T> {
    fn into_response(self) -> axum::response::Response {
        axum::Json(self.0).into_response()
    }
}

/// The parts of a path that vary. One that doesn't fit its type is an address where nothing is.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// The query's parameters.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

/// The most items of one page.
pub const MAX_LIMIT: u32 = 500;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most items to answer with, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `cursor` for the page that follows; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl PageQuery {
    /// The page's size.
    pub fn limit(&self) -> Result<u32, ApiError> {
        match self.limit.unwrap_or(50) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            other => Err(ApiError::field("limit", format!("must be from 1 to {MAX_LIMIT}, not {other}"))),
        }
    }

    /// Where the page begins.
    pub fn cursor<T: std::str::FromStr>(&self) -> Result<Option<T>, ApiError> {
        let parse = |text: &String| text.parse().map_err(|_| ApiError::field("cursor", "must be a page's next_cursor"));
        self.cursor.as_ref().map(parse).transpose()
    }
}

impl<T> List<T> {
    /// A page, whose last item's place is `cursor`.
    pub fn new<S>(page: crate::store::Page<S>, cursor: impl Fn(&S) -> String, item: impl FnMut(S) -> T) -> Self {
        let next_cursor = page.more.then(|| page.items.last().map(cursor)).flatten();
        Self { items: page.items.into_iter().map(item).collect(), next_cursor }
    }
}

/// A file's bytes, for the API's description.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Binary(#[expect(dead_code, reason = "only described, never made")] Vec<u8>);

/// A form with files, for the API's description.
#[derive(ToSchema)]
pub struct FileForm {
    /// A file; its field's name doesn't matter.
    #[schema(value_type = String, format = Binary)]
    #[expect(dead_code, reason = "only described, never made")]
    file: (),
}

/// The first of the media types in `Accept` that is among `offered`; the first offered if none is.
pub fn accepted<'a>(headers: &HeaderMap, offered: &[&'a str]) -> &'a str {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut wanted = accept.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next()).map(str::trim);
    let found = wanted.find_map(|wanted| offered.iter().find(|offered| offered.eq_ignore_ascii_case(wanted)));
    found.or(offered.first()).copied().unwrap_or("application/json")
}

/// The most of a refused request's body that is read, in bytes: a large photograph.
const PASSED_OVER: usize = 8 << 20;
/// How long a refused request's body may take.
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(1);

/// Reads a body that nobody wants, within reason, so that the connection is good for the next request: a client that is told to
/// come again soon will. Others needn't be spared the trouble; [`super::listen`] sees to it that they get their answer.
pub(super) async fn passed_over(request: Request) {
    let mut body = request.into_body().into_data_stream();
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = body.next().await
            && bytes <= PASSED_OVER
        {
            bytes += chunk.len();
        }
    };
    // Whoever is slower or larger than that finds out by the closed connection.
    let _ = tokio::time::timeout(PASSED_OVER_WITHIN, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_accepted_type_that_is_offered_wins() {
        let offered = ["application/json", "text/csv"];
        for (accept, expected) in [
            ("text/csv", "text/csv"),
            ("text/html, Text/CSV;q=0.9, */*", "text/csv"),
            ("application/json, text/csv", "application/json"),
            ("*/*", "application/json"),
            ("", "application/json"),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(accepted(&headers, &offered), expected, "{accept}");
        }
        assert_eq!(accepted(&HeaderMap::new(), &offered), "application/json");
    }

    #[test]
    fn limits_and_cursors_are_checked() {
        let query = |limit, cursor: Option<&str>| PageQuery { limit, cursor: cursor.map(str::to_owned) };
        assert_eq!(query(None, None).limit().unwrap(), 50);
        assert!(query(Some(0), None).limit().is_err() && query(Some(501), None).limit().is_err());
        assert_eq!(query(None, Some("7")).cursor::<u64>().unwrap(), Some(7));
        assert!(query(None, Some("x")).cursor::<u64>().is_err());
    }
}
