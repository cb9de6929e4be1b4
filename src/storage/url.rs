//! Where the storage is, as one setting.

use std::fmt;
use std::path::{Component, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use super::key::is_plain;

/// S3 takes names of 1024 bytes; the rest is for the files' own.
const LONGEST_PREFIX: usize = 100;

/// `s3://bucket`, `s3://bucket/prefix` or `file:///folder`. It says where, never how to get in: that is in the `AWS_…` variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageUrl(Place);

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A part of a bucket, or (of an empty prefix) all of it.
    Bucket { bucket: String, prefix: String },
    /// A folder, of a network file system for instance.
    Folder(PathBuf),
}

/// A text that is no address of a storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidStorageUrl(&'static str);

impl StorageUrl {
    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl FromStr for StorageUrl {
    type Err = InvalidStorageUrl;

    /// No message repeats the text: somebody may have written a secret into it.
    fn from_str(text: &str) -> Result<Self, InvalidStorageUrl> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return bucket(rest);
        }
        if text.starts_with("file:") {
            return folder(text);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Err(InvalidStorageUrl("write s3://BUCKET/PREFIX, and the server's address into AWS_ENDPOINT_URL"));
        }
        Err(InvalidStorageUrl("write s3://BUCKET, s3://BUCKET/PREFIX or file:///FOLDER"))
    }
}

fn bucket(rest: &str) -> Result<StorageUrl, InvalidStorageUrl> {
    if rest.contains('@') {
        return Err(InvalidStorageUrl(
            "take the credentials out of the address: they belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains(':') {
        return Err(InvalidStorageUrl(
            "write s3://BUCKET/PREFIX without a port: a server's address belongs into AWS_ENDPOINT_URL",
        ));
    }
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| end(c) || c == '-' || c == '.';
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(inner) || !bucket.starts_with(end) || !bucket.ends_with(end) {
        return Err(InvalidStorageUrl(
            "a bucket's name has 3 to 63 lower-case letters, digits, '-' and '.', and a letter or digit at each end",
        ));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.len() > LONGEST_PREFIX || !(prefix.is_empty() || prefix.split('/').all(is_plain)) {
        return Err(InvalidStorageUrl(
            "a prefix has up to 100 letters, digits, '-', '_' and '.', with '/' between its parts, none of which begins with '.'",
        ));
    }
    Ok(StorageUrl(Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
}

fn folder(text: &str) -> Result<StorageUrl, InvalidStorageUrl> {
    const WRONG: InvalidStorageUrl = InvalidStorageUrl("write file:///FOLDER: three slashes and a whole path, in UTF-8");
    // The parser would make a whole path of anything.
    if !text.starts_with("file:///") {
        return Err(WRONG);
    }
    let url = Url::parse(text).map_err(|_| WRONG)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidStorageUrl("a folder's address has no '?' and no '#': write %3F and %23"));
    }
    let path = url.to_file_path().map_err(|()| WRONG)?;
    let path: PathBuf = path.components().collect();
    let text = path.to_str().ok_or(WRONG)?;
    let inside = path.components().any(|part| matches!(part, Component::Normal(_)));
    if !inside || text.contains(char::is_control) {
        return Err(WRONG);
    }
    Ok(StorageUrl(Place::Folder(path)))
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Place::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            // Whole paths only come out of a parsed address.
            Place::Folder(path) => Url::from_file_path(path).map_err(|()| fmt::Error)?.fmt(f),
        }
    }
}

impl TryFrom<String> for StorageUrl {
    type Error = InvalidStorageUrl;

    fn try_from(text: String) -> Result<Self, InvalidStorageUrl> {
        text.parse()
    }
}

impl From<StorageUrl> for String {
    fn from(url: StorageUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_and_go_back() {
        for (text, told) in [
            ("s3://flowers", "s3://flowers"),
            ("s3://flowers/", "s3://flowers"),
            ("s3://my.bucket-1/top/graft_2/", "s3://my.bucket-1/top/graft_2"),
            ("file:///srv/store/", "file:///srv/store"),
            ("file:///srv/a%20b/../c", "file:///srv/c"),
            ("file:///srv/a%20b", "file:///srv/a%20b"),
            ("file:///srv/ä", "file:///srv/%C3%A4"),
        ] {
            let url: StorageUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), told);
            assert_eq!(told.parse::<StorageUrl>().unwrap(), url);
            let json = serde_json::to_string(&url).unwrap();
            assert_eq!(serde_json::from_str::<StorageUrl>(&json).unwrap(), url);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        for (text, hint) in [
            ("", "s3://BUCKET"),
            ("flowers", "s3://BUCKET"),
            ("https://s3.example/flowers", "AWS_ENDPOINT_URL"),
            ("s3://minio:9000/flowers", "AWS_ENDPOINT_URL"),
            ("s3://AKIA:hunter2@flowers/x", "AWS_SECRET_ACCESS_KEY"),
            ("s3://Flowers", "lower-case"),
            ("s3://ab", "lower-case"),
            ("s3://-ab", "lower-case"),
            ("s3:///x", "lower-case"),
            ("s3://flowers//x", "prefix"),
            ("s3://flowers/../x", "prefix"),
            ("s3://flowers/x?y=1", "prefix"),
            ("s3://flowers/%2e%2e", "prefix"),
            ("file://srv/store", "three slashes"),
            ("file:store", "three slashes"),
            ("file:/store", "three slashes"),
            ("file:///", "three slashes"),
            ("file:///..", "three slashes"),
            ("file:///a%00b", "three slashes"),
            ("file:///%FF", "three slashes"),
            ("file:///a?b", "%3F"),
        ] {
            let error = text.parse::<StorageUrl>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("AKIA"), "{error}");
        }
    }
}
