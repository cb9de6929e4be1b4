//! How much room a key's data sets have left, asked before an archive travels. What decides is the transaction that enters it.

use super::Caller;
use crate::api::{ApiError, AppState};
use crate::store::{OverQuota, StoreError};

/// The most that an upload may have, by the key's quota and by what is taken from anybody.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Room {
    limit: u64,
    /// Set where the quota is what leaves the less room.
    over: Option<OverQuota>,
}

impl Room {
    /// What is left to the caller of the `limit` that is taken from anybody.
    pub(in crate::api) async fn of(state: &AppState, caller: &Caller, limit: u64) -> Result<Self, ApiError> {
        let allowance = caller.allowance();
        let quota = allowance.and_then(|allowance| Some((allowance.key, allowance.max_stored_bytes?)));
        let Some((key, most)) = quota else { return Ok(Self { limit, over: None }) };
        let stored = state.store.stored_bytes(key).await?;
        let left = most.saturating_sub(stored);
        let over = (left < limit).then_some(OverQuota::StoredBytes { stored, most });
        match over {
            // Not even an empty one.
            Some(over) if left == 0 => Err(StoreError::from(over).into()),
            _ => Ok(Self { limit: limit.min(left), over }),
        }
    }

    /// Bytes that may come.
    pub(in crate::api) const fn limit(&self) -> u64 {
        self.limit
    }

    /// An upload's error: if it was too large for the quota alone, that is what its sender can do something about.
    pub(in crate::api) fn explain(&self, error: ApiError) -> ApiError {
        match self.over {
            Some(over) if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE => StoreError::from(over).into(),
            _ => error,
        }
    }
}
