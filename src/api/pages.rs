//! The page at `/`: each address that people look at asks the API for what it shows, as the very caller that looks, and hands it to a
//! template.

mod client;
mod datasets;
mod jobs;
mod models;
mod sign_in;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::access::Caller;
use super::{ApiError, AppState};
use crate::web::{self, Frame, pages};
use client::{Client, Refused};

/// For pages: files of this server only, and no script or style within the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; \
     font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);
/// Pages see the camera if their reader lets them; nothing else.
const PERMISSIONS: HeaderValue = HeaderValue::from_static("camera=(self), microphone=(), geolocation=()");
/// The files' addresses change with what is in them.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The addresses; `api` answers what they show.
pub(super) fn router(api: Router) -> Router<AppState> {
    Router::new()
        .route("/", get(home))
        .route("/datasets", get(datasets::list))
        .route("/datasets/{id}", get(datasets::show))
        .route("/datasets/{id}/audit", get(datasets::audit))
        .route("/train", get(jobs::train))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", get(jobs::show))
        .route("/compare", get(jobs::compare))
        .route("/models", get(models::list))
        .route("/models/{name}", get(models::show))
        .route("/models/{name}/compare", get(models::compare))
        .route("/models/{name}/versions/{version}", get(models::version))
        .route("/try", get(models::ask))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", axum::routing::post(sign_in::sign_out))
        .route("/assets/{version}/{*name}", get(asset))
        .layer(axum::Extension(Answers(api)))
}

/// What answers the API's addresses within this process.
#[derive(Clone)]
struct Answers(Router);

/// A page being made: who looks, at which address, and the API to ask.
struct Page {
    frame: Frame,
    api: Client,
}

impl FromRequestParts<AppState> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // The router puts it there.
        let Answers(api) = parts.extensions.get().cloned().ok_or_else(|| ApiError::internal("pages without the API"))?;
        let Ok(caller) = Caller::from_request_parts(parts, state).await;
        let frame = Frame::of(parts.uri.path(), caller.has_key());
        Ok(Self { frame, api: Client::new(api, caller) })
    }
}

impl Page {
    /// The page, or why there is none, as one.
    fn answer(&self, template: &'static str, content: Result<Value, Refused>) -> Response {
        match content {
            Ok(content) => shown(StatusCode::OK, template, &self.frame, content),
            Err(refused) => error(refused.status, &self.frame, &refused.title(), &refused.detail),
        }
    }
}

/// A filled template as an answer.
fn shown(status: StatusCode, template: &'static str, frame: &Frame, content: Value) -> Response {
    match pages().render(template, frame, &content) {
        Ok(page) => {
            let headers = [
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::HeaderName::from_static("permissions-policy"), PERMISSIONS),
            ];
            (status, headers, Html(page)).into_response()
        }
        Err(error) => ApiError::internal(error).into_response(),
    }
}

fn error(status: StatusCode, frame: &Frame, title: &str, detail: &str) -> Response {
    shown(status, "error.html", frame, json!({"title": title, "detail": detail}))
}

/// The answer to a request for a page that isn't let through: whoever lacks a key is led to where one can be given.
pub(super) fn refused(path_and_query: &str, refusal: &ApiError) -> Response {
    let path = path_and_query.split('?').next().unwrap_or_default();
    let frame = Frame::of(path, false);
    if refusal.status() == StatusCode::UNAUTHORIZED {
        return Redirect::to(&sign_in::address(&frame.root, path_and_query)).into_response();
    }
    let title = refusal.status().canonical_reason().unwrap_or("Error").to_owned();
    error(refusal.status(), &frame, &title, &refusal.message())
}

/// The page of an address where nothing is.
pub(super) fn nothing_here(path: &str) -> Response {
    let detail = "There is no page at this address.";
    error(StatusCode::NOT_FOUND, &Frame::of(path, false), "Not found", detail)
}

/// Where everything begins.
async fn home(page: Page) -> Response {
    let content = async {
        let newest = |what: &'static str| page.api.find_list(what, 5);
        Ok(json!({"datasets": newest("datasets").await?, "jobs": newest("jobs").await?, "models": newest("models").await?}))
    };
    page.answer("home.html", content.await)
}

/// A file that pages load. One of another version isn't given: its reader's page is of another, too, and must be loaded anew.
async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    match web::asset(&name).filter(|_| version == web::version()) {
        Some(asset) => {
            let headers =
                [(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type)), (header::CACHE_CONTROL, FOR_GOOD)];
            (headers, asset.bytes).into_response()
        }
        None => ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such file in this version: load the page anew")
            .into_response(),
    }
}
