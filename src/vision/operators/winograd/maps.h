// Where tiles lie: in maps, and in the 36 matrices that they are transformed to.
#pragma once

#include "lanes.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

namespace topgraft::winograd {

constexpr int64_t kTile = 4;           // side of a tile of results
constexpr int64_t kReach = kTile + 2;  // side of what a tile is computed from
constexpr int64_t kProducts = kReach * kReach;

// A map's numbers, [N, H, W, C], and the tiles that it is covered with.
template <typename Float>
struct Map {
    Float* data;
    int64_t height, width, channels;

    Map(Float* data, const at::Tensor& x) : data(data), height(x.size(2)), width(x.size(3)), channels(x.size(1)) {}

    int64_t rows() const { return (height + kTile - 1) / kTile; }
    int64_t columns() const { return (width + kTile - 1) / kTile; }

    // Where a tile's numbers lie, `side` x `side` from `before` rows and columns before its own; `outside` for those beyond the edge.
    void places(int64_t tile, int64_t side, int64_t before, Float* outside, Float** at) const {
        const int64_t picture = tile / (rows() * columns());
        const int64_t top = tile / columns() % rows() * kTile - before;
        const int64_t left = tile % columns() * kTile - before;
        for (int64_t y = top; y < top + side; ++y) {
            for (int64_t x = left; x < left + side; ++x) {
                const bool inside = y >= 0 && y < height && x >= 0 && x < width;
                *at++ = inside ? data + ((picture * height + y) * width + x) * channels : outside;
            }
        }
    }
};

// 36 matrices of `rows` x `channels`.
struct Products {
    at::Tensor numbers;
    float* data;
    int64_t channels, stride;

    Products(int64_t rows, int64_t channels, const at::TensorOptions& options) : channels(channels) {
        // An odd number of the cache's lines apart: what belongs to one tile shares no place in it so.
        stride = (rows * channels / kLine | 1) * kLine;
        numbers = at::empty({kProducts, stride}, options);
        data = numbers.mutable_data_ptr<float>();
    }
    float* matrix(int64_t k) const { return data + k * stride; }
    at::Tensor tensor(int64_t k, int64_t rows) const { return numbers.select(0, k).narrow(0, 0, rows * channels).view({rows, channels}); }
    void places(int64_t row, float** at) const {
        for (int64_t k = 0; k < kProducts; ++k) at[k] = matrix(k) + row * channels;
    }
};

}  // namespace topgraft::winograd
