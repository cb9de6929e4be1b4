//! Where tensors live, and what arithmetic is fast there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Kind, TchError, Tensor};

use super::precision::{Precision, PrecisionChoice};
use super::processor;

/// Which device a process is to use. Its text is `auto`, `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, from 0.
    Cuda(usize),
}

/// A device that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The text names none.
    #[error("the device must be auto, cpu or cuda:N, not {0:?}")]
    Unknown(String),
    /// There is no such CUDA device.
    #[error("cuda:{number} isn't there: {found} CUDA devices were found (see CUDA=1 make setup); choose auto or cpu")]
    Absent {
        /// The device asked for.
        number: usize,
        /// How many there are.
        found: usize,
    },
}

impl DeviceChoice {
    /// The device, where `found` CUDA devices are.
    fn decide(self, found: usize) -> Result<Device, DeviceError> {
        match self {
            Self::Auto if found > 0 => Ok(Device::Cuda(0)),
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) if number < found => Ok(Device::Cuda(number)),
            Self::Cuda(number) => Err(DeviceError::Absent { number, found }),
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => {
                let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or_else(|| DeviceError::Unknown(text.to_owned()))
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => "auto".to_owned(),
            DeviceChoice::Cpu => "cpu".to_owned(),
            DeviceChoice::Cuda(number) => format!("cuda:{number}"),
        }
    }
}

static DEVICE: OnceLock<Device> = OnceLock::new();

/// Settles which device this process uses, before its first tensor. Loads libtorch's CUDA part if it lies beside the
/// libtorch that is in use and may be wanted: the same binary runs with and without.
///
/// # Errors
/// The device isn't there.
pub fn select(choice: DeviceChoice) -> Result<Device, DeviceError> {
    if choice != DeviceChoice::Cpu
        && let Some(library) = cuda_library()
    {
        match load(&library) {
            Ok(()) => tracing::debug!(library = %library.display(), "CUDA part of libtorch loaded"),
            Err(error) => {
                tracing::warn!(library = %library.display(), %error, "CUDA part of libtorch not usable, going on with the CPU");
            }
        }
    }
    let found = if choice == DeviceChoice::Cpu { 0 } else { usize::try_from(Cuda::device_count()).unwrap_or_default() };
    let device = choice.decide(found)?;
    if device.is_cuda() {
        // Shapes repeat from batch to batch, so cuDNN's search for the fastest kernels pays for itself.
        Cuda::cudnn_set_benchmark(true);
    }
    Ok(*DEVICE.get_or_init(|| {
        if let Err(error) = first_calls() {
            tracing::warn!(%error, "the first calls of vector functions failed");
        }
        device
    }))
}

/// Calls each function of MKL's vector library that runs on several threads later, which is the square root, from one thread.
///
/// The library chooses a function's kernel in its first call. Where several threads make that call at once, one of them may get a
/// less accurate kernel, that once: <https://github.com/pytorch/pytorch/issues/188792>. The first step of Adam was such a call, and
/// about one process in a hundred ended in other last bits than the rest.
fn first_calls() -> Result<(), TchError> {
    Tensor::f_ones([1], (Kind::Float, Device::Cpu))?.f_sqrt().map(drop)
}

/// The device that everything runs on: what [`select`] settled, or else what `auto` means.
pub fn device() -> Device {
    // `auto` never fails: where there is nothing else there is the CPU.
    DEVICE.get().copied().unwrap_or_else(|| select(DeviceChoice::Auto).unwrap_or(Device::Cpu))
}

/// Brings a tensor in ordinary memory to `device`; to a GPU by way of page-locked memory, without waiting for the copy.
///
/// # Errors
/// libtorch's refusal, such as want of memory.
pub fn upload(x: &Tensor, device: Device) -> Result<Tensor, TchError> {
    if device.is_cuda() { x.f_pin_memory(device)?.f_to_device_(device, x.kind(), true, false) } else { Ok(x.shallow_clone()) }
}

/// Sets how many threads an operation of the calling thread may use; `None` leaves libtorch's choice, one a core.
pub fn set_threads(threads: Option<u32>) {
    if let Some(threads) = threads.and_then(|threads| i32::try_from(threads).ok()).filter(|threads| *threads > 0) {
        tch::set_num_threads(threads);
    }
}

/// How many threads an operation of the calling thread may use; at least 1.
#[must_use]
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// What `choice` comes to on `device` for weights that may have 8-bit scales.
#[must_use]
pub fn resolve(choice: PrecisionChoice, device: Device, scales: bool) -> Precision {
    let learning = if device.is_cuda() || processor::multiplies_bf16() { Precision::Bf16 } else { Precision::F32 };
    let int8 = if learning == Precision::Bf16 { Precision::Int8 } else { Precision::Int8F32 };
    match choice {
        PrecisionChoice::F32 => Precision::F32,
        PrecisionChoice::Bf16 => Precision::Bf16,
        PrecisionChoice::Int8 => int8,
        PrecisionChoice::Auto if !device.is_cuda() && scales && processor::computes_int8() => int8,
        PrecisionChoice::Auto => learning,
    }
}

/// The precisions that `device` has instructions for, with weights that may have 8-bit scales.
#[must_use]
pub fn fast(device: Device, scales: bool) -> Vec<Precision> {
    let choices = [PrecisionChoice::F32, PrecisionChoice::Bf16, PrecisionChoice::Int8];
    let is_fast = |choice: &PrecisionChoice| match choice {
        PrecisionChoice::Bf16 => device.is_cuda() || processor::multiplies_bf16(),
        PrecisionChoice::Int8 => !device.is_cuda() && scales && processor::computes_int8(),
        PrecisionChoice::F32 | PrecisionChoice::Auto => true,
    };
    choices.into_iter().filter(is_fast).map(|choice| resolve(choice, device, scales)).collect()
}

/// libtorch's element type of a precision of learning layers.
#[must_use]
pub const fn kind(precision: Precision) -> Kind {
    match precision.learning() {
        Precision::Bf16 => Kind::BFloat16,
        _ => Kind::Float,
    }
}

/// Versions of the tensor libraries, for manifests.
#[must_use]
pub fn libraries() -> Vec<(&'static str, &'static str)> {
    // tch's minor version is bound to libtorch's release, and torch-sys refuses to build against another.
    vec![("tch", "0.24.0"), ("libtorch", "2.11.0")]
}

/// `libtorch_cuda.so` beside the `libtorch_cpu.so` that this process has mapped.
fn cuda_library() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mapped = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, path)| PathBuf::from(format!("/{path}")));
    let cpu = mapped.into_iter().find(|path| path.file_name() == Some(OsStr::new("libtorch_cpu.so")))?;
    Some(cpu.with_file_name("libtorch_cuda.so")).filter(|cuda| cuda.exists())
}

fn load(library: &Path) -> Result<(), libloading::Error> {
    // SAFETY: running the initialisers of libtorch's own CUDA part is what loading it is for; it comes from the folder of
    // the libtorch in use. RTLD_GLOBAL because it registers itself with symbols of libtorch_cpu.so.
    let library = unsafe { Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL) }?;
    // Its kernels are registered for the life of the process: it must never be unloaded.
    std::mem::forget(library);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_choice_reads_back_and_decides_by_what_is_there() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            let choice: DeviceChoice = text.parse().unwrap();
            assert_eq!(String::from(choice), text);
        }
        for text in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x"] {
            assert_eq!(text.parse::<DeviceChoice>(), Err(DeviceError::Unknown(text.to_owned())));
        }
        assert_eq!(DeviceChoice::Auto.decide(0), Ok(Device::Cpu));
        assert_eq!(DeviceChoice::Auto.decide(2), Ok(Device::Cuda(0)));
        assert_eq!(DeviceChoice::Cpu.decide(2), Ok(Device::Cpu));
        assert_eq!(DeviceChoice::Cuda(1).decide(2), Ok(Device::Cuda(1)));
        assert_eq!(DeviceChoice::Cuda(2).decide(2), Err(DeviceError::Absent { number: 2, found: 2 }));
    }

    #[test]
    fn precision_is_what_was_asked_for() {
        assert_eq!(resolve(PrecisionChoice::F32, Device::Cpu, true), Precision::F32);
        assert_eq!(resolve(PrecisionChoice::Bf16, Device::Cpu, true), Precision::Bf16);
        assert!(resolve(PrecisionChoice::Int8, Device::Cpu, true).is_int8());
        assert_eq!(resolve(PrecisionChoice::Auto, Device::Cuda(0), true), Precision::Bf16);
        assert!(!resolve(PrecisionChoice::Auto, Device::Cpu, false).is_int8());
    }

    /// What `memory.rs` has an allocator for. A place is handed out again, or the heap grows by 16 MiB each time.
    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn a_dropped_tensor_is_room_for_the_next() {
        let mut between = Vec::new();
        let places: HashSet<usize> = (0..64)
            .map(|_| {
                let tensor = Tensor::ones([4 << 20], (Kind::Float, Device::Cpu));
                between.push(Box::new([1u8; 100]));
                // The page: where in it a block begins is random.
                tensor.data_ptr() as usize / 4096
            })
            .collect();
        // One, but for what other tests of the process take meanwhile.
        assert!(places.len() < 32, "{} places, {} pieces between them", places.len(), between.len());
    }
}
