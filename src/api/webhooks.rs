//! Webhooks as a part of what jobs and sweeps are asked for and shown with.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ApiError;
use crate::config::Settings;
use crate::store::{DeliveryStatus, Store, WebhookState};
use crate::webhooks::checked_url;

/// Whom to tell when it has ended, by a signed POST after the Standard Webhooks specification.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookRequest {
    /// The receiver, on the public internet and with https unless the server's settings permit others; up to 2,048 bytes.
    #[schema(example = "https://example.com/hook")]
    url: String,
}

impl WebhookRequest {
    /// The address that will be called.
    pub(super) fn checked(self, settings: &Settings) -> Result<String, ApiError> {
        checked_url(&self.url, settings.webhook_allow_private)
            .map_err(|error| ApiError::field("webhook.url", error.to_string()))
    }
}

/// Whom to tell when it has ended, and whether that is done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookBody {
    /// The receiver.
    url: String,
    /// Whether it has been told.
    state: WebhookState,
    /// How often that was tried.
    attempts: u32,
    /// Why the last attempt that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

impl WebhookBody {
    /// Of something that hasn't ended; [`settled`] says how it really stands.
    pub(super) const fn pending(url: String) -> Self {
        Self { url, state: WebhookState::Pending, attempts: 0, last_error: None }
    }
}

/// Fills in how the webhooks of these jobs or sweeps stand.
pub(super) async fn settled(store: &Store, webhooks: Vec<(Uuid, &mut WebhookBody)>) -> Result<(), ApiError> {
    let mut webhooks: HashMap<_, _> = webhooks.into_iter().collect();
    let ids: Vec<_> = webhooks.keys().copied().collect();
    for DeliveryStatus { of, state, attempts, last_error } in store.deliveries(&ids).await? {
        if let Some(body) = webhooks.get_mut(&of) {
            (body.state, body.attempts, body.last_error) = (state, attempts, last_error);
        }
    }
    Ok(())
}
