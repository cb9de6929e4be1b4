//! What reading one source has cost so far, and the end of it when a limit is passed.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dataset::paths::Layout;
use crate::dataset::{DatasetError, DatasetLimits};

/// The counts of one reading, shared by the readers that are stacked on one another.
pub(super) struct Meter<'a> {
    pub(super) limits: &'a DatasetLimits,
    pub(super) layout: Layout,
    stop: &'a AtomicBool,
    /// The archive's own size in bytes; `None` for a folder, which doesn't expand.
    archive_bytes: Option<u64>,
    entries: Cell<u64>,
    expanded: Cell<u64>,
    consumed: Cell<u64>,
    /// How many more bytes may be read before the tar reader has found the next entry.
    allowance: Cell<u64>,
    at_end: Cell<bool>,
    tripped: RefCell<Option<DatasetError>>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(limits: &'a DatasetLimits, layout: Layout, stop: &'a AtomicBool, archive_bytes: Option<u64>) -> Rc<Self> {
        Rc::new(Self {
            limits,
            layout,
            stop,
            archive_bytes,
            entries: Cell::new(0),
            expanded: Cell::new(0),
            consumed: Cell::new(0),
            allowance: Cell::new(u64::MAX),
            at_end: Cell::new(false),
            tripped: RefCell::new(None),
        })
    }

    /// Counts one more entry.
    pub(super) fn entry(&self) -> Result<(), DatasetError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DatasetError::Stopped);
        }
        self.entries.set(self.entries.get() + 1);
        match self.limits.max_entries {
            limit if self.entries.get() > limit => Err(DatasetError::TooManyEntries { limit }),
            _ => Ok(()),
        }
    }

    /// Counts bytes that came out.
    fn expand(&self, bytes: u64) -> Result<(), DatasetError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DatasetError::Stopped);
        }
        let expanded = self.expanded.get().saturating_add(bytes);
        self.expanded.set(expanded);
        if expanded > self.limits.max_expanded_bytes {
            return Err(DatasetError::ExpandsTooMuch { limit: self.limits.max_expanded_bytes });
        }
        let limit = self.limits.max_expansion_ratio;
        let allowed = self.archive_bytes.map_or(u64::MAX, |bytes| bytes.saturating_mul(limit));
        if expanded > allowed.max(DatasetLimits::RATIO_FLOOR) {
            return Err(DatasetError::SuspiciousExpansion { limit });
        }
        Ok(())
    }

    /// From here on at most `bytes` may be read, until the next call.
    pub(super) fn allow(&self, bytes: u64) {
        self.allowance.set(bytes);
    }

    /// The error that made a [`Metered`] reader fail, if it was the meter's. Libraries on the way wrap an I/O error past
    /// recognition, so it is kept here.
    pub(super) fn take_error(&self) -> Option<DatasetError> {
        self.tripped.take()
    }

    /// Whether a [`Metered`] reader has met the end of its source.
    pub(super) fn at_end(&self) -> bool {
        self.at_end.get()
    }

    /// The fraction of the archive's bytes that a [`Consumed`] reader has taken, 0 to 1.
    pub(super) fn fraction(&self) -> f64 {
        match self.archive_bytes {
            Some(bytes) if bytes > 0 => (self.consumed.get() as f64 / bytes as f64).min(1.0),
            _ => 0.0,
        }
    }
}

/// Counts what comes out of the archive and fails once that is too much.
pub(super) struct Metered<'a, R> {
    pub(super) inner: R,
    pub(super) meter: Rc<Meter<'a>>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.meter.at_end.set(true);
        }
        if let Err(error) = self.meter.expand(count as u64) {
            self.meter.tripped.replace(Some(error));
            return Err(io::Error::other("a limit was passed"));
        }
        let Some(left) = self.meter.allowance.get().checked_sub(count as u64) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an entry's header is too long"));
        };
        self.meter.allowance.set(left);
        Ok(count)
    }
}

/// Counts what is taken from the archive file, for progress.
pub(super) struct Consumed<'a, R> {
    pub(super) inner: R,
    pub(super) meter: Rc<Meter<'a>>,
}

impl<R: Read> Read for Consumed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.consumed.set(self.meter.consumed.get() + count as u64);
        Ok(count)
    }
}

/// Reads `reader` to its end, but no further than one byte past `limit`; `None` when there is more than `limit`.
/// `expected` is a claim from outside and only ever a capacity below `limit`.
pub(super) fn read_bounded(reader: &mut dyn Read, expected: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
    /// A claimed size is believed up to here; what is really longer grows as it comes.
    const BELIEVED: u64 = 1 << 20;
    let capacity = expected.min(limit).min(BELIEVED);
    let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Whether an I/O error comes from what the content is, not from the machine: decompressors report with these kinds.
pub(super) fn is_contents_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof, Unsupported};
    matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof | Unsupported)
}

/// The reason for an entry that is larger than a picture may be.
pub(super) fn too_large(limit: u64) -> String {
    format!("it has more than {limit} bytes: save the picture smaller or as JPEG")
}
