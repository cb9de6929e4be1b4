// Products of lines: sums of numbers times lines, which lie side by side so that they are read from their beginning to their end.
#pragma once

#include "lanes.h"

#include <algorithm>

namespace topgraft::winograd {

constexpr int64_t kDepth = 256;  // lines that are summed at a time: half of the smallest cache

// How factors lie, in squares of 16 x 16, `apart` from each other: those of a sum side by side, or those of a line.
enum class Factors { kOfSums, kOfLines };

// `ROWS` sums of `depth` lines, each line with a factor a sum; to y, or added to it.
template <Factors FACTORS, int ROWS>
INTO_EACH_VECTOR_WIDTH void multiply_rows(const float* x, int64_t apart, const float* lines, int64_t depth, bool add, float* y) {
    Lanes sums[ROWS][2] = {};
    for (int64_t square = 0; square < depth; square += kLine, x += apart) {
        const int64_t count = std::min(kLine, depth - square);
        for (int64_t i = 0; i < count; ++i, lines += kLine) {
            const Lanes* line = reinterpret_cast<const Lanes*>(lines);
            const Lanes left = line[0], right = line[1];
#pragma GCC unroll 6
            for (int r = 0; r < ROWS; ++r) {
                const float factor = FACTORS == Factors::kOfSums ? x[r * kLine + i] : x[i * kLine + r];
                sums[r][0] += factor * left;
                sums[r][1] += factor * right;
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; ++r) {
        Lanes* to = reinterpret_cast<Lanes*>(y + r * kLine);
        to[0] = add ? to[0] + sums[r][0] : sums[r][0];
        to[1] = add ? to[1] + sums[r][1] : sums[r][1];
    }
}

template <Factors FACTORS>
INTO_EACH_VECTOR_WIDTH void multiply(const float* x, int64_t apart, int64_t rows, const float* lines, int64_t depth, bool add, float* y) {
    constexpr int64_t next = FACTORS == Factors::kOfSums ? kLine : 1;
    for (; rows >= kTilesAtOnce; rows -= kTilesAtOnce, x += kTilesAtOnce * next, y += kTilesAtOnce * kLine) {
        multiply_rows<FACTORS, kTilesAtOnce>(x, apart, lines, depth, add, y);
    }
    switch (rows) {
        case 5: multiply_rows<FACTORS, 5>(x, apart, lines, depth, add, y); break;
        case 4: multiply_rows<FACTORS, 4>(x, apart, lines, depth, add, y); break;
        case 3: multiply_rows<FACTORS, 3>(x, apart, lines, depth, add, y); break;
        case 2: multiply_rows<FACTORS, 2>(x, apart, lines, depth, add, y); break;
        case 1: multiply_rows<FACTORS, 1>(x, apart, lines, depth, add, y); break;
    }
}

WITH_FMA inline void multiply_tiles(const float* x, int64_t apart, int64_t rows, const float* lines, int64_t depth, bool add, float* y) {
    multiply<Factors::kOfSums>(x, apart, rows, lines, depth, add, y);
}
WITH_FMA inline void multiply_gradients(const float* x, int64_t apart, const float* lines, int64_t depth, bool add, float* y) {
    multiply<Factors::kOfLines>(x, apart, kLine, lines, depth, add, y);
}

}  // namespace topgraft::winograd
