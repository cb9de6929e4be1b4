// Vectors of channels, and for which processors what computes with them is compiled.
#pragma once

#include "../shim.h"

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

// Compiled with and without the instructions that multiply and add vectors of 8; which of the two runs is found out when the program is
// loaded.
#if defined(__x86_64__) && defined(__GNUC__)
#define WITH_FMA __attribute__((target_clones("fma", "default")))
#else
#define WITH_FMA
#endif

namespace topgraft::winograd {

constexpr int64_t kLanes = 8;  // channels in a vector
constexpr int64_t kLine = 16;  // floats in a line of the cache

// Tiles that are summed together: with the vectors of a line for each, what 16 registers hold.
constexpr int64_t kTilesAtOnce = 6;

// A vector; in memory it lies as floats do.
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias));

// The vectors of a line. A line is read and written as a whole, so that it passes between memory and cache once.
struct Line {
    Lanes left, right;

    INTO_EACH_VECTOR_WIDTH static Line of(const float* at) {
        const Lanes* lanes = reinterpret_cast<const Lanes*>(at);
        return {lanes[0], lanes[1]};
    }
    INTO_EACH_VECTOR_WIDTH void to(float* at) const {
        Lanes* lanes = reinterpret_cast<Lanes*>(at);
        lanes[0] = left;
        lanes[1] = right;
    }
    // To a line of memory without the cache, which would read it first: for what is more than the cache holds. `settle` comes after the
    // last of them.
    INTO_EACH_VECTOR_WIDTH void past_cache(float* at) const {
#if defined(__SSE__)
        typedef float Quarter __attribute__((vector_size(4 * sizeof(float))));
        _mm_stream_ps(at, Quarter{left[0], left[1], left[2], left[3]});
        _mm_stream_ps(at + 4, Quarter{left[4], left[5], left[6], left[7]});
        _mm_stream_ps(at + 8, Quarter{right[0], right[1], right[2], right[3]});
        _mm_stream_ps(at + 12, Quarter{right[4], right[5], right[6], right[7]});
#else
        to(at);
#endif
    }
    INTO_EACH_VECTOR_WIDTH Line& operator+=(const Line& other) {
        left += other.left;
        right += other.right;
        return *this;
    }
    INTO_EACH_VECTOR_WIDTH friend Line operator*(float factor, const Line& x) { return {factor * x.left, factor * x.right}; }
};

// Other threads see what was written past the cache.
inline void settle() {
#if defined(__SSE__)
    _mm_sfence();
#endif
}

}  // namespace topgraft::winograd
