//! From an archive or a folder to a pack of pictures that all decode, with every rejection's reason.
//!
//! One thread reads entries, several decode and hash them, the calling thread collects what comes back *in the archive's
//! order* and writes the pack; so the result doesn't depend on which thread was faster. What is under way is bounded in
//! bytes and in number.

mod budget;
mod collect;
mod pipeline;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::{DatasetLimits, IngestFailure, Ingested};
use collect::Collector;

/// How far an ingestion has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IngestProgress {
    /// Pictures accepted.
    pub accepted: u64,
    /// Entries rejected.
    pub rejected: u64,
    /// Bytes of accepted pictures.
    pub bytes: u64,
    /// The part of the source that has been dealt with, 0 to 1.
    pub fraction: f64,
}

/// Reads `source` (an archive file or a folder) and writes the accepted pictures to `pack`.
///
/// Each picture is decoded once, so that what is accepted is known to decode. The second entry of a path is rejected, and
/// so are the same bytes a second time in the same class; the same bytes in two classes are both kept. `progress` is
/// called on the calling thread after each entry. Setting `stop` ends it soon with [`super::DatasetError::Stopped`].
///
/// # Errors
/// When the source can't be read or passes a limit, when the pack can't be written, and when there is too little to learn
/// from: fewer than two classes, or a class with fewer than two pictures. Nothing is left at or beside `pack` then.
pub fn ingest(
    source: &Path,
    pack: &Path,
    limits: &DatasetLimits,
    progress: &(dyn Fn(IngestProgress) + Sync),
    stop: &AtomicBool,
) -> Result<Ingested, IngestFailure> {
    let nothing_yet = |error| IngestFailure { error, rejected: Vec::new() };
    let mut collector = Collector::create(pack).map_err(nothing_yet)?;
    let read = pipeline::run(source, limits, stop, &mut |outcome, fraction| {
        collector.take(outcome)?;
        progress(collector.progress(fraction));
        Ok(())
    });
    match read {
        Ok(()) => collector.finish(),
        Err(error) => Err(collector.fail(error)),
    }
}
