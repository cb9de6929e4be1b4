// Where tiles lie in maps.
#pragma once

#include "lanes.h"

#include <ATen/core/Tensor.h>

namespace topgraft::winograd {

constexpr int64_t kTile = 4;           // side of a tile of results
constexpr int64_t kReach = kTile + 2;  // side of what a tile is computed from
constexpr int64_t kProducts = kReach * kReach;

// A map's numbers, [N, H, W, C], and the tiles that it is covered with.
template <typename Number>
struct Map {
    Number* data;
    int64_t height, width, channels;
    int64_t tile = kTile;  // the side of one
    int64_t rows, columns;

    Map(Number* data, const at::Tensor& x)
        : data(data), height(x.size(2)), width(x.size(3)), channels(x.size(1)), rows((height + kTile - 1) / kTile),
          columns((width + kTile - 1) / kTile) {}

    // Where a tile's numbers lie, `side` x `side` from `before` rows and columns before its own; `outside` for those beyond the edge.
    void places(int64_t place, int64_t side, int64_t before, Number* outside, Number** at) const {
        const int64_t picture = place / (rows * columns);
        const int64_t top = place / columns % rows * tile - before;
        const int64_t left = place % columns * tile - before;
        for (int64_t y = top; y < top + side; ++y) {
            for (int64_t x = left; x < left + side; ++x) {
                const bool inside = y >= 0 && y < height && x >= 0 && x < width;
                *at++ = inside ? data + ((picture * height + y) * width + x) * channels : outside;
            }
        }
    }
};

}  // namespace topgraft::winograd
