//! Making room: the copies that nobody has used for longest.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::cache::{Cache, MARKS, identity};
use super::files::{if_there, remove};
use super::key::Key;
use crate::disk::{is_at, try_alone};

/// A mark may be there before its file has taken its name. What is older than this has no such file.
const GRACE: Duration = Duration::from_secs(3600);

/// What [`Storage::evict`](super::Storage::evict) removed from this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A copy and when it was last used.
struct Copy {
    used: SystemTime,
    key: Key,
    bytes: u64,
}

impl Cache {
    /// Removes copies, the least recently used first, until they have as many bytes as they may or fewer.
    pub fn evict(&self) -> io::Result<Evicted> {
        let mut copies = Vec::new();
        self.survey(&self.root.join(MARKS), &mut copies)?;
        copies.sort_by(|a, b| (a.used, &a.key).cmp(&(b.used, &b.key)));
        let mut total: u64 = copies.iter().map(|copy| copy.bytes).sum();
        let mut evicted = Evicted::default();
        for copy in copies {
            if total <= self.budget {
                break;
            }
            if self.drop_copy(&copy.key)? {
                total -= copy.bytes;
                evicted.bytes += copy.bytes;
                evicted.files += 1;
            }
        }
        Ok(evicted)
    }

    /// Finds the copies whose marks are below `dir`, and removes marks that stand for none.
    fn survey(&self, dir: &Path, copies: &mut Vec<Copy>) -> io::Result<()> {
        let mut empty = true;
        for entry in if_there(fs::read_dir(dir))?.into_iter().flatten() {
            let entry = entry?;
            let path = entry.path();
            empty = false;
            let Some(found) = if_there(entry.metadata())? else { continue };
            if found.is_dir() {
                self.survey(&path, copies)?;
                continue;
            }
            // What isn't named like a file of the store isn't a mark.
            let Ok(key) = Key::of(&self.root.join(MARKS), &path) else { continue };
            let used = found.modified()?;
            match self.copy(&key)? {
                Some(copy) => copies.push(Copy { used, key, bytes: copy.len() }),
                None if used.elapsed().is_ok_and(|age| age > GRACE) => remove(&path)?,
                None => {}
            }
        }
        if empty {
            // Somebody may be about to write a mark in it, and makes it anew.
            let _ = fs::remove_dir(dir);
        }
        Ok(())
    }

    /// The file of this name, if it is what its mark says.
    fn copy(&self, key: &Key) -> io::Result<Option<Metadata>> {
        let Some(marked) = if_there(fs::read(self.mark_of(key)))? else { return Ok(None) };
        let found = if_there(fs::symlink_metadata(key.path(&self.root)))?;
        Ok(found.filter(|found| found.is_file() && identity(found).as_bytes() == marked))
    }

    /// Removes a copy unless it is in use; answers whether it did.
    fn drop_copy(&self, key: &Key) -> io::Result<bool> {
        let path = key.path(&self.root);
        let mut alone = Vec::new();
        // The file and the folders above it, up to the data folder.
        for held in path.ancestors().take_while(|above| *above != self.root) {
            let Some(file) = if_there(File::open(held))? else { return Ok(false) };
            if !try_alone(&file)? || !is_at(&file, held)? {
                return Ok(false);
            }
            alone.push(file);
        }
        if self.copy(key)?.is_none() {
            return Ok(false);
        }
        remove(&path)?;
        remove(&self.mark_of(key))?;
        Ok(true)
    }
}
