//! `POST /v1/datasets`: an archive comes in, and nothing shows of it until it is whole.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::received::{Received, Receiving, refuse_longer};
use super::{DatasetBody, entered};
use crate::api::access::{Caller, Room};
use crate::api::extract::{Binary, FileForm, Query};
use crate::api::idempotency::{Asked, IdempotencyHeader, Promise, Turn, address, answered};
use crate::api::parts::Form;
use crate::api::{ApiError, AppState, Problem};
use crate::config::Settings;
use crate::dataset::archive;
use crate::names::Name;
use crate::store::{Allowance, Answer, Conflict, Dataset, Missing, NewDataset, StoreError};

/// What is uploaded, to its sender.
const ARCHIVE: &str = "the archive";
/// The most fields that a form may have before its file; they are passed over.
const MAX_OTHER_FIELDS: u32 = 100;
/// The most bytes of those fields.
const MAX_OTHER_BYTES: usize = 1 << 20;

/// What to call the data set.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// A name that no other data set has: 1 to 64 of `a-z A-Z 0-9 - _ .`, beginning with a letter or digit. If not given,
    /// the uploaded file's name, or one made up from the id.
    #[param(value_type = Option<Name>)]
    name: Option<String>,
}

/// Upload a dataset
///
/// The body is a zip, tar, tar.gz or tar.zst with a folder of pictures for each class, or a form with such a file. What it is
/// shows from its content. The answer comes when the archive has arrived whole; reading it goes on in the background: look
/// at the dataset until its state is `ready` or `failed`.
#[utoipa::path(
    post,
    path = "/v1/datasets",
    operation_id = "upload_dataset",
    tag = "datasets",
    params(UploadQuery, IdempotencyHeader),
    request_body(content(
        (Binary = "application/zip"),
        (Binary = "application/x-tar"),
        (Binary = "application/gzip"),
        (Binary = "application/zstd"),
        (Binary = "application/octet-stream"),
        (FileForm = "multipart/form-data"),
    )),
    responses(
        (status = ACCEPTED, body = DatasetBody, headers(("location" = String, description = "The dataset"))),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "The name is taken"),
        (status = PAYLOAD_TOO_LARGE, body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json",
         description = "No archive that can be read"),
        (status = INSUFFICIENT_STORAGE, body = Problem, content_type = "application/problem+json",
         description = "The server's disk is full"),
    ),
)]
pub(super) async fn upload(
    State(state): State<AppState>,
    Query(query): Query<UploadQuery>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let parse = |name: String| name.parse::<Name>().map_err(|error| ApiError::field("name", error.to_string()));
    let name = query.name.map(parse).transpose()?;
    let turn = Turn::begin(&request, &state)?;
    let earlier = match &turn {
        Some(turn) => turn.earlier(&state).await?,
        None => None,
    };
    if let (Some(name), None) = (&name, &earlier) {
        // Better said before the archive has travelled; the insertion below is what decides.
        refuse_taken(&state, name).await?;
    }
    let id = Uuid::now_v7();
    let room = Room::of(&state, &caller, state.settings.max_upload_bytes).await?;
    let (parts, body) = request.into_parts();
    let address = address(&parts);
    let request = Request::from_parts(parts, body);
    let (received, file_name) = receive(&state, id, request, room.limit()).await.map_err(|error| room.explain(error))?;
    let promise = match turn.map(|turn| turn.asked(earlier, &address, &received.sha256)).transpose()? {
        Some(Asked::Again(response)) => return Ok(response),
        Some(Asked::First(promise)) => Some(promise),
        None => None,
    };
    check(&state, &received).await?;
    let name = match name {
        Some(name) => name,
        None => made_up(&state, file_name.as_deref(), id).await?,
    };
    // A task of its own: from here on the client's going away must not leave a file without a row or the reverse.
    let entering = enter(state, received, id, name, caller.allowance(), promise);
    let entered = tokio::spawn(entering).await.map_err(ApiError::internal)??;
    answered(accepted(&entered).map_err(ApiError::internal)?)
}

fn accepted(dataset: &Dataset) -> serde_json::Result<Answer> {
    entered(StatusCode::ACCEPTED, dataset)
}

async fn refuse_taken(state: &AppState, name: &Name) -> Result<(), ApiError> {
    match state.store.dataset(name.as_str()).await {
        Ok(_) => Err(StoreError::from(Conflict::DatasetNameTaken).into()),
        Err(StoreError::NotFound(Missing::Dataset)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The name when none was given: the file's, if it is one and free, else one from the id.
async fn made_up(state: &AppState, file_name: Option<&str>, id: Uuid) -> Result<Name, ApiError> {
    if let Some(name) = file_name.and_then(stem)
        && refuse_taken(state, &name).await.is_ok()
    {
        return Ok(name);
    }
    // The end of a UUIDv7 is random; its beginning is the time, which uploads of the same minute share.
    let digits = id.simple().to_string();
    format!("dataset-{}", &digits[digits.len() - 8..]).parse().map_err(ApiError::internal)
}

/// A file's name without the folders and endings of archives, if that is a name.
fn stem(file_name: &str) -> Option<Name> {
    let file = file_name.rsplit(['/', '\\']).next()?;
    let endings = [".tar.gz", ".tar.zst", ".tgz", ".tzst", ".tar", ".zip", ".gz", ".zst"];
    let stem = endings.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    stem.parse().ok()
}

/// Writes the archive to disk as it comes. With a form, the first file's name too.
async fn receive(state: &AppState, id: Uuid, mut request: Request, limit: u64) -> Result<(Received, Option<String>), ApiError> {
    let part = state.settings.uploads_dir().join(format!("{id}.part"));
    refuse_longer(request.headers(), ARCHIVE, limit, &state.settings).await?;
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        // The file itself is counted below.
        DefaultBodyLimit::disable().apply(&mut request);
        return from_form(Form::of(request).await?, &part, limit, &state.settings).await;
    }
    let mut receiving = Receiving::begin(part, ARCHIVE, limit, &state.settings).await?;
    receiving.write_body(request.into_body()).await?;
    Ok((receiving.end().await?, None))
}

async fn from_form(
    mut form: Form,
    part: &Path,
    limit: u64,
    settings: &Arc<Settings>,
) -> Result<(Received, Option<String>), ApiError> {
    let (mut fields, mut bytes) = (0, 0);
    while let Some(mut field) = form.next().await? {
        if let Some(file_name) = field.file_name().map(str::to_owned) {
            let mut receiving = Receiving::begin(part.to_owned(), ARCHIVE, limit, settings).await?;
            while let Some(chunk) = field.chunk().await? {
                receiving.write(&chunk).await?;
            }
            return Ok((receiving.end().await?, Some(file_name)));
        }
        fields += 1;
        while let Some(chunk) = field.chunk().await? {
            bytes += chunk.len();
            if bytes > MAX_OTHER_BYTES {
                return Err(ApiError::too_large("what the form has before its file", MAX_OTHER_BYTES as u64));
            }
        }
        if fields == MAX_OTHER_FIELDS {
            break;
        }
    }
    Err(ApiError::unprocessable("no_file", "the form has no file: add the archive as a file field, before any others"))
}

/// What shows of a broken archive without reading it all is said at once.
async fn check(state: &AppState, received: &Received) -> Result<(), ApiError> {
    let (path, limits) = (received.path().to_owned(), state.settings.dataset_limits());
    tokio::task::spawn_blocking(move || archive::check(&path, &limits)).await.map_err(ApiError::internal)??;
    Ok(())
}

async fn enter(
    state: AppState,
    received: Received,
    id: Uuid,
    name: Name,
    allowance: Option<Allowance>,
    promise: Option<Promise>,
) -> Result<Dataset, ApiError> {
    let archive = state.settings.archive(id);
    received.keep(&archive).await?;
    // Another server may read it, should this one die.
    state.storage.keep(&archive).await.map_err(|error| ApiError::kept("archive", error))?;
    let new = NewDataset { id, name, bytes: received.bytes, archive_sha256: received.sha256.clone(), allowance };
    match state.store.insert_dataset(&new, promise.as_ref().map(|promise| promise.keep(accepted))).await {
        Ok(dataset) => {
            state.ingestor.enqueue(id);
            Ok(dataset)
        }
        Err(error) => {
            // Should this fail, the next start removes it.
            let _ = state.storage.remove(&archive).await;
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_makes_a_name_if_it_can() {
        for (file, name) in [
            ("flowers17.tar.gz", Some("flowers17")),
            ("C:\\pictures\\cats.and-dogs.zip", Some("cats.and-dogs")),
            ("../../etc/passwd", Some("passwd")),
            ("my pictures.zip", None),
            (".zip", None),
            ("", None),
        ] {
            assert_eq!(stem(file).as_ref().map(Name::as_str), name, "{file}");
        }
    }
}
