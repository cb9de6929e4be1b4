//! What the C library does with memory that was freed.

/// Bytes of freed memory that a training process keeps at most for its next allocation.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 256 << 20;

/// Keeps memory that was freed, up to 256 MiB, for what is allocated next: a training step allocates and frees the same tensors as the one
/// before it, and taking their pages from the kernel anew each time was a fifth of a step in f32.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: both take numbers alone, and the allocator holds its own lock (mallopt(3)). Where one is refused, all is as before.
    unsafe {
        // Larger blocks than this would be mapped, and unmapped when they are freed.
        libc::mallopt(libc::M_MMAP_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// Gives all of it back. Reading a model takes several times what stays of it, and glibc keeps what was freed between what stays: 46 MB
/// a model instead of 27, measured with 50 of them.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, touches free memory only, and is safe to call from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
