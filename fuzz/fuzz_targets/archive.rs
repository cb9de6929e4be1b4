//! Any bytes as an upload: what comes out keeps to the limits, leads nowhere, and what is wrong is the sender's to put right.

#![no_main]

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use libfuzzer_sys::fuzz_target;
use topgraft::dataset::archive::{Entry, check, read_entries, read_pictures};
use topgraft::dataset::{DatasetError, DatasetLimits};
use topgraft::vision::picture::PictureLimits;
use topgraft_fuzz::{Scratch, archives, plant};

const LIMITS: DatasetLimits = DatasetLimits {
    max_entries: 64,
    max_archive_bytes: 1 << 20,
    max_expanded_bytes: 8 << 20,
    max_expansion_ratio: 200,
    max_path_bytes: 256,
    picture: PictureLimits { max_bytes: 64 << 10, max_pixels: 1 << 20 },
};

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

fuzz_target!(init: plant(archives), |bytes: &[u8]| {
    let source = SCRATCH.with(|scratch| scratch.holding(bytes));
    let stop = AtomicBool::new(false);
    senders(check(&source, &LIMITS).map(drop));
    for classes in [true, false] {
        let (mut entries, mut out) = (0, 0);
        let mut visit = |entry: Entry, fraction: f64| {
            assert!((0.0..=1.0).contains(&fraction));
            entries += 1;
            out += judge(&entry, classes);
            ControlFlow::Continue(())
        };
        let read = if classes { read_entries } else { read_pictures };
        senders(read(&source, &LIMITS, &stop, &mut visit));
        assert!(entries <= LIMITS.max_entries && out <= LIMITS.max_expanded_bytes);
    }
});

/// The bytes that came out with it.
fn judge(entry: &Entry, classes: bool) -> u64 {
    match entry {
        Entry::File { path, class, bytes } => {
            assert!(path.len() <= LIMITS.max_path_bytes && bytes.len() as u64 <= LIMITS.picture.max_bytes);
            assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0'));
            assert!(class.is_empty() != classes && class.trim() == class && !class.contains(char::is_control));
            bytes.len() as u64
        }
        Entry::Rejected(rejected) => {
            assert!(rejected.path.len() <= LIMITS.max_path_bytes && !rejected.reason.is_empty());
            0
        }
    }
}

fn senders(result: Result<(), DatasetError>) {
    if let Err(error) = result {
        assert!(error.is_senders(), "{error}");
    }
}
