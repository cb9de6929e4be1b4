//! What the C library does with memory that was freed.

/// Keeps memory that was freed for what is allocated next, until it is [given back](give_back): a training step allocates and frees the
/// same tensors as the one before it, and taking their pages from the kernel anew each time was a fifth of a step in f32.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: they take numbers alone, and the allocator holds its own lock (mallopt(3)). Where one is refused, all is as before.
    unsafe {
        // Larger blocks than this would be mapped, and unmapped when they are freed.
        libc::mallopt(libc::M_MMAP_THRESHOLD, libc::c_int::MAX);
        // What is free at the heap's end beyond this would go back to the kernel, as at the end of each step.
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        // One heap for all threads: another thread's is of pieces of 64 MiB, which are unmapped as soon as nothing is in them.
        libc::mallopt(libc::M_ARENA_MAX, 1);
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
