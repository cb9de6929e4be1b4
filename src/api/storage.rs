//! Room on the disk, and whether what the database knows of lies there.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiError, AppState};
use crate::config::Settings;
use crate::disk;

/// The disk under the data folder. It doesn't decide `ready`: predictions need none of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StorageStatus {
    /// Bytes that may still be written; null if that can't be told.
    free_bytes: Option<u64>,
    /// With fewer, uploads and jobs are refused and no job is begun.
    min_free_bytes: u64,
    /// Whether there are as many.
    enough: bool,
    /// Ready datasets and published versions whose files weren't there when the server started.
    missing: Vec<String>,
}

/// How the disk fares.
pub(super) async fn status(state: &AppState) -> StorageStatus {
    let min_free_bytes = state.settings.min_free_bytes;
    let free_bytes = free(&state.settings).await;
    let enough = free_bytes.is_some_and(|free| free >= min_free_bytes);
    StorageStatus { free_bytes, min_free_bytes, enough, missing: state.missing.get().cloned().unwrap_or_default() }
}

/// Refuses what would leave less of the disk free than is to be.
pub(super) async fn demand_room(settings: &Settings, bytes: u64) -> Result<(), ApiError> {
    // What can't be measured is tried.
    let Some(free) = free(settings).await else { return Ok(()) };
    let wanted = settings.min_free_bytes.saturating_add(bytes);
    if free >= wanted {
        return Ok(());
    }
    Err(ApiError::storage_full(format_args!("{free} bytes are free and {wanted} are wanted")))
}

async fn free(settings: &Settings) -> Option<u64> {
    let folder = settings.data_dir.clone();
    match tokio::task::spawn_blocking(move || disk::free_bytes(&folder)).await {
        Ok(Ok(free)) => Some(free),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the free space of the data folder can't be told");
            None
        }
        Err(_) => None,
    }
}
