// Products of tiles with panels of kernels in whole numbers: 16 bits times 16 bits, summed in 32, modulo 2^32.
#pragma once

#include "lanes.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define WITH_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define WITH_AVX2
#endif

namespace topgraft::winograd {

// Numbers of 32 bits whose sums and products wrap around, and the same with a sign.
typedef uint32_t Words __attribute__((vector_size(kLanes * sizeof(uint32_t)), aligned(alignof(uint32_t)), may_alias));
typedef int32_t Signed __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(alignof(int32_t)), may_alias));

constexpr int64_t kPair = 2;         // inputs that one instruction multiplies and adds
constexpr int64_t kPairsDeep = 128;  // of those that are summed at a time: a panel of them is a quarter of the smallest cache

inline uint32_t pair_at(const int16_t* x) {
    uint32_t pair;
    std::memcpy(&pair, x, sizeof pair);
    return pair;
}

// TILES x 2 `pairs` numbers, tiles `inputs` apart, times a panel of kernels, `pairs` x 16 x 2; to y, or added to it.
struct AnyProcessor {
    template <int TILES>
    static void multiply(const int16_t* x, int64_t inputs, const int16_t* panel, int64_t pairs, bool add, uint32_t* y, int64_t stride) {
        Words sums[TILES][2] = {};
        for (int64_t i = 0; i < pairs; ++i) {
            const Words* kernels = reinterpret_cast<const Words*>(panel + i * kLine * kPair);
            for (int half = 0; half < 2; ++half) {
                const Words second = reinterpret_cast<Words>(reinterpret_cast<Signed>(kernels[half]) >> 16);
                const Words first = reinterpret_cast<Words>(reinterpret_cast<Signed>(kernels[half] << 16) >> 16);
                for (int t = 0; t < TILES; ++t) {
                    const int16_t* both = x + t * inputs + i * kPair;
                    sums[t][half] += first * static_cast<uint32_t>(both[0]) + second * static_cast<uint32_t>(both[1]);
                }
            }
        }
        for (int t = 0; t < TILES; ++t) {
            Words* to = reinterpret_cast<Words*>(y + t * stride);
            for (int half = 0; half < 2; ++half) to[half] = add ? to[half] + sums[t][half] : sums[t][half];
        }
    }
};

#if defined(__x86_64__) && defined(__GNUC__)
struct WithAvx2 {
    // Not by intrinsics, between which compilers put so many numbers that they run out of registers.
    __attribute__((target("avx2"), always_inline)) static void add_products(__m256i& sums, __m256i x, __m256i kernels) {
        __m256i products;
        asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sums), "=&x"(products) : "x"(x), "x"(kernels));
    }

    template <int TILES>
    __attribute__((target("avx2"))) static void multiply(const int16_t* x, int64_t inputs, const int16_t* panel, int64_t pairs, bool add,
                                                         uint32_t* y, int64_t stride) {
        __m256i sums[TILES][2] = {};
        for (int64_t i = 0; i < pairs; ++i) {
            const __m256i* kernels = reinterpret_cast<const __m256i*>(panel + i * kLine * kPair);
            const __m256i left = _mm256_loadu_si256(kernels), right = _mm256_loadu_si256(kernels + 1);
#pragma GCC unroll 6
            for (int t = 0; t < TILES; ++t) {
                const __m256i pair = _mm256_set1_epi32(static_cast<int32_t>(pair_at(x + t * inputs + i * kPair)));
                add_products(sums[t][0], pair, left);
                add_products(sums[t][1], pair, right);
            }
        }
#pragma GCC unroll 6
        for (int t = 0; t < TILES; ++t) {
            __m256i* to = reinterpret_cast<__m256i*>(y + t * stride);
            for (int half = 0; half < 2; ++half) {
                const __m256i before = add ? _mm256_loadu_si256(to + half) : _mm256_setzero_si256();
                _mm256_storeu_si256(to + half, _mm256_add_epi32(before, sums[t][half]));
            }
        }
    }
};
#endif

template <typename Processor>
void multiply_panel_on(const int16_t* x, int64_t rows, int64_t inputs, const int16_t* panel, uint32_t* y, int64_t stride) {
    for (int64_t first = 0; first < inputs; first += kPairsDeep * kPair) {
        const int64_t pairs = std::min(kPairsDeep, (inputs - first) / kPair);
        const bool add = first > 0;
        const int16_t *from = x + first, *kernels = panel + first * kLine;
        uint32_t* to = y;
        int64_t left = rows;
        for (; left >= kTilesAtOnce; left -= kTilesAtOnce, from += kTilesAtOnce * inputs, to += kTilesAtOnce * stride) {
            Processor::template multiply<kTilesAtOnce>(from, inputs, kernels, pairs, add, to, stride);
        }
        switch (left) {
            case 5: Processor::template multiply<5>(from, inputs, kernels, pairs, add, to, stride); break;
            case 4: Processor::template multiply<4>(from, inputs, kernels, pairs, add, to, stride); break;
            case 3: Processor::template multiply<3>(from, inputs, kernels, pairs, add, to, stride); break;
            case 2: Processor::template multiply<2>(from, inputs, kernels, pairs, add, to, stride); break;
            case 1: Processor::template multiply<1>(from, inputs, kernels, pairs, add, to, stride); break;
        }
    }
}

// `rows` tiles times a panel of kernels [inputs / 2, 16, 2]: 16 outputs of each, tiles `stride` apart in y.
inline void multiply_panel(const int16_t* x, int64_t rows, int64_t inputs, const int16_t* panel, uint32_t* y, int64_t stride) {
#if defined(__x86_64__) && defined(__GNUC__)
    static const bool avx2 = __builtin_cpu_supports("avx2");
    if (avx2) return multiply_panel_on<WithAvx2>(x, rows, inputs, panel, y, stride);
#endif
    multiply_panel_on<AnyProcessor>(x, rows, inputs, panel, y, stride);
}

}  // namespace topgraft::winograd
