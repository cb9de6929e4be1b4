//! Reader thread → decode threads → the calling thread, in the archive's order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use super::budget::{Budget, CloseOnDrop};
use crate::dataset::archive::{Entry, read_entries};
use crate::dataset::duplicates::PictureHash;
use crate::dataset::{DatasetError, DatasetLimits, Rejected};
use crate::vision::picture::{self, PictureFormat, PictureLimits};
use std::ops::ControlFlow;

/// Encoded pictures that may be under way at once: enough to keep every decoder busy, little beside a decoded one.
const MAX_BYTES: u64 = 64 << 20;
const MAX_ENTRIES: u64 = 256;

/// What an entry takes beside its content, roughly: its names and its place in the queues.
const ENTRY_BYTES: u64 = 256;

/// More decoders than this don't read an archive any faster, and each may hold a decoded picture of the largest size.
const MAX_DECODERS: usize = 8;

/// A picture that decodes.
pub(super) struct Accepted {
    pub(super) path: String,
    pub(super) class: String,
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: [u8; 32],
    pub(super) hash: Option<PictureHash>,
    pub(super) format: PictureFormat,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// What became of an entry.
pub(super) type Outcome = Result<Accepted, Rejected>;

/// Takes each outcome and the fraction of the source dealt with.
pub(super) type Take<'t> = dyn FnMut(Outcome, f64) -> Result<(), DatasetError> + 't;

/// Something at its place in the archive's order.
struct Numbered<T> {
    number: u64,
    weight: u64,
    fraction: f64,
    what: T,
}

/// Reads and decodes all of `source`; `take` is called on this thread, in the archive's order.
pub(super) fn run(source: &Path, limits: &DatasetLimits, stop: &AtomicBool, take: &mut Take<'_>) -> Result<(), DatasetError> {
    let budget = Budget::new(MAX_BYTES, MAX_ENTRIES);
    let decoders = thread::available_parallelism().map_or(1, |n| n.get().min(MAX_DECODERS));
    // Unbounded, as the budget bounds what can be in them.
    let (entries, to_decode) = channel();
    let (decoded, outcomes) = channel();
    let to_decode = Mutex::new(to_decode);
    thread::scope(|scope| {
        let _close = CloseOnDrop(&budget);
        let budget = &budget;
        let reader = scope.spawn(move || read(source, limits, stop, budget, &entries));
        for _ in 0..decoders {
            let (decoded, to_decode) = (decoded.clone(), &to_decode);
            scope.spawn(move || decode_all(to_decode, &decoded, &limits.picture, budget));
        }
        drop(decoded);
        let taken = in_order(&outcomes, budget, take);
        if taken.is_err() {
            budget.close();
        }
        let read = match reader.join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        taken.and(read)
    })
}

fn read(
    source: &Path,
    limits: &DatasetLimits,
    stop: &AtomicBool,
    budget: &Budget,
    entries: &Sender<Numbered<Entry>>,
) -> Result<(), DatasetError> {
    let mut number = 0;
    read_entries(source, limits, stop, &mut |what, fraction| {
        let weight = ENTRY_BYTES + if let Entry::File { bytes, .. } = &what { bytes.len() as u64 } else { 0 };
        if !budget.acquire(weight) || entries.send(Numbered { number, weight, fraction, what }).is_err() {
            return ControlFlow::Break(());
        }
        number += 1;
        ControlFlow::Continue(())
    })
}

fn decode_all(
    entries: &Mutex<Receiver<Numbered<Entry>>>,
    decoded: &Sender<Numbered<Outcome>>,
    limits: &PictureLimits,
    budget: &Budget,
) {
    loop {
        // The lock is held while waiting, so one decoder waits for the queue and the others for the lock.
        let next = entries.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Numbered { number, weight, fraction, what }) = next else { return };
        if budget.is_closed() {
            return;
        }
        let what = outcome(what, limits);
        if decoded.send(Numbered { number, weight, fraction, what }).is_err() {
            return;
        }
    }
}

fn outcome(entry: Entry, limits: &PictureLimits) -> Outcome {
    let (path, class, bytes) = match entry {
        Entry::Rejected(rejected) => return Err(rejected),
        Entry::File { path, class, bytes } => (path, class, bytes),
    };
    match picture::decode(&bytes, limits) {
        Ok(picture) => {
            let (format, width, height) = (picture.format(), picture.width(), picture.height());
            let sha256 = Sha256::digest(&bytes).into();
            let hash = PictureHash::of(&picture);
            Ok(Accepted { path, class, bytes, sha256, hash, format, width, height })
        }
        Err(error) => Err(Rejected { path, reason: error.to_string() }),
    }
}

/// Puts outcomes back into the archive's order. What waits here is bounded by the budget, which each outcome gives back
/// only after it was taken.
fn in_order(outcomes: &Receiver<Numbered<Outcome>>, budget: &Budget, take: &mut Take<'_>) -> Result<(), DatasetError> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for outcome in outcomes {
        early.insert(outcome.number, outcome);
        while let Some(Numbered { weight, fraction, what, .. }) = early.remove(&next) {
            take(what, fraction)?;
            budget.release(weight);
            next += 1;
        }
    }
    Ok(())
}
