//! The API's description, made from the very lines that route it.

use axum::http::Method;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{Content, PathItem, Ref, RefOr, ResponseBuilder, Schema};

use super::access;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "topgraft",
        description = "Fine-tunes ImageNet VGG16 on people's labelled pictures and serves the classifiers.\n\n\
            Upload an archive with a folder of pictures for each class, submit a job that trains on it, follow the job, and \
            classify pictures with the model that it publishes. Where the server asks for keys, send yours as \
            `Authorization: Bearer tg_…` or `X-Api-Key: tg_…`. Errors are `application/problem+json` with a stable `code`."
    ),
    tags(
        (name = "datasets", description = "Labelled pictures"),
        (name = "jobs", description = "Training"),
        (name = "sweeps", description = "Many recipes tried on one data set"),
        (name = "models", description = "What training published"),
        (name = "predict", description = "Classifying pictures"),
        (name = "v2", description = "The Open Inference Protocol"),
        (name = "service", description = "The server itself"),
    )
)]
struct Description;

/// The API's description.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    description.merge(super::resources().into_openapi());
    access::describe(&mut description);
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in operations(item) {
            operation.parameters.iter_mut().flatten().for_each(never_null);
            access::needs(&method, path, operation);
            // A body or parameter that can't be used, too many requests, a mistake of this side.
            may_refuse(operation, path, "default", "Any other answer is a refusal");
        }
    }
    description
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
    let operations = [get, put, post, delete, patch];
    methods.into_iter().zip(operations).filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds that an operation may be refused in this way, unless it says so itself.
pub(super) fn may_refuse(operation: &mut Operation, path: &str, status: &str, description: &str) {
    let refusal = || {
        let (media_type, schema) =
            if path.starts_with("/v2") { ("application/json", "ErrorBody") } else { ("application/problem+json", "Problem") };
        let content = Content::new(Some(Ref::from_schema_name(schema)));
        ResponseBuilder::new().description(description).content(media_type, content).build().into()
    };
    operation.responses.responses.entry(status.to_owned()).or_insert_with(refusal);
}

/// A query, header or path has no null, though what may be left out is described as if it had.
fn never_null(parameter: &mut RefOr<Parameter>) {
    if let RefOr::T(Parameter { schema: Some(RefOr::T(Schema::Object(object))), .. }) = parameter
        && let SchemaType::Array(types) = &mut object.schema_type
    {
        types.retain(|kind| *kind != Type::Null);
        if let [one] = types.as_slice() {
            object.schema_type = SchemaType::Type(one.clone());
        }
    }
}

/// The API's description as the JSON that `openapi/openapi.json` holds.
///
/// # Errors
/// A description that JSON can't hold, which would be a mistake in this code.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    Ok(openapi().to_pretty_json()? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_OPENAPI=1` writes the file anew; a change of the API is then seen in review.
    #[test]
    fn the_file_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
        let description = openapi_json().unwrap();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &description).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap();
        assert!(file == description, "openapi/openapi.json is out of date: run the tests once with UPDATE_OPENAPI=1");
    }
}
