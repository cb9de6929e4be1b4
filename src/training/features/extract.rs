//! Computing features: pictures are decoded on all cores for the next batch while the network computes this one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rayon::prelude::*;
use tch::Tensor;

use super::FeatureStore;
use super::file::{FeatureWriter, Features};
use crate::report::Stage;
use crate::training::progress::Reporter;
use crate::training::{TrainingData, TrainingError};
use crate::vision::layers::UnfreezeFrom;
use crate::vision::preprocessing::Preprocessing;

/// Pictures a forward pass. Larger ones gain nothing (batch 1 and 16 are within 10 % on a CPU) and wait longer to stop.
const BATCH: usize = 16;
/// Decoded batches that may wait for the network.
const AHEAD: usize = 2;

type Pixels = Result<Vec<u8>, TrainingError>;

impl FeatureStore<'_> {
    /// Computes `levels` (ascending) for every picture, from `source` if there is one, else from the pictures.
    pub(super) fn extract(
        &self,
        source: Option<(UnfreezeFrom, &Features)>,
        levels: &[UnfreezeFrom],
        reporter: &mut Reporter<'_>,
        stop: &AtomicBool,
    ) -> Result<Vec<(UnfreezeFrom, Features)>, TrainingError> {
        match source {
            Some((level, features)) => {
                self.write(levels, reporter, stop, |images| Ok((features.batch(images)?, level.frozen())))
            }
            None => thread::scope(|scope| {
                let (sender, decoded) = sync_channel(AHEAD);
                // Tensors stay on this thread: the decoder sees only pictures.
                let (data, preprocessing, order) = (self.data, self.plan.preprocessing, self.order.as_slice());
                scope.spawn(move || decode(data, preprocessing, order, &sender));
                self.write(levels, reporter, stop, |_| Ok((self.pixels(&decoded)?, 0)))
            }),
        }
    }

    /// Walks the pictures in batches; `input` answers a batch's activations and how many convolutions they have passed.
    fn write(
        &self,
        levels: &[UnfreezeFrom],
        reporter: &mut Reporter<'_>,
        stop: &AtomicBool,
        input: impl Fn(&[usize]) -> Result<(Tensor, usize), TrainingError>,
    ) -> Result<Vec<(UnfreezeFrom, Features)>, TrainingError> {
        let total = self.order.len();
        let mut writers = levels
            .iter()
            .map(|&level| Ok((level, FeatureWriter::create(&self.path(level), self.layout(level))?)))
            .collect::<Result<Vec<_>, TrainingError>>()?;
        reporter.progress(Stage::Features, 0, 0, 0, total)?;
        for (turn, batch) in self.order.chunks(BATCH).enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Err(TrainingError::Stopped);
            }
            let (mut x, mut passed) = input(batch)?;
            for (level, writer) in &mut writers {
                x = self.backbone.forward(&x, passed, level.frozen())?;
                passed = level.frozen();
                writer.append(&x)?;
            }
            reporter.progress(Stage::Features, 0, 0, turn * BATCH + batch.len(), total)?;
        }
        writers.into_iter().map(|(level, writer)| Ok((level, writer.finish()?))).collect()
    }

    fn pixels(&self, decoded: &Receiver<Pixels>) -> Result<Tensor, TrainingError> {
        // The decoder sends a batch for each that `write` walks, or an error as its last word.
        let pixels = decoded.recv().map_err(|_| TrainingError::Stopped)??;
        Ok(self.backbone.pixels(&pixels, self.plan.preprocessing.input_size as usize)?)
    }
}

/// Renders every picture's evaluation view, a batch at a time, until nobody takes them any more.
fn decode(data: &TrainingData, preprocessing: Preprocessing, order: &[usize], sender: &SyncSender<Pixels>) {
    for batch in order.chunks(BATCH) {
        let render = |&image: &usize| data.picture(image).map(|picture| preprocessing.render(&picture));
        let pixels = batch.par_iter().map(render).collect::<Result<Vec<_>, _>>().map(|pictures| pictures.concat());
        let last = pixels.is_err();
        if sender.send(pixels).is_err() || last {
            return;
        }
    }
}
