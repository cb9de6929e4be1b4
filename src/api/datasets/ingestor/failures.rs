//! What becomes of a data set whose archive came to nothing, and what its sender is told.

use std::io;

use uuid::Uuid;

use super::Shared;
use crate::dataset::{DatasetError, Rejected};
use crate::store::{Failure, OverQuota, StoreError};

impl Shared {
    /// What came out of the archive is more than its key may have.
    pub(super) async fn give_up(&self, id: Uuid, over: &OverQuota, rejected: &[Rejected]) -> Result<(), StoreError> {
        // Should this fail, the quota doesn't count it, and the folder goes with the data set.
        if let Err(error) = self.storage.remove_folder(&self.settings.dataset_dir(id)).await {
            tracing::warn!(dataset = %id, %error, "the pictures of a dataset that is over its key's quota are left over");
        }
        let failure = Failure { code: "quota_exceeded".to_owned(), message: over.to_string() };
        self.store.fail_dataset(id, &failure, rejected).await
    }

    /// The archive came to nothing, by its sender's doing or not.
    pub(super) async fn fail(&self, id: Uuid, error: &DatasetError, rejected: &[Rejected]) -> Result<(), StoreError> {
        let failure = if error.is_senders() {
            Failure { code: error.code().to_owned(), message: error.to_string() }
        } else {
            tracing::error!(dataset = %id, %error, "reading an archive failed");
            let gone = matches!(error, DatasetError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
            if gone { vanished() } else { internal() }
        };
        // The folder holds nothing: a failed reading leaves no pack.
        let _ = tokio::fs::remove_dir(self.settings.dataset_dir(id)).await;
        self.store.fail_dataset(id, &failure, rejected).await
    }
}

/// What a sender is told of trouble that isn't theirs.
pub(super) fn internal() -> Failure {
    let message = "something went wrong on the server while the archive was read: upload it again";
    Failure { code: "internal".to_owned(), message: message.to_owned() }
}

/// What a sender is told when the archive isn't where it was put.
fn vanished() -> Failure {
    let message = "the archive went from the server's disk before it was read: upload it again";
    Failure { code: "archive_missing".to_owned(), message: message.to_owned() }
}
