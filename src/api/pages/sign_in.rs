//! Signing in: the browser keeps an API key in a cookie that no script can read, and sends it as programs send theirs.

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;

use super::shown;
use crate::access::Key;
use crate::api::AppState;
use crate::api::access::{self, Cookie};
use crate::web::Frame;

/// What the page is asked with.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
}

/// The form.
#[derive(Debug, Deserialize)]
pub(super) struct SignIn {
    key: String,
    #[serde(default)]
    next: String,
}

/// The address of the page that asks for a key, and then leads back.
pub(super) fn address(root: &str, path_and_query: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(path_and_query.trim_start_matches('/').as_bytes()).collect();
    if next.is_empty() { format!("{root}sign-in") } else { format!("{root}sign-in?next={next}") }
}

/// Asks for a key. One that the browser has didn't do, and is forgotten.
pub(super) async fn show(Query(Asked { next }): Query<Asked>) -> Response {
    let page = page(StatusCode::OK, &next, None);
    ([(header::SET_COOKIE, Cookie::forget())], page).into_response()
}

/// Keeps a key that holds.
pub(super) async fn sign_in(State(state): State<AppState>, headers: HeaderMap, Form(form): Form<SignIn>) -> Response {
    let Ok(key) = form.key.trim().parse::<Key>() else {
        return page(
            StatusCode::UNPROCESSABLE_ENTITY,
            &form.next,
            Some("That is no key: it must be whole, from tg_ to its end."),
        );
    };
    if let Err(error) = access::verified(&state, &key).await {
        return page(error.status(), &form.next, Some(&error.message()));
    }
    // Browsers say with every form where it comes from: over HTTPS the cookie stays there.
    let secure = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let Some(cookie) = Cookie::keep(&key.reveal(), secure) else {
        return page(StatusCode::UNPROCESSABLE_ENTITY, &form.next, Some("That key can't be kept."));
    };
    ([(header::SET_COOKIE, cookie)], Redirect::to(&destination(&form.next))).into_response()
}

/// Forgets the key.
pub(super) async fn sign_out() -> Response {
    ([(header::SET_COOKIE, Cookie::forget())], Redirect::to("./sign-in")).into_response()
}

fn page(status: StatusCode, next: &str, wrong: Option<&str>) -> Response {
    shown(status, "sign_in.html", &Frame::of("/sign-in", false), json!({"next": next, "wrong": wrong}))
}

/// Where to go on: below this site, whatever `next` says. The leading dot makes it relative to this page's folder.
fn destination(next: &str) -> String {
    let is_plain = next.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    let climbs = next.split(['/', '?', '#']).any(|part| part == "..");
    if is_plain && !climbs { format!("./{next}") } else { "./".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_led_back_and_nowhere_else() {
        assert_eq!(address("../", "/jobs/1?a=b&c"), "../sign-in?next=jobs%2F1%3Fa%3Db%26c");
        assert_eq!(address("./", "/"), "./sign-in");
        assert_eq!(destination("jobs/1?a=b"), "./jobs/1?a=b");
        for next in ["https://evil.example", "//evil.example", "javascript:alert(1)"] {
            assert_eq!(destination(next), format!("./{next}"), "relative, so below this site");
        }
        for next in ["a\r\nset-cookie: x", "..", "a/../../b", "\\\\evil", "ü"] {
            assert_eq!(destination(next), "./");
        }
    }
}
