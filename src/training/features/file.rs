//! One level's file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::training::TrainingError;
use crate::vision::device;
use crate::vision::precision::Precision;

/// Rows that the scale of features is measured on.
const SCALE_SAMPLE: usize = 512;

/// Which picture is in which row, and how wide a row is.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Each picture's row.
    rows: Arc<[usize]>,
    /// Height, width, channels.
    shape: [usize; 3],
    precision: Precision,
}

impl Layout {
    /// A row of `[height, width, channels]` for each picture, at `rows[picture]`.
    pub const fn new(rows: Arc<[usize]>, shape: [usize; 3], precision: Precision) -> Self {
        Self { rows, shape, precision }
    }

    const fn row_len(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    const fn row_bytes(&self) -> usize {
        self.row_len() * self.precision.bytes()
    }

    fn file_bytes(&self) -> u64 {
        self.rows.len() as u64 * self.row_bytes() as u64
    }

    fn kind(&self) -> Kind {
        device::kind(self.precision)
    }
}

/// An open, whole level.
#[derive(Debug)]
pub struct Features {
    path: PathBuf,
    file: File,
    layout: Layout,
    device: Device,
}

impl Features {
    /// Opens a level; `None` if it isn't there. One of another size, left by a crash of the disk, counts as not there.
    pub fn open(path: &Path, layout: Layout) -> Result<Option<Self>, TrainingError> {
        let at = |source| TrainingError::Features { path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(error)),
        };
        if file.metadata().map_err(at)?.len() != layout.file_bytes() {
            return Ok(None);
        }
        Ok(Some(Self { path: path.to_owned(), file, layout, device: device::device() }))
    }

    /// Numbers a row.
    pub const fn row_len(&self) -> usize {
        self.layout.row_len()
    }

    /// The features of `images`, as the next layer takes them: `[N, C, H, W]`, channels-last.
    pub fn batch(&self, images: &[usize]) -> Result<Tensor, TrainingError> {
        let bytes = self.layout.row_bytes();
        let mut buffer = vec![0u8; images.len() * bytes];
        for (&image, row) in images.iter().zip(buffer.chunks_exact_mut(bytes)) {
            self.file
                .read_exact_at(row, self.layout.rows[image] as u64 * bytes as u64)
                .map_err(|source| TrainingError::Features { path: self.path.clone(), source })?;
        }
        let [height, width, channels] = self.layout.shape.map(|n| n as i64);
        let x = Tensor::f_from_data_size(&buffer, &[images.len() as i64, height, width, channels], self.layout.kind())?;
        Ok(x.f_to_device(self.device)?.f_permute([0, 3, 1, 2])?)
    }

    /// One over the standard deviation of the features of the first few hundred of `images`.
    pub fn scale(&self, images: &[usize]) -> Result<f64, TrainingError> {
        let sample = self.batch(&images[..images.len().min(SCALE_SAMPLE)])?;
        let deviation = f64::try_from(sample.f_to_kind(Kind::Float)?.f_std(false)?)?;
        Ok(if deviation > 0.0 { 1.0 / deviation } else { 1.0 })
    }
}

/// A level being written.
pub struct FeatureWriter {
    path: PathBuf,
    beside: tempfile::NamedTempFile,
    writer: BufWriter<File>,
    layout: Layout,
    written: usize,
}

impl FeatureWriter {
    /// Begins beside `path`.
    pub fn create(path: &Path, layout: Layout) -> Result<Self, TrainingError> {
        let at = |source| TrainingError::Features { path: path.to_owned(), source };
        let dir = path.parent().unwrap_or(Path::new("."));
        let beside = tempfile::Builder::new().prefix(".writing-").tempfile_in(dir).map_err(at)?;
        let writer = BufWriter::with_capacity(1 << 20, beside.reopen().map_err(at)?);
        Ok(Self { path: path.to_owned(), beside, writer, layout, written: 0 })
    }

    /// Appends a batch `[N, C, H, W]`: the next pictures in the order of the rows.
    pub fn append(&mut self, batch: &Tensor) -> Result<(), TrainingError> {
        let rows = batch.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_to_device(Device::Cpu)?;
        let mut bytes = vec![0u8; rows.numel() * self.layout.precision.bytes()];
        rows.f_copy_data_u8(&mut bytes, rows.numel())?;
        self.written += bytes.len() / self.layout.row_bytes();
        self.writer.write_all(&bytes).map_err(|source| TrainingError::Features { path: self.path.clone(), source })
    }

    /// Syncs, renames and opens.
    pub fn finish(mut self) -> Result<Features, TrainingError> {
        let at = |source| TrainingError::Features { path: self.path.clone(), source };
        self.writer.flush().map_err(at)?;
        self.writer.get_ref().sync_all().map_err(at)?;
        self.beside.persist(&self.path).map_err(|error| at(error.error))?;
        if let Some(dir) = self.path.parent() {
            fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(at)?;
        }
        let rows = self.layout.rows.len();
        let whole = Features::open(&self.path, self.layout)?;
        whole.ok_or_else(|| at(io::Error::other(format!("{} of {} rows were written", self.written, rows))))
    }
}
