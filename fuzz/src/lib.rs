//! What the targets share: the inputs that they begin with, made by code, and a file that is only memory.

mod archives;
// The tests' corpus of what means harm.
#[path = "../../tests/it/hostile/cases/mod.rs"]
pub mod cases;
mod pictures;
mod recipes;
mod weights;

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

pub use archives::archives;
pub use pictures::pictures;
pub use recipes::recipes;
pub use weights::{TINY, weights};

/// The longest of the tests' cases that a fuzzer begins with: long ones slow it down and show nothing that short ones don't.
const LONGEST: usize = 16 << 10;

/// The variable that names the folder to write the first inputs to, before the fuzzer reads it.
pub const SEEDS: &str = "TOPGRAFT_FUZZ_SEEDS";

/// Writes the inputs that a target begins with, each as a file, if it was asked to.
pub fn plant(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os(SEEDS).map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("the seeds' folder can be made");
    for (number, bytes) in seeds().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), bytes).expect("a seed can be written");
    }
}

/// A file without a name in memory, for code that reads files by their path. It is gone with the process, however that ends.
pub struct Scratch(File);

impl Scratch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self(tempfile::tempfile_in("/dev/shm").expect("Linux has a file system in memory there"))
    }

    /// The path of a file with this content. It holds until the next call.
    pub fn holding(&self, bytes: &[u8]) -> PathBuf {
        let mut file = &self.0;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(bytes));
        written.expect("memory has room for an input");
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}
