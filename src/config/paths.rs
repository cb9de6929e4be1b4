//! Where everything lies. Only ids, checked names and numbers become part of a path.

use std::path::PathBuf;

use uuid::Uuid;

use super::Settings;
use crate::names::Name;
use crate::store::Database;

impl Settings {
    /// The database.
    #[must_use]
    pub fn database(&self) -> Database {
        match &self.database {
            Some(url) => Database::Postgres { url: url.clone(), connections: self.database_connections },
            None => Database::Sqlite(self.database_file()),
        }
    }

    /// The file of a database that is SQLite's.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.data_dir.join("topgraft.db")
    }

    /// The data sets' folders.
    #[must_use]
    pub fn datasets_dir(&self) -> PathBuf {
        self.data_dir.join("datasets")
    }

    /// A data set's folder.
    #[must_use]
    pub fn dataset_dir(&self, id: Uuid) -> PathBuf {
        self.datasets_dir().join(id.to_string())
    }

    /// A data set's pictures, one after the other.
    #[must_use]
    pub fn pack(&self, id: Uuid) -> PathBuf {
        self.dataset_dir(id).join("pictures.pack")
    }

    /// Archives on their way in.
    #[must_use]
    pub fn uploads_dir(&self) -> PathBuf {
        self.data_dir.join("uploads")
    }

    /// A whole uploaded archive that waits to be read.
    #[must_use]
    pub fn archive(&self, id: Uuid) -> PathBuf {
        self.uploads_dir().join(format!("{id}.archive"))
    }

    /// The published versions' artifacts.
    #[must_use]
    pub fn models_dir(&self) -> PathBuf {
        self.data_dir.join("models")
    }

    /// A published version's artifact.
    #[must_use]
    pub fn model_dir(&self, name: &Name, version: i64) -> PathBuf {
        self.models_dir().join(name.as_str()).join(version.to_string())
    }

    /// The artifacts of sweeps' trials.
    #[must_use]
    pub fn trials_dir(&self) -> PathBuf {
        self.data_dir.join("trials")
    }

    /// A trial's artifact, by its job.
    #[must_use]
    pub fn trial_dir(&self, job: Uuid) -> PathBuf {
        self.trials_dir().join(job.to_string())
    }

    /// The states of jobs that aren't over.
    #[must_use]
    pub fn checkpoints_dir(&self) -> PathBuf {
        self.data_dir.join("checkpoints")
    }

    /// A job's states after its last epochs.
    #[must_use]
    pub fn checkpoint_dir(&self, job: Uuid) -> PathBuf {
        self.checkpoints_dir().join(job.to_string())
    }

    /// The secret that webhooks are signed with, unless it is given.
    #[must_use]
    pub fn webhook_secret_file(&self) -> PathBuf {
        self.data_dir.join("webhook-secret")
    }

    /// What was found damaged, or by nobody's name, and put aside.
    #[must_use]
    pub fn quarantine_dir(&self) -> PathBuf {
        self.data_dir.join("quarantine")
    }

    /// Whatever can be computed again.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.data_dir.join("cache")
    }

    /// Bottleneck features, a folder a data set's content.
    #[must_use]
    pub fn features_dir(&self) -> PathBuf {
        self.cache_dir().join("features")
    }

    /// The backbone's weights.
    #[must_use]
    pub fn backbone(&self) -> PathBuf {
        self.weights.clone().unwrap_or_else(|| self.data_dir.join("weights").join("vgg16.safetensors"))
    }
}
