//! The pictures of a request, in whichever of the three ways they are sent.

use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::prelude::BASE64_STANDARD;
use base64::{DecodeError, Engine};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::ApiError;
use crate::api::extract::Json;
use crate::api::parts::Form;
use crate::config::Settings;
use crate::recipe::FieldError;

/// Pictures as JSON: `images`, or `image` for one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PicturesRequest {
    /// Encoded pictures in base64.
    images: Option<Vec<String>>,
    /// An encoded picture in base64.
    image: Option<String>,
}

/// The encoded pictures of a request, at least one.
pub(super) struct Pictures {
    pub bytes: Vec<Bytes>,
    /// What an error calls each of them.
    pub fields: Vec<String>,
}

impl Pictures {
    /// Reads them.
    pub(super) async fn read(mut request: Request, settings: &Settings) -> Result<Self, ApiError> {
        DefaultBodyLimit::max(settings.max_predict_bytes).apply(&mut request);
        let pictures = match media_type(request.headers()).as_str() {
            "multipart/form-data" => Self::from_form(request, settings.max_predict_pictures).await?,
            "application/json" => Self::from_json(request, settings.max_predict_pictures).await?,
            "application/octet-stream" => Self::from_body(request).await?,
            image if image.starts_with("image/") => Self::from_body(request).await?,
            other => return Err(unsupported(other)),
        };
        if pictures.bytes.is_empty() {
            return Err(no_picture());
        }
        Ok(pictures)
    }

    async fn from_body(request: Request) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, &()).await?;
        let bytes = if bytes.is_empty() { Vec::new() } else { vec![bytes] };
        Ok(Self { fields: vec!["image".to_owned(); bytes.len()], bytes })
    }

    async fn from_form(request: Request, most: usize) -> Result<Self, ApiError> {
        let mut form = Form::of(request).await?;
        let mut pictures = Self { bytes: Vec::new(), fields: Vec::new() };
        while let Some(field) = form.next().await? {
            let number = pictures.bytes.len();
            if number == most {
                return Err(too_many(most));
            }
            // The sender's own name for the file is what tells them which one is meant.
            let file = field.file_name().filter(|name| !name.is_empty()).map(|name| format!(" ({name})"));
            pictures.fields.push(format!("images[{number}]{}", file.unwrap_or_default()));
            pictures.bytes.push(field.bytes().await?);
        }
        Ok(pictures)
    }

    async fn from_json(request: Request, most: usize) -> Result<Self, ApiError> {
        let Json(request) = Json::<PicturesRequest>::from_request(request, &()).await?;
        let (texts, is_list) = match (request.images, request.image) {
            (Some(_), Some(_)) => return Err(ApiError::field("image", "can't be given together with images: leave one out")),
            (Some(images), None) => (images, true),
            (None, image) => (image.into_iter().collect(), false),
        };
        if texts.len() > most {
            return Err(too_many(most));
        }
        let field = |number| if is_list { format!("images[{number}]") } else { "image".to_owned() };
        let fields: Vec<String> = (0..texts.len()).map(field).collect();
        let (mut bytes, mut errors) = (Vec::with_capacity(texts.len()), Vec::new());
        for (text, field) in texts.iter().zip(&fields) {
            match from_base64(text) {
                Ok(picture) => bytes.push(picture),
                Err(error) => errors.push(FieldError { field: field.clone(), message: format!("must be base64: {error}") }),
            }
        }
        if errors.is_empty() {
            return Ok(Self { bytes, fields });
        }
        Err(ApiError::unprocessable("invalid_field", "some images aren't base64: see errors").with_errors(errors))
    }
}

/// The media type of a body, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let header = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase()
}

/// A request without pictures.
pub(in crate::api) fn no_picture() -> ApiError {
    ApiError::unprocessable("no_picture", "the request has no picture: send at least one")
}

/// A picture out of a text.
pub(in crate::api) fn from_base64(text: &str) -> Result<Bytes, DecodeError> {
    BASE64_STANDARD.decode(payload(text)).map(Bytes::from)
}

/// The base64 of a `data:` URL, which is what a browser makes of a file; any other text is base64 itself.
fn payload(text: &str) -> &str {
    match text.strip_prefix("data:").and_then(|url| url.split_once(";base64,")) {
        Some((_, payload)) => payload,
        None => text,
    }
}

fn too_many(most: usize) -> ApiError {
    ApiError::field("images", format!("must be at most {most} in one request: send several requests"))
}

fn unsupported(found: &str) -> ApiError {
    let found = if found.is_empty() { "no content type".to_owned() } else { format!("{found:?}") };
    let detail = format!(
        "{found} isn't taken: send a picture as image/jpeg or another image type, files as multipart/form-data, JSON with \
         pictures in base64, or an archive as application/zip, application/x-tar, application/gzip or application/zstd"
    );
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}
