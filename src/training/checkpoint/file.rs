//! One file: tensors, a text, and a checksum over both.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use tch::{Device, Kind, TchError, Tensor};

use super::CheckpointError;

/// Keys of the file's metadata.
const STATE: &str = "state";
const CHECKSUM: &str = "crc32";
/// Begins the names of files that aren't whole yet.
const UNFINISHED: &str = ".writing-";

/// What a file holds.
pub struct Content {
    pub state: String,
    pub tensors: HashMap<String, Tensor>,
}

/// Copies of tensors as they are now, for [`write`], in the memory of those `before`, which isn't taken and cleared for each epoch so.
pub fn rows(tensors: &[(String, Tensor)], mut before: Vec<Row>) -> Result<Vec<Row>, TchError> {
    let mut memory = |name: &str| {
        let place = before.iter().position(|row| row.name == name);
        place.map(|place| before.swap_remove(place).bytes).unwrap_or_default()
    };
    let rows = tensors.iter().map(|(name, tensor)| Row::of(name, tensor, memory(name)));
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

/// Writes beside, syncs, renames: when this returns, the file is there and outlasts a power cut.
pub fn write(dir: &Path, name: &str, state: String, rows: &[Row]) -> Result<(), CheckpointError> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let path = dir.join(name);
    let sum = checksum(&state, rows.iter().map(|row| (row.name.as_str(), row.bytes.as_slice())));
    let metadata = HashMap::from([(STATE.to_owned(), state), (CHECKSUM.to_owned(), sum)]);
    let beside = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir).map_err(at(dir))?;
    let views = rows.iter().map(|row| (row.name.as_str(), row));
    safetensors::serialize_to_file(views, Some(metadata), beside.path()).map_err(|error| refused(&path, error))?;
    // Opened again: the serializer renames a file of its own to this name, so `beside` holds one that is gone.
    File::open(beside.path()).and_then(|file| file.sync_all()).map_err(at(&path))?;
    beside.persist(&path).map_err(|error| at(&path)(error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
    Ok(())
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// It isn't there, or isn't that.
pub fn read(path: &Path) -> Result<Content, CheckpointError> {
    let bytes = fs::read(path).map_err(at(path))?;
    let damaged = |reason: &dyn ToString| CheckpointError::Damaged { path: path.to_owned(), reason: reason.to_string() };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
    let metadata = header.metadata().as_ref().ok_or_else(|| damaged(&"it has no metadata"))?;
    let text = |key: &str| metadata.get(key).ok_or_else(|| damaged(&format!("it has no {key}")));
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&error))?;
    let mut views = file.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));
    let state = text(STATE)?;
    if *text(CHECKSUM)? != checksum(state, views.iter().map(|(name, view)| (name.as_str(), view.data()))) {
        return Err(damaged(&"its checksum is another"));
    }
    let tensors = views.into_iter().map(|(name, view)| {
        let numbers: Vec<f32> = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let tensor = Tensor::f_from_slice(&numbers).and_then(|tensor| tensor.f_reshape(shape));
        Ok((name, tensor.map_err(|error| damaged(&error))?))
    });
    Ok(Content { state: state.clone(), tensors: tensors.collect::<Result<_, CheckpointError>>()? })
}

/// Removes all that is in a folder but the file of this name. A folder that isn't there is empty.
pub fn leave_only(dir: &Path, name: &str) -> Result<(), CheckpointError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at(dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(at(dir))?;
        if entry.file_name() != name {
            fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
        }
    }
    Ok(())
}

/// A tensor as bytes.
#[derive(Debug)]
pub struct Row {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Row {
    fn of(name: &str, tensor: &Tensor, mut bytes: Vec<u8>) -> Result<Self, TchError> {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        bytes.resize(tensor.numel() * size_of::<f32>(), 0);
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(Self { name: name.to_owned(), shape: tensor.size().iter().map(|&n| n as usize).collect(), bytes })
    }
}

impl safetensors::View for &Row {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Over the state and the tensors in the order of their names.
fn checksum<'a>(state: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut sum = crc32fast::Hasher::new();
    sum.update(state.as_bytes());
    for (name, bytes) in tensors {
        sum.update(name.as_bytes());
        sum.update(bytes);
    }
    format!("{:08x}", sum.finalize())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + '_ {
    |source| CheckpointError::Io { path: path.to_owned(), source }
}

fn refused(path: &Path, error: safetensors::SafeTensorError) -> CheckpointError {
    let path: PathBuf = path.to_owned();
    match error {
        safetensors::SafeTensorError::IoError(source) => CheckpointError::Io { path, source },
        other => CheckpointError::Damaged { path, reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let tensors =
            [("b.000", Tensor::from_slice(&[1.5f32, -2.0, 0.25, 9.0]).view([2, 2])), ("a.000", Tensor::from_slice::<f32>(&[]))];
        let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
        write(&dir.path().join("run"), "one", "the state".to_owned(), &rows(&tensors, Vec::new()).unwrap()).unwrap();
        let path = dir.path().join("run/one");
        (dir, path)
    }

    #[test]
    fn what_was_written_is_read_to_the_bit() {
        let (_dir, path) = written();
        let content = read(&path).unwrap();
        assert_eq!(content.state, "the state");
        assert_eq!(content.tensors["b.000"].size(), [2, 2]);
        assert_eq!(Vec::<f32>::try_from(content.tensors["b.000"].view(-1)).unwrap(), [1.5, -2.0, 0.25, 9.0]);
        assert_eq!(content.tensors["a.000"].size(), [0]);
    }

    #[test]
    fn what_is_copied_into_memory_of_before_is_what_is_there_now() {
        let named = |numbers: [&[f32]; 2]| {
            let tensors = numbers.map(Tensor::from_slice);
            ["a", "b"].map(str::to_owned).into_iter().zip(tensors).collect::<Vec<_>>()
        };
        let before = rows(&named([&[1.0, 2.0], &[3.0]]), Vec::new()).unwrap();
        let memory = before[0].bytes.as_ptr();
        // One of the same size, one of another.
        let now = named([&[4.0, 5.0], &[6.0, 7.0, 8.0]]);
        let (again, fresh) = (rows(&now, before).unwrap(), rows(&now, Vec::new()).unwrap());
        assert_eq!(again[0].bytes.as_ptr(), memory);
        for (again, fresh) in again.iter().zip(&fresh) {
            assert_eq!((&again.name, &again.shape, &again.bytes), (&fresh.name, &fresh.shape, &fresh.bytes));
        }
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let (_dir, path) = written();
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(read(&path), Err(CheckpointError::Damaged { .. })), "byte {place}");
        }
        for length in [0, 7, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(read(&path), Err(CheckpointError::Damaged { .. })), "{length} bytes");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(read(&path), Err(CheckpointError::Io { .. })));
    }

    #[test]
    fn all_but_one_file_goes() {
        let (dir, path) = written();
        let run = dir.path().join("run");
        fs::write(run.join(".writing-x"), "half").unwrap();
        fs::write(run.join("two"), "").unwrap();
        leave_only(&run, "one").unwrap();
        assert_eq!(fs::read_dir(&run).unwrap().count(), 1);
        assert!(path.exists());
        leave_only(&dir.path().join("nowhere"), "one").unwrap();
    }
}
