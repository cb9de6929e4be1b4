//! Where tensors live, and what arithmetic is fast there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device, Kind};

use super::precision::{Precision, PrecisionChoice};

/// The device that everything runs on: the first CUDA device where there is one, else the CPU.
///
/// The first call, which must come before the first tensor, loads libtorch's CUDA part if it lies beside the libtorch that
/// is in use: the same binary runs with and without.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    *DEVICE.get_or_init(|| {
        if let Some(library) = cuda_library() {
            match load(&library) {
                Ok(()) => tracing::debug!(library = %library.display(), "CUDA part of libtorch loaded"),
                Err(error) => tracing::warn!(library = %library.display(), %error, "CUDA part of libtorch not usable, going on with the CPU"),
            }
        }
        if Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu }
    })
}

/// Sets how many threads an operation may use; `None` leaves libtorch's choice, one a core.
pub fn set_threads(threads: Option<u32>) {
    if let Some(threads) = threads.and_then(|threads| i32::try_from(threads).ok()).filter(|threads| *threads > 0) {
        tch::set_num_threads(threads);
    }
}

/// What `choice` comes to on `device`.
#[must_use]
pub fn resolve(choice: PrecisionChoice, device: Device) -> Precision {
    match choice {
        PrecisionChoice::F32 => Precision::F32,
        PrecisionChoice::Bf16 => Precision::Bf16,
        PrecisionChoice::Auto if device.is_cuda() || cpu_multiplies_bf16() => Precision::Bf16,
        PrecisionChoice::Auto => Precision::F32,
    }
}

/// libtorch's element type of a precision.
#[must_use]
pub const fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

/// Versions of the tensor libraries, for manifests.
#[must_use]
pub fn libraries() -> Vec<(&'static str, &'static str)> {
    // tch's minor version is bound to libtorch's release, and torch-sys refuses to build against another.
    vec![("tch", "0.24.0"), ("libtorch", "2.11.0")]
}

/// bf16 without these instructions is emulated, and slower than f32.
fn cpu_multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
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
