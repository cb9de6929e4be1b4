//! Where the database is: a file of SQLite's, or a PostgreSQL server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file, which is made if it isn't there.
    Sqlite(PathBuf),
    /// A server.
    Postgres {
        /// Where, and who asks.
        url: PostgresUrl,
        /// Most connections that this process opens.
        connections: u32,
    },
}

impl From<&Path> for Database {
    fn from(file: &Path) -> Self {
        Self::Sqlite(file.to_owned())
    }
}

impl From<PathBuf> for Database {
    fn from(file: PathBuf) -> Self {
        Self::Sqlite(file)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.display().fmt(f),
            Self::Postgres { url, .. } => url.fmt(f),
        }
    }
}

/// The address of a database on a PostgreSQL server: `postgres://user:password@host:5432/database?sslmode=verify-full`. Shown, it has no
/// password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PostgresUrl(Url);

/// A text that isn't the address of a PostgreSQL database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be postgres://user:password@host:5432/database: {0}")]
pub struct InvalidPostgresUrl(&'static str);

impl PostgresUrl {
    /// All of it, password included: for whoever connects.
    pub(super) fn secret(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for PostgresUrl {
    type Err = InvalidPostgresUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPostgresUrl> {
        // What the parser says might show the password.
        let url = Url::parse(text).map_err(|_| InvalidPostgresUrl("it is no address"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(InvalidPostgresUrl("it doesn't begin with postgres://"));
        }
        // A socket's folder is given as a parameter.
        if url.host_str().is_none_or(str::is_empty) && !url.query_pairs().any(|(name, _)| name == "host") {
            return Err(InvalidPostgresUrl("it names no host"));
        }
        if url.path().trim_start_matches('/').is_empty() {
            return Err(InvalidPostgresUrl("it names no database"));
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for PostgresUrl {
    type Error = InvalidPostgresUrl;

    fn try_from(text: String) -> Result<Self, InvalidPostgresUrl> {
        text.parse()
    }
}

impl From<PostgresUrl> for String {
    fn from(url: PostgresUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Parameters may hold a password too.
        shown.set_query(None);
        // Fails for addresses without a host, which have no password in this place.
        let _ = shown.set_password(None);
        shown.fmt(f)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_shown_without_their_password() {
        let url: PostgresUrl =
            "postgres://ann:s3cret@db.example:5433/topgraft?sslmode=require&password=s3cret".parse().unwrap();
        for shown in [url.to_string(), format!("{url:?}"), Database::Postgres { url: url.clone(), connections: 3 }.to_string()]
        {
            assert!(shown.contains("ann@db.example:5433/topgraft") && !shown.contains("s3cret"), "{shown}");
        }
        let text = toml::Value::try_from(&url).unwrap();
        assert!(text.as_str().unwrap().contains("s3cret"), "a worker gets all of it");
        assert_eq!(text.try_into::<PostgresUrl>().unwrap(), url);
        assert!("postgresql:///topgraft?host=/var/run/postgresql".parse::<PostgresUrl>().is_ok());
        for wrong in
            ["", "topgraft.db", "mysql://db/topgraft", "postgres://db", "postgres:///topgraft", "postgres://a:s3cret@:x/"]
        {
            let error = wrong.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(error.contains("postgres://user:") && !error.contains("s3cret"), "{error}");
        }
    }
}
