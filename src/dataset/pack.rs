//! The pack: all accepted pictures of a data set, encoded as they were sent, one after another in one file. Where each
//! begins and ends is in its [`super::ImageRecord`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Pictures are tens of kilobytes; this joins a few dozen of them into one write.
const BUFFER: usize = 1 << 20;

/// Writes a pack under a name beside its own, which it takes only when whole. Dropped before
/// [`PackWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct PackWriter {
    target: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    length: u64,
    finished: bool,
}

impl PackWriter {
    /// Starts a pack that is to become `target`. What an interrupted writer of the same pack left behind is overwritten.
    ///
    /// # Errors
    /// When the file beside `target` can't be made.
    pub fn create(target: &Path) -> io::Result<Self> {
        let mut partial = OsString::from(target);
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = BufWriter::with_capacity(BUFFER, File::create(&partial)?);
        Ok(Self { target: target.to_owned(), partial, file, length: 0, finished: false })
    }

    /// Appends one encoded picture and returns where it begins, in bytes from the start of the pack.
    ///
    /// # Errors
    /// When writing fails; the pack is then of no use.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.length;
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(offset)
    }

    /// Makes the pack durable and gives it its name; returns its length in bytes.
    ///
    /// # Errors
    /// When the disk doesn't take it; nothing is left behind then.
    pub fn finish(mut self) -> io::Result<u64> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.partial, &self.target)?;
        self.finished = true;
        // The new name is durable only once the directory is.
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(self.length)
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing better can be done about a failure here; the next writer overwrites the file.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// A finished pack, to be read from any number of threads.
#[derive(Debug)]
pub struct Pack {
    file: File,
    length: u64,
}

impl Pack {
    /// Opens a finished pack.
    ///
    /// # Errors
    /// When there is no such file or it can't be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads the `length` bytes that begin at `offset`, without moving any position that threads would share.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when the range isn't inside the pack, otherwise what the system says.
    pub fn read(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let outside = || {
            let message = format!("{length} bytes at {offset} aren't inside a pack of {} bytes", self.length);
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(outside());
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| outside())?];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_back_by_many_threads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pack");
        let mut writer = PackWriter::create(&path).unwrap();
        let parts: Vec<Vec<u8>> = (0..50u8).map(|i| vec![i; usize::from(i) * 17]).collect();
        let offsets: Vec<u64> = parts.iter().map(|part| writer.append(part).unwrap()).collect();
        assert!(!path.exists(), "the name is taken only when the pack is whole");
        let length = writer.finish().unwrap();

        let pack = Pack::open(&path).unwrap();
        assert_eq!(pack.length(), length);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (part, &offset) in parts.iter().zip(&offsets) {
                        assert_eq!(&pack.read(offset, part.len() as u64).unwrap(), part);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn ranges_outside_are_refused_before_anything_is_allocated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pack");
        let mut writer = PackWriter::create(&path).unwrap();
        writer.append(b"abc").unwrap();
        writer.finish().unwrap();
        let pack = Pack::open(&path).unwrap();
        assert_eq!(pack.read(1, 2).unwrap(), b"bc");
        assert_eq!(pack.read(3, 0).unwrap(), b"");
        for (offset, length) in [(0, 4), (3, 1), (4, 0), (u64::MAX, 2), (0, u64::MAX)] {
            let error = pack.read(offset, length).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{offset}+{length}");
        }
    }

    #[test]
    fn an_abandoned_pack_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pack");
        let mut writer = PackWriter::create(&path).unwrap();
        writer.append(b"abc").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
