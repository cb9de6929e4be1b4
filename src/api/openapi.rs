//! The API's description, made from the very lines that route it.

use utoipa::OpenApi;

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
    super::access::describe(&mut description);
    description
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
