//! A data set's pictures: the list, and each as it was sent or as a thumbnail.

use std::io;
use std::path::Path as FsPath;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::thumbnail::SizeQuery;
use crate::api::extract::{Binary, Json, List, PageQuery, Path, Query};
use crate::api::{ApiError, AppState, Problem};
use crate::dataset::ImageRecord;
use crate::dataset::pack::Pack;
use crate::storage::Storage;
use crate::store::Image;

/// A picture of a data set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImageBody {
    /// Its number: its place in the order of class and path, from 0.
    image: u64,
    /// Where it was in the archive.
    path: String,
    /// Its class.
    label: String,
    /// The encoding, such as `jpeg`.
    format: &'static str,
    /// In pixels, upright.
    width: u32,
    /// In pixels, upright.
    height: u32,
    /// Length of the encoded picture.
    bytes: u64,
    /// SHA-256 of the encoded picture.
    sha256: String,
    /// The number of the first picture that shows the same, this one included; absent if no other does.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_group: Option<u32>,
}

impl From<Image> for ImageBody {
    fn from(image: Image) -> Self {
        let record = image.record;
        Self {
            image: image.number,
            path: record.path,
            label: image.class,
            format: record.format.as_str(),
            width: record.width,
            height: record.height,
            bytes: record.bytes,
            sha256: record.sha256,
            duplicate_group: record.duplicate_group,
        }
    }
}

/// Which pictures to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ImageQuery {
    /// Those of this class.
    label: Option<String>,
    /// Most items to answer with, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List a dataset's pictures
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}/images",
    operation_id = "list_images",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's id or name"), ImageQuery),
    responses(
        (status = OK, body = List<ImageBody>),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<ImageQuery>,
) -> Result<Json<List<ImageBody>>, ApiError> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let dataset = state.store.dataset(&id).await?;
    let images = state.store.images(dataset.id, query.label.as_deref(), page.cursor()?, page.limit()?).await?;
    Ok(Json(List::new(images, |image| image.number.to_string(), ImageBody::from)))
}

/// A picture as it was sent, or a small JPEG of it
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}/images/{image}",
    operation_id = "show_image",
    tag = "datasets",
    params(
        ("id" = String, Path, description = "The dataset's id or name"),
        ("image" = u64, Path, description = "The picture's number"),
        SizeQuery,
    ),
    responses(
        (status = OK, body = Binary, content_type = "image/*"),
        (status = NOT_MODIFIED, description = "The client's copy is right"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "A side that can't be had; or pictures as large as this one are no longer decoded"),
    ),
)]
pub(super) async fn show(
    State(state): State<AppState>,
    Path((id, number)): Path<(String, u64)>,
    Query(query): Query<SizeQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let side = query.side()?;
    let dataset = state.store.dataset(&id).await?;
    let record = state.store.image(dataset.id, number).await?.record;
    let etag = match side {
        Some(side) => format!("\"{}-{side}\"", record.sha256),
        None => format!("\"{}\"", record.sha256),
    };
    // An id's pictures never change; a name may come to mean another data set. Kept by the browser that showed a key for them, not by
    // proxies in between.
    let is_id = dataset.id.to_string() == id;
    let caching = if is_id { "private, max-age=31536000, immutable" } else { "no-cache" };
    let always = [
        (header::CACHE_CONTROL, caching),
        (header::ETAG, etag.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Whatever a sender hid in a picture, a browser shows it as nothing but a picture.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, always).into_response());
    }
    let pack = state.settings.pack(dataset.id);
    let kept = match state.storage.is_remote() {
        true => Some(picture(&state.storage, &pack, &record).await?),
        false => None,
    };
    let read = move || match kept {
        Some(bytes) => Ok(bytes),
        None => Pack::open(&pack)?.read(record.offset, record.bytes),
    };
    let (media_type, bytes) = match side {
        Some(side) => ("image/jpeg", state.thumbnails.make(read, side, state.settings.picture_limits()).await?),
        None => {
            let bytes = tokio::task::spawn_blocking(read).await.map_err(ApiError::internal)?.map_err(unread)?;
            (record.format.media_type(), bytes)
        }
    };
    Ok((always, [(header::CONTENT_TYPE, media_type)], bytes).into_response())
}

/// A picture out of a pack that may be elsewhere: no more of it is fetched than is shown.
async fn picture(storage: &Storage, pack: &FsPath, record: &ImageRecord) -> Result<Vec<u8>, ApiError> {
    let bytes = storage.read(pack, record.offset..record.offset.saturating_add(record.bytes)).await;
    Ok(bytes.map_err(|error| ApiError::kept("dataset", error))?.into())
}

/// A picture that couldn't be read out of its pack.
pub(super) fn unread(error: io::Error) -> ApiError {
    match error.kind() {
        // It isn't there, or shorter than it was.
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            ApiError::damaged("dataset", error)
        }
        _ => ApiError::disk(&error),
    }
}
