//! The API's description, made from the very lines that route it.

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{Content, PathItem, Ref, RefOr, Response, Schema};

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
    for (path, item) in &mut description.paths.paths {
        for operation in operations(item) {
            operation.parameters.iter_mut().flatten().for_each(never_null);
            refusals(operation, path.starts_with("/v2/"));
        }
    }
    super::access::describe(&mut description);
    description
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// What any request may be answered with, beside what its handler says: a body or parameter that can't be used, too many
/// requests, a mistake of this side.
fn refusals(operation: &mut Operation, v2: bool) {
    let (media_type, schema) = if v2 { ("application/json", "ErrorBody") } else { ("application/problem+json", "Problem") };
    let mut response = Response::new("Any other answer is a refusal");
    response.content.insert(media_type.to_owned(), Content::new(Some(Ref::from_schema_name(schema))).into());
    operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
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
