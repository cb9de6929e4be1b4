// Vectors of channels, and for which processors what computes with them is compiled.
#pragma once

#include "../shim.h"

#include <cstdint>

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

}  // namespace topgraft::winograd
