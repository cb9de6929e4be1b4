//! What the predictor tells of itself. Names follow Prometheus: base units, `_total` for counters.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::{ModelRef, PredictError};

/// A batch was computed.
pub fn batch(pictures: usize, prefix: Duration, tail: Duration) {
    histogram!("topgraft_batch_pictures").record(pictures as f64);
    histogram!("topgraft_prefix_seconds").record(prefix.as_secs_f64());
    histogram!("topgraft_tail_seconds").record(tail.as_secs_f64());
}

/// A picture began to wait for the device.
pub fn queued() {
    gauge!("topgraft_queue_pictures").increment(1.0);
}

/// So many pictures wait no longer: they are being computed, or dropped.
pub fn dequeued(pictures: usize) {
    gauge!("topgraft_queue_pictures").decrement(pictures as f64);
}

/// A model was loaded, or couldn't be.
pub fn loaded(usable: bool) {
    counter!("topgraft_model_loads_total", "result" => if usable { "loaded" } else { "failed" }).increment(1);
}

/// What the loaded models take, and how many had to go.
pub fn cached(bytes: usize, evicted: u64) {
    gauge!("topgraft_model_cache_bytes").set(bytes as f64);
    counter!("topgraft_model_evictions_total").increment(evicted);
}

/// A picture was decoded and rendered.
pub fn decoded(time: Duration) {
    histogram!("topgraft_decode_seconds").record(time.as_secs_f64());
}

/// A picture was answered, or not.
pub fn answered<T>(model: &ModelRef, result: &Result<T, PredictError>, time: Duration) {
    let result = match result {
        Ok(_) => "answered",
        Err(error) => error.code(),
    };
    counter!("topgraft_pictures_total", "model" => model.name.clone(), "result" => result).increment(1);
    histogram!("topgraft_picture_seconds").record(time.as_secs_f64());
}
