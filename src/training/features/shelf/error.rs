//! What can go wrong with a shelf.

use std::io;
use std::path::{Path, PathBuf};

/// Why a shelf didn't do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The row isn't there, or isn't any more: its segment was removed since the shelf looked. To be computed.
    #[error("the shelf has no such row")]
    Missing,
    /// The row's bytes aren't those that were written. Its segment is gone now, so the row is to be computed.
    #[error("{} was damaged and is removed: {reason}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// What was wrong with it.
        reason: &'static str,
    },
    /// A name, an owner or a length that no shelf can have.
    #[error("{0}")]
    Invalid(String),
    /// What the system says.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl ShelfError {
    /// Says which path an error of the system belongs to.
    pub(in crate::training::features) fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Why a segment or a row couldn't be read.
#[derive(Debug)]
pub enum Fault {
    /// Its bytes aren't those that were written.
    Damaged(&'static str),
    /// What the system says.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends early"),
            _ => Self::Io(error),
        }
    }
}
