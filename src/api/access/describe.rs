//! What the API's description says of keys, out of the very table that decides.

use axum::http::Method;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};

use super::routes::{Need, need};
use crate::api::openapi::may_refuse;

/// The name of keys in the description.
const SCHEME: &str = "key";

/// Adds what a key is.
pub(in crate::api) fn describe(api: &mut OpenApi) {
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    api.components.get_or_insert_default().add_security_scheme(SCHEME, scheme);
}

/// Adds to an operation which keys it takes, and the answers to those that it doesn't.
pub(in crate::api) fn needs(method: &Method, path: &str, operation: &mut Operation) {
    let Need::Key(sufficient) = need(method, Some(path)) else { return };
    // A list of requirements, of which one must be met.
    let requirements = sufficient.iter().map(|scope| SecurityRequirement::new(SCHEME, [scope.as_str()]));
    operation.security = Some(requirements.collect());
    let refusals = [
        ("401", "The server asks for keys, and none was sent, or none that holds"),
        ("403", "The key lacks the scope, or a quota has run out"),
        ("429", "The key was used too often, or the server has too much to do"),
    ];
    refusals.into_iter().for_each(|(status, description)| may_refuse(operation, path, status, description));
}
