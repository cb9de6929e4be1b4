//! Every limit and path, in one [`Settings`].
//!
//! A value comes from the first of these that gives it: a command-line flag, a `TOPGRAFT_…` environment variable, the TOML
//! file named by `--config` (or `TOPGRAFT_CONFIG`), the default. A worker process gets its parent's settings whole, as a
//! TOML file: see [`Settings::save`] and [`ENVIRONMENT`].

mod fields;
mod hosts;
mod http;
mod paths;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use fields::{ENVIRONMENT, Settings, SettingsArgs};
pub use hosts::{Hosts, InvalidHosts};

use crate::dataset::DatasetLimits;
use crate::vision::picture::PictureLimits;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file isn't TOML or has a field that isn't known.
    #[error("{path}: {source}")]
    Toml {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// Settings that TOML can't hold: a path that isn't UTF-8.
    #[error("the settings can't be handed to a worker process: {0}")]
    Unwritable(#[from] toml::ser::Error),
    /// A value out of its range.
    #[error("{field} must be {must}")]
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// Its range.
        must: &'static str,
    },
}

impl SettingsArgs {
    /// The settings that these flags and variables, the TOML file and the defaults come to.
    ///
    /// # Errors
    /// A file that can't be read; an unknown field; a value out of its range.
    pub fn resolve(self) -> Result<Settings, ConfigError> {
        let base = match &self.config {
            Some(path) => Settings::from_file(path)?,
            None => Settings::default(),
        };
        let settings = self.overlay(base);
        settings.check()?;
        Ok(settings)
    }
}

impl Settings {
    fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })
    }

    /// Writes the settings as the TOML file that `--config` reads back unchanged.
    ///
    /// The file is replaced at once, never half-written: a worker may be starting just now.
    ///
    /// # Errors
    /// The file system's refusals; a path among the settings that isn't UTF-8.
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
        let text = toml::to_string_pretty(self)?;
        let io = |source| ConfigError::Io { path: path.to_owned(), source };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(io)?;
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.persist(path).map_err(|error| io(error.error))?;
        Ok(())
    }

    /// What a data set may cost.
    #[must_use]
    pub const fn dataset_limits(&self) -> DatasetLimits {
        DatasetLimits {
            max_entries: self.max_entries,
            max_archive_bytes: self.max_upload_bytes,
            max_expanded_bytes: self.max_expanded_bytes,
            max_expansion_ratio: self.max_expansion_ratio,
            max_path_bytes: self.max_path_bytes,
            picture: self.picture_limits(),
        }
    }

    /// What a single picture may cost, in a data set and in a request to classify it.
    #[must_use]
    pub const fn picture_limits(&self) -> PictureLimits {
        PictureLimits { max_bytes: self.max_picture_bytes, max_pixels: self.max_picture_pixels }
    }

    /// How long the answer to a request with an `Idempotency-Key` is remembered, in milliseconds.
    #[must_use]
    pub fn idempotency_ms(&self) -> i64 {
        i64::from(self.idempotency_hours) * 3_600_000
    }

    /// How long a worker's claim holds without a heartbeat, in milliseconds.
    #[must_use]
    pub fn lease_ms(&self) -> i64 {
        i64::from(self.lease_seconds) * 1000
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive: [(&'static str, bool); 14] = [
            ("max_upload_bytes", self.max_upload_bytes > 0),
            ("max_entries", self.max_entries > 0),
            ("max_expanded_bytes", self.max_expanded_bytes > 0),
            ("max_picture_bytes", self.max_picture_bytes > 0),
            ("max_picture_pixels", self.max_picture_pixels > 0),
            ("max_request_bytes", self.max_request_bytes > 0),
            ("max_predict_bytes", self.max_predict_bytes > 0),
            ("max_predict_pictures", self.max_predict_pictures > 0),
            ("predict_requests", self.predict_requests > 0),
            ("predict_deadline_ms", self.predict_deadline_ms > 0),
            ("max_batch", self.max_batch > 0),
            ("decode_threads", self.decode_threads > 0),
            ("max_attempts", self.max_attempts > 0),
            ("threads", self.threads != Some(0)),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, holds)| !holds) {
            return Err(ConfigError::OutOfRange { field, must: "at least 1" });
        }
        if self.predict_queue < self.max_predict_pictures {
            return Err(ConfigError::OutOfRange { field: "predict_queue", must: "at least max_predict_pictures" });
        }
        http::check(self)?;
        if self.database_connections < 2 {
            return Err(ConfigError::OutOfRange { field: "database_connections", must: "at least 2" });
        }
        if self.worker_nice > 19 {
            return Err(ConfigError::OutOfRange { field: "worker_nice", must: "from 0 to 19" });
        }
        if !(5..=3600).contains(&self.lease_seconds) {
            return Err(ConfigError::OutOfRange { field: "lease_seconds", must: "from 5 to 3600" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
