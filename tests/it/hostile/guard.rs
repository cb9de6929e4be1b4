//! A server among things that it must leave alone, and what it may have cost in the end.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;

use super::cases::LIMITS;
use crate::server::{Server, wait_for};

/// A file beside the data folder that links and names from archives would reach.
const SECRET: &str = "nobody's business";

/// What names of the corpus would make if they were followed.
const ESCAPES: [&str; 2] = ["/topgraft-escape", "/dev/shm/topgraft-escape"];

/// A server in a folder of its own, with small limits.
pub struct Guarded {
    // Before the folder, so that it ends before its data goes.
    pub server: Server,
    folder: TempDir,
    /// The most memory that it had taken when it was ready, in bytes.
    quiet: u64,
}

impl Guarded {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let numbers = LIMITS.map(|(flag, limit)| (flag, limit.to_string()));
        let limits = numbers.iter().flat_map(|(flag, limit)| [*flag, limit.as_str()]);
        let flags: Vec<&str> = limits.chain(["--workers", "0"]).collect();
        let server = Server::start_in(&data, &flags);
        let quiet = peak(server.process());
        Self { server, folder, quiet }
    }

    /// Nothing lies outside the data folder that didn't before, nothing of uploads is left in it, the server answers, and it never
    /// took more memory than its limits come to.
    pub fn assert_unharmed(&self) {
        assert_eq!(self.server.get("/healthz").status, 200);
        assert_eq!(names(self.folder.path()), BTreeSet::from(["data".to_owned(), "secret".to_owned()]));
        assert_eq!(std::fs::read_to_string(self.folder.path().join("secret")).unwrap(), SECRET);
        for path in ESCAPES {
            assert!(!Path::new(path).exists(), "{path}");
        }
        // An archive goes just after its data set is settled.
        wait_for("the last archive to go", || names(&self.server.data_dir().join("uploads")).is_empty().then_some(()));
        for dataset in names(&self.server.data_dir().join("datasets")) {
            let files = names(&self.server.data_dir().join("datasets").join(&dataset));
            assert_eq!(files.len(), 1, "a data set is one file: {files:?}");
        }
        let log = self.server.log();
        assert!(!log.contains("reading an archive panicked"), "{log}");
        let grown = peak(self.server.process()).saturating_sub(self.quiet);
        assert!(grown <= most(), "it took {grown} bytes more than when it was ready, and {} are its limits' sum", most());
    }
}

/// What reading one archive may take, in bytes. Each decoder may take 16 bytes a pixel and 64 MiB beside (`vision::picture`);
/// encoded pictures that wait, 64 MiB (`dataset::ingest`); zstd's window, 128 MiB (its own limit). Rows, requests and what an
/// allocator keeps come to less than another 128 MiB.
fn most() -> u64 {
    const MIB: u64 = 1 << 20;
    let pixels = LIMITS.iter().find(|(flag, _)| flag.ends_with("pixels")).unwrap().1;
    let decoders = std::thread::available_parallelism().map_or(1, |count| count.get().min(8)) as u64;
    decoders * (16 * pixels + 64 * MIB) + (64 + 128 + 128) * MIB
}

/// The most memory that a process has taken so far, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// The names in a folder; none if it isn't there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
