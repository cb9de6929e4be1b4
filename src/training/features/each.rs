//! From rows to tensors, batch after batch, read ahead of the network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use tch::Tensor;

use super::shelf::{Shelf, ShelfError};
use super::{FeatureStore, Target};
use crate::training::TrainingError;
use crate::training::sample::Sample;
use crate::vision::device;

/// Batches that may wait for the network.
const AHEAD: usize = 2;

/// A batch as read: its rows, and the places of those that weren't there.
type Read = Result<(Vec<u8>, Vec<usize>), TrainingError>;

impl FeatureStore<'_> {
    /// Gives `act` every batch in turn, as `target` takes it: `[N, C, H, W]` in the learning layers' arithmetic, on their
    /// device.
    ///
    /// Kept rows are read on another thread while the network computes. One that is gone or damaged is computed again, as all
    /// are when nothing is kept.
    pub fn each(
        &mut self,
        target: Target,
        batches: &[Vec<Sample>],
        stop: &AtomicBool,
        mut act: impl FnMut(usize, Tensor) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let Self { extractor, shelves, .. } = self;
        let levels = extractor.levels;
        let halt = || if stop.load(Ordering::Relaxed) { Err(TrainingError::Stopped) } else { Ok(()) };
        let Some(shelves) = shelves else {
            for (place, batch) in batches.iter().enumerate() {
                halt()?;
                let rows = extractor.compute(batch, stop)?;
                let x = device::upload(&levels.kept.tensor(&rows, &extractor.backbone)?, extractor.backbone.frozen_device())?;
                act(place, levels.lift(&x, target, &extractor.backbone)?)?;
            }
            return Ok(());
        };
        // The head's own rows where there are some.
        let (shelf, rows, direct) = match &shelves.top {
            Some(top) if target == Target::Head => (top, levels.top, true),
            _ => (&shelves.kept, levels.kept, false),
        };
        let renderer = extractor.renderer;
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Read>(AHEAD);
            scope.spawn(move || {
                for batch in batches {
                    let keys = batch.iter().map(|&sample| renderer.key(sample));
                    if sender.send(read(shelf, keys, rows.bytes())).is_err() {
                        return;
                    }
                }
            });
            for (place, batch) in batches.iter().enumerate() {
                halt()?;
                // The reader sends as many as there are batches, or an error as its last word.
                let (mut bytes, missing) = receiver.recv().map_err(|_| TrainingError::Stopped)??;
                if !missing.is_empty() {
                    tracing::warn!(rows = missing.len(), "rows of features were gone or damaged, computing them again");
                    for place in missing {
                        let row = extractor.again(batch[place], direct, stop)?;
                        bytes[place * rows.bytes()..][..rows.bytes()].copy_from_slice(&row);
                    }
                }
                let device = if direct { extractor.backbone.device() } else { extractor.backbone.frozen_device() };
                let x = device::upload(&rows.tensor(&bytes, &extractor.backbone)?, device)?;
                act(place, if direct { x } else { levels.lift(&x, target, &extractor.backbone)? })?;
            }
            Ok(())
        })
    }
}

/// Reads rows one after another; those that aren't there stay zero and are named.
fn read(shelf: &Shelf, keys: impl ExactSizeIterator<Item = super::RowKey>, row_bytes: usize) -> Read {
    let mut rows = vec![0u8; keys.len() * row_bytes];
    let mut missing = Vec::new();
    for (place, (key, row)) in keys.zip(rows.chunks_exact_mut(row_bytes)).enumerate() {
        match shelf.read(&key, row) {
            Ok(()) => {}
            Err(ShelfError::Missing | ShelfError::Damaged { .. }) => missing.push(place),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((rows, missing))
}
