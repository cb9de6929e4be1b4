// Products of tiles with panels of kernels: 16 outputs side by side, so that a panel is read from its beginning to its end.
#pragma once

#include "lanes.h"

#include <algorithm>

namespace topgraft::winograd {

constexpr int64_t kDepth = 256;  // inputs that are summed at a time: a panel of them is half of the smallest cache

// `ROWS` x `depth` numbers, rows `inputs` apart, times a panel of kernels, `depth` x 16; to y, or added to it.
template <int ROWS>
INTO_EACH_VECTOR_WIDTH void multiply_rows(const float* x, int64_t inputs, const float* panel, int64_t depth, bool add, float* y,
                                          int64_t stride) {
    Lanes sums[ROWS][2] = {};
    for (int64_t i = 0; i < depth; ++i) {
        const Lanes* kernels = reinterpret_cast<const Lanes*>(panel + i * kLine);
        const Lanes left = kernels[0], right = kernels[1];
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; ++r) {
            sums[r][0] += x[r * inputs + i] * left;
            sums[r][1] += x[r * inputs + i] * right;
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; ++r) {
        Lanes* to = reinterpret_cast<Lanes*>(y + r * stride);
        to[0] = add ? to[0] + sums[r][0] : sums[r][0];
        to[1] = add ? to[1] + sums[r][1] : sums[r][1];
    }
}

WITH_FMA inline void multiply_panel(const float* x, int64_t rows, int64_t inputs, const float* panel, float* y, int64_t stride) {
    for (int64_t first = 0; first < inputs; first += kDepth) {
        const int64_t depth = std::min(kDepth, inputs - first);
        const bool add = first > 0;
        const float *from = x + first, *kernels = panel + first * kLine;
        float* to = y;
        int64_t left = rows;
        for (; left >= kTilesAtOnce; left -= kTilesAtOnce, from += kTilesAtOnce * inputs, to += kTilesAtOnce * stride) {
            multiply_rows<kTilesAtOnce>(from, inputs, kernels, depth, add, to, stride);
        }
        switch (left) {
            case 5: multiply_rows<5>(from, inputs, kernels, depth, add, to, stride); break;
            case 4: multiply_rows<4>(from, inputs, kernels, depth, add, to, stride); break;
            case 3: multiply_rows<3>(from, inputs, kernels, depth, add, to, stride); break;
            case 2: multiply_rows<2>(from, inputs, kernels, depth, add, to, stride); break;
            case 1: multiply_rows<1>(from, inputs, kernels, depth, add, to, stride); break;
        }
    }
}

}  // namespace topgraft::winograd
