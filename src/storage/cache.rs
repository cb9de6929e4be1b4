//! Which files in the data folder are copies of what the store holds, and may go to make room.
//!
//! A copy has a *mark*: a small file of the same name in a folder of its own, that says how long the copy is and when it was
//! written, and was last changed when the copy was last used. A file that has another length or time than its mark says is
//! no copy: it was written here since, and isn't touched. So nothing that may go wrong with marks costs more than room on
//! the disk: without its mark a copy just stays.
//!
//! A copy in use is locked, shared, or a folder above it is. Whoever removes one has it, and all folders above it, alone.
//! The kernel keeps these locks between all processes on a machine, and takes them from those that end.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tempfile::TempPath;

use super::files::{if_there, remove, remove_dir};
use super::key::Key;
use crate::disk::is_at;

/// The marks' folder. Its name is no part of any key.
pub(super) const MARKS: &str = ".stored";
/// Others may remove a file, or make one, between two steps. More often in a row is something else.
const ATTEMPTS: usize = 100;
/// New copies, as a share of the budget, after which it is time to look.
const SHARE: u64 = 16;

/// The copies on this machine.
#[derive(Debug)]
pub struct Cache {
    pub(super) root: PathBuf,
    pub(super) budget: u64,
    /// The folder in which others make room.
    apart: Option<Key>,
    /// Bytes of copies that this process made since it last looked.
    grown: AtomicU64,
}

/// Keeps a copy, or all in a folder, from being removed to make room.
#[derive(Debug)]
pub struct Pin {
    _locked: File,
    mark: Option<PathBuf>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        // It was used until now. Without the stamp it only goes earlier.
        if let Some(mark) = &self.mark {
            stamp(mark);
        }
    }
}

impl Cache {
    /// The cache in the data folder `root`, of `budget` bytes.
    pub fn new(root: &Path, budget: u64) -> Self {
        Self { root: root.to_owned(), budget, apart: None, grown: AtomicU64::new(0) }
    }

    /// The same cache, but for what is in this folder.
    pub fn leaving(&self, apart: Key) -> Self {
        Self { apart: Some(apart), ..Self::new(&self.root, self.budget) }
    }

    /// Whether others make room for this file.
    fn is_apart(&self, key: &Key) -> bool {
        self.apart.as_ref().is_some_and(|apart| apart.name_below(key).is_some())
    }

    pub(super) fn mark_of(&self, key: &Key) -> PathBuf {
        key.path(&self.root.join(MARKS))
    }

    /// Marks a file as a copy that may go to make room here.
    pub fn mark(&self, key: &Key, file: &Metadata) -> io::Result<()> {
        if self.is_apart(key) {
            return Ok(());
        }
        let mark = self.mark_of(key);
        let mut attempts = 0;
        loop {
            // Not synced and not renamed: half of a mark, or none, only means that the copy stays.
            match mark.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&mark, identity(file))) {
                // Somebody tidied the empty folder away.
                Err(error) if error.kind() == ErrorKind::NotFound && attempts < ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    /// Takes note that a copy of so many bytes was made; true if it is time to look whether all have room.
    pub fn grew(&self, key: &Key, bytes: u64) -> bool {
        if self.is_apart(key) {
            return false;
        }
        let grown = self.grown.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let due = grown > self.budget / SHARE;
        if due {
            self.grown.store(0, Ordering::Relaxed);
        }
        due
    }

    /// Keeps a file where it is, if it is there.
    pub fn pin(&self, key: &Key) -> io::Result<Option<Pin>> {
        let mark = self.mark_of(key);
        let pin = lock(&key.path(&self.root))?.map(|locked| Pin { _locked: locked, mark: Some(mark) });
        if let Some(mark) = pin.as_ref().and_then(|pin| pin.mark.as_deref()) {
            stamp(mark);
        }
        Ok(pin)
    }

    /// Keeps all that is in a folder, or comes into it, if it is there.
    pub fn pin_folder(&self, dir: &Key) -> io::Result<Option<Pin>> {
        Ok(lock(&dir.path(&self.root))?.map(|locked| Pin { _locked: locked, mark: None }))
    }

    /// Keeps all that comes into a folder, which is made if it isn't there.
    pub fn make_and_pin_folder(&self, dir: &Key) -> io::Result<Pin> {
        for _ in 0..ATTEMPTS {
            fs::create_dir_all(dir.path(&self.root))?;
            if let Some(pin) = self.pin_folder(dir)? {
                return Ok(pin);
            }
        }
        Err(ErrorKind::ResourceBusy.into())
    }

    /// Notes that a file was used.
    pub fn used(&self, key: &Key) {
        stamp(&self.mark_of(key));
    }

    /// Gives a fetched file its name, unless somebody was faster: then theirs is kept, and pinned.
    pub fn admit(&self, key: &Key, file: File, mut beside: TempPath) -> io::Result<Pin> {
        file.sync_all()?;
        file.lock_shared()?;
        let fetched = file.metadata()?;
        let path = key.path(&self.root);
        for _ in 0..ATTEMPTS {
            // Before the name: a crash in between leaves no copy without its mark.
            self.mark(key, &fetched)?;
            match beside.persist_noclobber(&path) {
                // The directory isn't synced: a name that a power cut takes is fetched again.
                Ok(()) => return Ok(Pin { _locked: file, mark: Some(self.mark_of(key)) }),
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => beside = error.path,
                Err(error) => return Err(error.error),
            }
            if let Some(pin) = self.pin(key)? {
                // Another process fetched it too, and its mark was overwritten just now.
                let theirs = fs::metadata(&path)?;
                if theirs.len() == fetched.len() {
                    self.mark(key, &theirs)?;
                }
                return Ok(pin);
            }
        }
        Err(ErrorKind::ResourceBusy.into())
    }

    /// Removes a file here.
    pub fn remove(&self, key: &Key) -> io::Result<()> {
        remove(&key.path(&self.root))?;
        remove(&self.mark_of(key))
    }

    /// Removes all that is in a folder here, and the folder.
    pub fn remove_folder(&self, key: &Key) -> io::Result<()> {
        remove_dir(&key.path(&self.root))?;
        remove_dir(&self.mark_of(key))
    }
}

/// Opens a file or folder and locks it, shared; `None` if it isn't there.
fn lock(path: &Path) -> io::Result<Option<File>> {
    for _ in 0..ATTEMPTS {
        let Some(file) = if_there(File::open(path))? else { return Ok(None) };
        match file.lock_shared() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// What a mark says of its file.
pub(super) fn identity(file: &Metadata) -> String {
    format!("{} {}.{:09}\n", file.len(), file.mtime(), file.mtime_nsec())
}

/// Notes in a mark, if there is one, that its copy is used just now.
fn stamp(mark: &Path) {
    // A file that was never marked has none, and without the stamp a copy only goes earlier.
    let _ = File::options().write(true).open(mark).and_then(|mark| mark.set_modified(SystemTime::now()));
}
