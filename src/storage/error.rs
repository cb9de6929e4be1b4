//! What can go wrong between this machine and the storage, told apart by what whoever asked can do about it.
//!
//! Answers of a store may quote the request, and with it the name of a key. So none of their text is kept: only the status
//! and the code, which are enough to look the matter up.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::iter;
use std::path::{Path, PathBuf};

use object_store::client::{HttpError, HttpErrorKind};

use crate::disk;

/// The longest code of an error that is repeated.
const CODE_LENGTH: usize = 64;

/// Why a file couldn't be brought, taken or looked at.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Nothing of this name is there.
    #[error("{key} isn't in the storage")]
    NotFound {
        /// Its name.
        key: String,
    },
    /// Something of this name is there, and it was to be new.
    #[error("{key} is in the storage already")]
    AlreadyThere {
        /// Its name.
        key: String,
    },
    /// The network or the store is in trouble that passes. It was asked several times.
    #[error("the storage can't be used just now: {reason}")]
    Unavailable {
        /// Which trouble.
        reason: String,
    },
    /// The store refuses what it was asked for, and will go on doing so.
    #[error(
        "the storage refuses the request ({reason}): check that the bucket is there, AWS_REGION and the AWS_… credentials, and \
         that these may read, write, list and delete in it"
    )]
    Denied {
        /// Its answer.
        reason: String,
    },
    /// The disk, or a quota on it, is used up.
    #[error("the disk has no room for {path}")]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// The file system's refusal.
    #[error("{path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the store gives isn't what it says it has.
    #[error("{key} in the storage can't be relied on: {reason}")]
    Damaged {
        /// Its name.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// What was asked for can't be; the text says what to change.
    #[error("{0}")]
    Invalid(String),
}

impl StorageError {
    /// Whether the same may be asked for again once the trouble is over.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }

    /// The file system's refusal, of `path`.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| match disk::is_full(&source) {
            true => Self::Full { path: path.to_owned() },
            false => Self::Io { path: path.to_owned(), source },
        }
    }

    /// The store's refusal, of what is called `key`.
    pub(super) fn of(key: impl Display) -> impl Fn(object_store::Error) -> Self {
        use object_store::Error as Refusal;
        move |refusal| {
            let key = key.to_string();
            match refusal {
                // A bucket that isn't there is no matter of this file.
                Refusal::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => {
                    Self::Denied { reason: "404 NoSuchBucket".to_owned() }
                }
                Refusal::NotFound { .. } => Self::NotFound { key },
                Refusal::AlreadyExists { .. } => Self::AlreadyThere { key },
                Refusal::Precondition { .. } | Refusal::NotModified { .. } => {
                    Self::Damaged { key, reason: "it was changed while it was read".to_owned() }
                }
                Refusal::InvalidPath { .. }
                | Refusal::NotSupported { .. }
                | Refusal::NotImplemented { .. }
                | Refusal::UnknownConfigurationKey { .. } => {
                    Self::Invalid("the storage can't do what is asked of it".to_owned())
                }
                other => Self::answered(key, &other),
            }
        }
    }

    /// An error without a kind of its own, by its cause or by the answer that it quotes.
    fn answered(key: String, refusal: &(dyn Error + 'static)) -> Self {
        for cause in iter::successors(Some(refusal), |&error| error.source()) {
            if let Some(error) = cause.downcast_ref::<HttpError>() {
                return Self::Unavailable { reason: transport(error).to_owned() };
            }
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                return Self::of_folder(key, error);
            }
            // What object_store says of a range that begins behind the end. Its type isn't public.
            if cause.to_string().contains("Wanted range") {
                return Self::Invalid(format!("{key} is shorter than what was asked for"));
            }
        }
        // Nor is the one that holds the status: its text is all there is.
        let text = refusal.to_string();
        let code = code(&text);
        let reason = |status: u16| code.map_or_else(|| status.to_string(), |code| format!("{status} {code}"));
        match status(&text) {
            Some(416) => Self::Invalid(format!("{key} is shorter than what was asked for")),
            Some(status @ (408 | 429 | 500..)) => Self::Unavailable { reason: reason(status) },
            Some(status) => Self::Denied { reason: reason(status) },
            None if text.contains("AccessDenied") => Self::Denied { reason: "AccessDenied".to_owned() },
            // A redirect without a target.
            None if text.contains("configured region") => Self::Denied { reason: "another region".to_owned() },
            None => Self::Unavailable { reason: code.unwrap_or("an answer that makes no sense").to_owned() },
        }
    }

    /// A refusal of the file system that a store in a folder is on.
    fn of_folder(key: String, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path: PathBuf::from(key) },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { reason: format!("its folder: {}", error.kind()) }
            }
            kind => Self::Unavailable { reason: format!("its folder: {kind}") },
        }
    }
}

fn transport(error: &HttpError) -> &'static str {
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    match error.kind() {
        HttpErrorKind::Connect if causes.any(|cause| cause.to_string().contains("certificate")) => {
            "its certificate isn't trusted here"
        }
        HttpErrorKind::Connect => "no connection",
        HttpErrorKind::Timeout => "no answer in time",
        _ => "the connection broke",
    }
}

/// The status of an answer that object_store quotes.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The code in an answer's XML.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= CODE_LENGTH && code.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> StorageError {
        let generic = object_store::Error::Generic { store: "S3", source: text.to_owned().into() };
        StorageError::of("a/b")(generic)
    }

    #[test]
    fn what_passes_is_told_from_what_doesnt() {
        for passing in ["status code: 503 Service Unavailable: x", "status code: 429 T: ", "status code: 408 T: ", "??"] {
            assert!(answer(passing).is_passing(), "{passing}");
        }
        assert!(
            answer("Server returned error response: <Error><Code>SlowDown</Code></Error>").to_string().contains("SlowDown")
        );
        for lasting in ["status code: 403 Forbidden: ", "status code: 400 Bad Request: x", "status code: 301 Moved: "] {
            assert!(matches!(answer(lasting), StorageError::Denied { .. }), "{lasting}");
        }
        assert!(matches!(answer("status code: 416 Range Not Satisfiable: "), StorageError::Invalid(_)));
        let missing = |code: &str| object_store::Error::NotFound { path: "a/b".to_owned(), source: code.to_owned().into() };
        assert!(matches!(StorageError::of("a/b")(missing("NoSuchBucket")), StorageError::Denied { .. }));
        assert!(matches!(StorageError::of("a/b")(missing("NoSuchKey")), StorageError::NotFound { key } if key == "a/b"));
        let full = io::Error::from_raw_os_error(28);
        let error = object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(full) };
        assert!(StorageError::of("a/b")(error).is_passing());
        let full = StorageError::at(Path::new("/x"))(io::Error::from_raw_os_error(28));
        assert!(matches!(full, StorageError::Full { .. }));
        let broken = StorageError::at(Path::new("/x"))(io::Error::from_raw_os_error(5));
        assert!(matches!(broken, StorageError::Io { .. }) && !broken.is_passing());
    }

    #[test]
    fn nothing_of_an_answer_is_repeated_but_status_and_code() {
        let answer = answer(
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
             <AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>",
        );
        let told = format!("{answer} {answer:?}");
        assert!(told.contains("403 SignatureDoesNotMatch"), "{told}");
        assert!(!told.contains("AKIASECRET"), "{told}");
        assert_eq!(code("<Code>a b</Code>"), None);
    }
}
