//! Who allocates memory, and what becomes of it when it is freed.
//!
//! jemalloc, and for libtorch too. Tensors are aligned to 64 bytes, and glibc doesn't find an aligned block again that was freed once
//! anything small lies beside it (its bug 14581): 64 blocks of 16 MiB, each freed before the next, take 1,009 MB there and 19 MB here.
//!
//! What was freed is kept for what is allocated next, until it is [given back](give_back). A training step allocates and frees the same
//! tensors as the one before it, and so does a batch of predictions; taking their pages from the kernel anew each time was a fifth of a
//! step in f32, and 25 ms of 390 of a prediction.

/// Gives back to the kernel all that was freed.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    jemalloc::give_back();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod jemalloc {
    use std::ffi::CStr;
    use std::ptr;

    use tikv_jemalloc_sys::mallctl;
    use tikv_jemallocator::Jemalloc;

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;

    /// Read by jemalloc when it starts. One heap for all threads, so that one of them finds what another freed, and nothing of it goes back
    /// by itself.
    // SAFETY: it is what jemalloc declares (a pointer to characters that end with a zero), and nobody else defines it.
    #[unsafe(export_name = "malloc_conf")]
    static SETTINGS: &[u8; 28] = b"narenas:1,dirty_decay_ms:-1\0";

    /// All heaps at once are number 4096 (`MALLCTL_ARENAS_ALL`).
    const PURGE: &CStr = c"arena.4096.purge";

    pub fn give_back() {
        // SAFETY: the name ends with a zero, and nothing is read or written.
        let failed = unsafe { mallctl(PURGE.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) };
        if failed != 0 {
            let error = std::io::Error::from_raw_os_error(failed);
            tracing::warn!(%error, "jemalloc gives no memory back");
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn get<T: Copy>(name: &CStr, mut value: T) -> T {
            let mut size = size_of::<T>();
            // SAFETY: the name ends with a zero; jemalloc writes only where the size is its own type's, and says so otherwise.
            let failed = unsafe { mallctl(name.as_ptr(), (&raw mut value).cast(), &raw mut size, ptr::null_mut(), 0) };
            assert_eq!((failed, size), (0, size_of::<T>()), "{name:?}");
            value
        }

        #[test]
        fn settings_are_read() {
            assert_eq!((get(c"opt.narenas", 0u32), get(c"opt.dirty_decay_ms", 0isize)), (1, -1));
        }

        /// Pages that the process has in memory.
        fn resident() -> u64 {
            let numbers = std::fs::read_to_string("/proc/self/statm").unwrap();
            numbers.split_whitespace().nth(1).unwrap().parse().unwrap()
        }

        #[test]
        fn freed_memory_stays_until_it_is_given_back() {
            // 512 MiB are 131,072 pages. Other tests may take and give some meanwhile, so it is tried a few times.
            let all = 100_000;
            let seen = (0..10).any(|_| {
                let before = resident();
                drop(std::hint::black_box(vec![1u8; 512 << 20]));
                let kept = resident();
                give_back();
                kept > before + all && resident() + all < kept
            });
            assert!(seen);
        }
    }
}
