//! What the processor has instructions for.

/// bf16 without these instructions is emulated, and slower than f32.
pub(super) fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Whether layers in 8-bit integers are faster than in floats: by products of 8 bits (VNNI), or by exact filtering with products of 16.
pub(super) fn computes_int8() -> bool {
    has_vnni() || has_avx2()
}

/// Whether the processor adds up products of 8 bits in 32.
pub(super) fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Whether the processor multiplies vectors of sixteen numbers of 16 bits.
pub(super) fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}
