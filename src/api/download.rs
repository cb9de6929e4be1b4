//! A version as a file to take elsewhere: its weights, the whole network as ONNX, or the artifact for another topgraft.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Binary, Path, Query};
use super::models::model_name;
use super::{ApiError, AppState, Problem, artifacts};
use crate::artifact::archive::{self, Piece};
use crate::artifact::fit::Misfit;
use crate::artifact::onnx::{self, OnnxError};
use crate::artifact::{self, ArtifactError, MANIFEST, WEIGHTS};
use crate::hex::hex;
use crate::names::Name;
use crate::store::Want;
use crate::vision::weights::{BodyWeights, WeightsError};

/// Bytes of a file that are read at once.
const CHUNK: usize = 256 << 10;

/// ONNX files are made one at a time: each takes a few times its size in memory while it is made.
static ONNX: Semaphore = Semaphore::const_new(1);

/// The routes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(download))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DownloadFormat {
    Safetensors,
    Onnx,
    #[default]
    Artifact,
}

/// What to download.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DownloadQuery {
    /// `artifact`: a tar for `topgraft models import` on another machine, with manifest, weights and report; the one that is
    /// taken if none is given. `onnx`: the whole network with its preprocessing after the resizing; class names and the like
    /// are in its metadata. `safetensors`: the layers that learnt.
    #[param(inline)]
    format: Option<DownloadFormat>,
}

/// Download a version
///
/// As a tar for `topgraft models import`, as ONNX, or its learnt weights alone.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/versions/{version}/download",
    operation_id = "download_version",
    tag = "models",
    params(
        ("name" = Name, Path, description = "The model's name"),
        ("version" = i64, Path, description = "The version"),
        DownloadQuery,
    ),
    responses(
        (status = OK, content((Binary = "application/x-tar"), (Binary = "application/octet-stream"))),
        (status = NOT_MODIFIED, description = "The client's copy is right"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json",
         description = "As ONNX: the backbone here is not the one that the version was trained on"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn download(
    State(state): State<AppState>,
    Path((name, version)): Path<(String, i64)>,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let version = state.store.resolve(&model_name(&name)?, &Want::Version(version)).await?;
    let artifact = artifacts::of_version(&state, &version).await?;
    let dir = artifact.dir();
    let name = format!("{}-{}", version.model, version.version);
    match query.format.unwrap_or_default() {
        DownloadFormat::Safetensors => weights(dir, &format!("{name}.safetensors"), &headers).await,
        DownloadFormat::Onnx => whole_network(dir, state.settings.backbone(), &format!("{name}.onnx")).await,
        DownloadFormat::Artifact => archived(dir, &format!("{name}.tar"), &headers).await,
    }
}

async fn weights(dir: PathBuf, name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let open = move || -> Result<_, ArtifactError> {
        let manifest = artifact::manifest(&dir)?;
        let path = dir.join(WEIGHTS);
        let opened = std::fs::File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|source| ArtifactError::Io { path, source })?;
        Ok((manifest.files.get(WEIGHTS).cloned().unwrap_or_default(), vec![Piece::File(file, bytes)]))
    };
    let (sha256, pieces) = tokio::task::spawn_blocking(open).await.map_err(ApiError::internal)??;
    Ok(sent(pieces, "application/octet-stream", name, &sha256, headers))
}

async fn archived(dir: PathBuf, name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let open = move || -> Result<_, ArtifactError> {
        let path = dir.join(MANIFEST);
        let manifest = std::fs::read(&path).map_err(|source| ArtifactError::Io { path, source })?;
        // The manifest has the others' checksums, so its own stands for all.
        Ok((hex(&Sha256::digest(manifest)), archive::pieces(&dir)?))
    };
    let (sha256, pieces) = tokio::task::spawn_blocking(open).await.map_err(ApiError::internal)??;
    Ok(sent(pieces, "application/x-tar", name, &sha256, headers))
}

async fn whole_network(dir: PathBuf, backbone: PathBuf, name: &str) -> Result<Response, ApiError> {
    let _alone = ONNX.acquire().await.map_err(ApiError::internal)?;
    let make = move || -> Result<Vec<u8>, ExportError> {
        let manifest = artifact::manifest(&dir)?;
        let tensors = artifact::tensors(&dir, &manifest)?;
        Ok(onnx::export(&manifest, &tensors, &BodyWeights::load(&backbone)?)?)
    };
    let bytes = tokio::task::spawn_blocking(make).await.map_err(ApiError::internal)??;
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, disposition.as_str())];
    Ok((headers, bytes).into_response())
}

/// Answers with pieces as they are read, or says that the client has them.
fn sent(pieces: Vec<Piece>, media_type: &str, name: &str, sha256: &str, headers: &HeaderMap) -> Response {
    let etag = format!("\"{sha256}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let length = |piece: &Piece| match piece {
        Piece::Bytes(bytes) => bytes.len() as u64,
        Piece::File(_, bytes) => *bytes,
    };
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CONTENT_LENGTH, pieces.iter().map(length).sum::<u64>().to_string()),
        // A version never changes, but its number may come to mean another one, in another data folder.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, etag),
    ];
    let streams = stream::iter(pieces).map(|piece| match piece {
        Piece::Bytes(bytes) => stream::once(async { Ok(bytes.into()) }).boxed(),
        Piece::File(file, bytes) => ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(bytes), CHUNK).boxed(),
    });
    (headers, Body::from_stream(streams.map(Ok::<_, std::io::Error>).try_flatten())).into_response()
}

/// Why there is no ONNX file.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Onnx(OnnxError::TooLarge { .. }) => Self::unprocessable("too_large_for_onnx", error.to_string()),
            ExportError::Onnx(OnnxError::Misfit(Misfit::Backbone { .. } | Misfit::Scales { .. })) => {
                Self::new(StatusCode::CONFLICT, "other_backbone", error.to_string())
            }
            other => Self::internal(other),
        }
    }
}
