//! Which server reads an archive: the one that has the claim.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::{Ingestor, Shared};
use crate::api::ServeError;
use crate::config::Settings;
use crate::store::{self, Dataset, DatasetState, Failure, Reader};
use crate::upkeep;

/// How long a claim on a reading holds that isn't renewed.
const CLAIM: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How often a server looks for readings that others left, if others may be there.
const LOOK: Duration = Duration::from_secs(10);

/// How long nothing of an upload has come that nobody is waiting for any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

impl Ingestor {
    /// Takes up what other servers leave, until this one stops.
    pub(super) async fn look(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.shared.stopping.cancelled() => return,
            }
            match self.shared.left().await {
                Ok(wanted) => self.take_up(wanted),
                Err(error) => tracing::warn!(%error, "what other servers left can't be looked for just now"),
            }
        }
    }
}

impl Shared {
    /// The data sets whose archives are this server's to read, and aren't being read by it: nobody else is at them. Those whose archive
    /// is gone have failed.
    pub(super) async fn left(&self) -> Result<Vec<Uuid>, ServeError> {
        let mut left = Vec::new();
        for Dataset { id, .. } in self.store.ingesting_datasets().await? {
            if self.claimed().contains(&id) || !self.claim(id, !self.store.is_shared()).await {
                continue;
            }
            if self.storage.exists(&self.settings.archive(id)).await.map_err(io::Error::other)? {
                tracing::info!(dataset = %id, "its archive is read again");
                left.push(id);
            } else {
                self.claimed().remove(&id);
                let message = "the server stopped before the archive was read, and the archive is gone: upload it again";
                let failure = Failure { code: "interrupted".to_owned(), message: message.to_owned() };
                self.store.fail_dataset(id, &failure, &[]).await?;
            }
        }
        Ok(left)
    }

    /// Claims a reading, or renews the claim. While the database is in trouble, what was claimed stays so.
    pub(super) async fn claim(&self, id: Uuid, inherit: bool) -> bool {
        let reader = Reader { token: self.token, now: store::now(), claim_ms: CLAIM.as_millis() as i64 };
        let claimed = self.store.claim_reading(id, reader, inherit).await.unwrap_or_else(|error| {
            tracing::warn!(dataset = %id, %error, "the claim on a reading can't be renewed for now");
            true
        });
        if claimed {
            self.claimed().insert(id);
        }
        claimed
    }

    async fn is_unread(&self, id: Uuid) -> bool {
        let dataset = self.store.dataset(&id.to_string()).await;
        dataset.is_ok_and(|dataset| dataset.state == DatasetState::Ingesting)
    }

    /// Goes on claiming a reading; ends when another server has it.
    pub(super) async fn keep_claim(&self, id: Uuid) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if !self.claim(id, false).await && self.is_unread(id).await {
                return;
            }
        }
    }
}

/// Clears the folder of uploads, but for the archives that are wanted. Where other servers may be at it
/// too (`shared`), only what was coming in long ago goes.
pub(super) fn clear(settings: &Settings, wanted: &[PathBuf], shared: bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(settings.uploads_dir()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("part") if !shared || entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > ABANDONED) => {
                std::fs::remove_file(path)?;
            }
            // Whole, but of no row: its sender wasn't told that it had come, or the database is an older one.
            Some("archive") if !shared && !wanted.contains(&path) => upkeep::put_aside(settings, &path, "upload"),
            _ => {}
        }
    }
    Ok(())
}
