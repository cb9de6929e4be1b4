//! What the API's description says of keys, out of the very table that decides.

use axum::http::Method;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, ResponseBuilder};

use super::routes::{Need, need};
use crate::access::Scope;

/// The name of keys in the description.
const SCHEME: &str = "key";

/// Adds to each operation which keys it takes, and the answers to those that it doesn't.
pub(in crate::api) fn describe(api: &mut OpenApi) {
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    api.components.get_or_insert_default().add_security_scheme(SCHEME, scheme);
    for (path, item) in &mut api.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in operations {
            if let (Need::Key(sufficient), Some(operation)) = (need(&method, Some(path)), operation) {
                add(operation, sufficient, path.starts_with("/v2"));
            }
        }
    }
}

fn add(operation: &mut Operation, sufficient: &[Scope], is_v2: bool) {
    // A list of requirements, of which one must be met.
    let requirements = sufficient.iter().map(|scope| SecurityRequirement::new(SCHEME, [scope.as_str()]));
    operation.security = Some(requirements.collect());
    let (media_type, schema) = if is_v2 { ("application/json", "ErrorBody") } else { ("application/problem+json", "Problem") };
    let refusals = [
        ("401", "The server asks for keys, and none was sent, or none that holds"),
        ("403", "The key lacks the scope, or a quota has run out"),
        ("429", "The key was used too often, or the server has too much to do"),
    ];
    for (status, description) in refusals {
        let refusal = || {
            let content = Content::new(Some(Ref::from_schema_name(schema)));
            ResponseBuilder::new().description(description).content(media_type, content).build().into()
        };
        operation.responses.responses.entry(status.to_owned()).or_insert_with(refusal);
    }
}
