//! What was computed for a data set goes with it.

use uuid::Uuid;

use crate::api::AppState;
use crate::storage::StorageError;
use crate::training::{is_of, remove_owner};

/// Removes the bottleneck features of a deleted data set, in the storage too. What can't be removed goes when there is no room.
pub async fn forget(state: &AppState, dataset: Uuid, content: String) {
    let features = state.settings.features_dir();
    if state.storage.is_remote() {
        let removed = async {
            for kept in state.storage.list(&features).await? {
                if kept.name.rsplit('/').next().is_some_and(|name| is_of(name, &content)) {
                    state.storage.remove(&features.join(&kept.name)).await?;
                }
            }
            Ok::<_, StorageError>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%dataset, %error, "a deleted dataset's bottleneck features are left over in the storage");
        }
    }
    let removed = tokio::task::spawn_blocking(move || remove_owner(&features, &content)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%dataset, %error, "a deleted dataset's bottleneck features are left to eviction");
    }
}
