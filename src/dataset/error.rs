//! Why a data set can't be made, in words that say what to change.

use std::{fmt, io};

use super::Rejected;
use super::archive::ArchiveKind;

/// A class and its number of accepted pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCount {
    /// The class.
    pub name: String,
    /// Its accepted pictures.
    pub images: u64,
}

/// Why a data set can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Reading the source or writing the pack failed; not the sender's fault.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The content is no archive that is read.
    #[error("this is not an archive that is read{found}: send a zip, tar, tar.gz or tar.zst of class folders")]
    UnknownArchive {
        /// Empty, or a clause such as " (it looks like a RAR archive)".
        found: &'static str,
    },
    /// The archive is damaged.
    #[error("this {kind} is broken: {detail}; make it again with `{}`", kind.command())]
    BrokenArchive {
        /// What it is.
        kind: ArchiveKind,
        /// What is wrong.
        detail: String,
    },
    /// Every file in the archive is encrypted.
    #[error("every file in this {kind} is encrypted: make it again without a password")]
    EncryptedArchive {
        /// What it is.
        kind: ArchiveKind,
    },
    /// There is nothing in it.
    #[error("this {kind} has no entries: put a folder of pictures for each class in it")]
    EmptyArchive {
        /// What it is.
        kind: ArchiveKind,
    },
    /// Beyond [`super::DatasetLimits::max_archive_bytes`].
    #[error("the archive has {bytes} bytes and at most {limit} are taken: send fewer or smaller pictures")]
    ArchiveTooLarge {
        /// The bytes it has.
        bytes: u64,
        /// The bytes it may have.
        limit: u64,
    },
    /// Beyond [`super::DatasetLimits::max_entries`].
    #[error("there are more than {limit} entries: send fewer pictures")]
    TooManyEntries {
        /// The entries there may be.
        limit: u64,
    },
    /// Beyond [`super::DatasetLimits::max_expanded_bytes`].
    #[error("more than {limit} bytes come out of it: send fewer or smaller pictures")]
    ExpandsTooMuch {
        /// The bytes that may come out.
        limit: u64,
    },
    /// Beyond [`super::DatasetLimits::max_expansion_ratio`].
    #[error("the archive expands to more than {limit} times its size, which pictures don't: store them as JPEG or PNG")]
    SuspiciousExpansion {
        /// How many times its size it may expand to.
        limit: u64,
    },
    /// Not one entry was accepted.
    #[error("there is no usable picture{}", reasons(.first))]
    NoPictures {
        /// The first few rejections.
        first: Vec<Rejected>,
    },
    /// Pictures of one class only.
    #[error(
        "all {} pictures are in one folder, \"{}\": put each class's pictures in a folder of its own, at least two classes",
        class.images, class.name
    )]
    TooFewClasses {
        /// The only class.
        class: ClassCount,
    },
    /// Classes with fewer than [`super::MIN_PER_CLASS`] accepted pictures.
    #[error(
        "a class needs at least 2 pictures: one to learn from, one to validate on; too small: {}",
        Counts(.classes)
    )]
    ClassTooSmall {
        /// The classes that are too small.
        classes: Vec<ClassCount>,
    },
    /// The caller asked to stop.
    #[error("stopped before it was done")]
    Stopped,
}

impl DatasetError {
    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "dataset_io",
            Self::UnknownArchive { .. } => "unknown_archive",
            Self::BrokenArchive { .. } => "broken_archive",
            Self::EncryptedArchive { .. } => "encrypted_archive",
            Self::EmptyArchive { .. } => "empty_archive",
            Self::ArchiveTooLarge { .. } => "archive_too_large",
            Self::TooManyEntries { .. } => "too_many_entries",
            Self::ExpandsTooMuch { .. } => "expands_too_much",
            Self::SuspiciousExpansion { .. } => "suspicious_expansion",
            Self::NoPictures { .. } => "no_pictures",
            Self::TooFewClasses { .. } => "too_few_classes",
            Self::ClassTooSmall { .. } => "class_too_small",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the sender can put it right; if not, it is the machine's trouble or the caller's own wish.
    pub fn is_senders(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Stopped)
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// An ingestion that came to nothing, with what it had rejected by then.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct IngestFailure {
    /// Why.
    #[source]
    pub error: DatasetError,
    /// The rejections up to then, in the archive's order.
    pub rejected: Vec<Rejected>,
}

/// The most items that a message lists.
const LISTED: usize = 10;

fn reasons(first: &[Rejected]) -> String {
    if first.is_empty() {
        return ": put a folder of pictures for each class in it".into();
    }
    first.iter().take(LISTED).map(|r| format!("; {}: {}", r.path, r.reason)).collect()
}

struct Counts<'a>(&'a [ClassCount]);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, class) in self.0.iter().take(LISTED).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}\"{}\" has {}", class.name, class.images)?;
        }
        match self.0.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
