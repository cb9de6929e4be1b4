//! The storage, over stores in memory, in a folder and behind a real S3 interface.

mod bucket;
mod download;
mod eviction;
mod flaky;
mod server;
mod shared;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;

use super::{Storage, receive};

/// More than any test writes.
const PLENTY: u64 = 1 << 40;

/// A machine: a data folder of its own.
struct Machine {
    storage: Storage,
    root: TempDir,
}

impl Machine {
    /// One of those that share a store.
    fn of(store: &Arc<dyn ObjectStore>) -> Self {
        Self::with(store, PLENTY)
    }

    fn with(store: &Arc<dyn ObjectStore>, cache_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let signed = !store.to_string().starts_with("LocalFileSystem");
        Self { storage: Storage::over(Arc::clone(store), signed, root.path(), cache_bytes), root }
    }

    /// One without a store.
    fn alone() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { storage: Storage::open(None, root.path(), 0).unwrap(), root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file, as any room does.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes a file and keeps it.
    async fn keep(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.write(name, bytes);
        self.storage.keep(&path).await.unwrap();
        path
    }

    /// Files that aren't whole, anywhere.
    fn unfinished(&self) -> usize {
        fn count(dir: &Path) -> usize {
            let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
            entries
                .map(|entry| match entry.file_type().unwrap().is_dir() {
                    true => count(&entry.path()),
                    false => usize::from(entry.file_name().to_str().unwrap().starts_with(receive::UNFINISHED)),
                })
                .sum()
        }
        count(self.root.path())
    }
}

fn in_memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Bytes of which no two stretches are alike.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&state.to_be_bytes()[..7]);
    }
    bytes.truncate(length);
    bytes
}
