//! What the storage tells of itself. Names follow Prometheus: base units, `_total` for counters.

use metrics::counter;

use super::Evicted;

/// Bytes went to the store.
pub fn sent(bytes: u64) {
    counter!("topgraft_storage_sent_bytes_total").increment(bytes);
}

/// Bytes came from the store.
pub fn received(bytes: u64) {
    counter!("topgraft_storage_received_bytes_total").increment(bytes);
}

/// A file was asked for, and was `local`, had to be `fetched`, or couldn't be had (`failed`).
pub fn fetch(result: &'static str) {
    counter!("topgraft_storage_fetches_total", "result" => result).increment(1);
}

/// Copies had to make room.
pub fn evicted(evicted: &Evicted) {
    counter!("topgraft_storage_evicted_files_total").increment(evicted.files);
    counter!("topgraft_storage_evicted_bytes_total").increment(evicted.bytes);
}
