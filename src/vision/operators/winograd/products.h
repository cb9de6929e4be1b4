// The 36 matrices that tiles are transformed to, in whole numbers, and their products with kernels.
#pragma once

#include "int16.h"
#include "maps.h"
#include "share.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace topgraft::winograd {

constexpr int64_t kRun = 8;     // tiles that a thread transforms at a time, or rows of kernels
constexpr int64_t kPanels = 8;  // that a thread multiplies tiles by at a time

constexpr int64_t kBlock = int64_t{3} << 16;  // bytes of tiles that stay in a core's cache while panels pass by

// 36 matrices of `rows` x `channels`.
template <typename Number>
struct Products {
    at::Tensor numbers;
    Number* data;
    int64_t channels, stride;

    // `options` are those of tensors of such numbers.
    Products(int64_t rows, int64_t channels, const at::TensorOptions& options) : channels(channels) {
        // An odd number of the cache's lines apart: what belongs to one tile shares no place in it so.
        constexpr int64_t line = kLine * sizeof(float) / sizeof(Number);
        stride = ((rows * channels + line - 1) / line | 1) * line;
        numbers = at::empty({kProducts, stride}, options);
        data = static_cast<Number*>(numbers.mutable_data_ptr());
    }
    Number* matrix(int64_t k) const { return data + k * stride; }
    void places(int64_t row, Number** at) const {
        for (int64_t k = 0; k < kProducts; ++k) at[k] = matrix(k) + row * channels;
    }
};

// `rows` tiles by panels of kernels, `count` to a matrix, `inputs` x 16 numbers each: the 36 products of matrices.
inline void multiply(const Products<int16_t>& x, const int16_t* panels, int64_t count, int64_t rows, const Products<uint32_t>& y) {
    const int64_t inputs = x.channels, lines = kBlock / (inputs * static_cast<int64_t>(sizeof(int16_t)) * kTilesAtOnce);
    const int64_t block = std::max(lines, int64_t{1}) * kTilesAtOnce;
    share_out_runs(kProducts, count, kPanels, [&](int64_t k, int64_t begin, int64_t end) {
        for (int64_t row = 0; row < rows; row += block) {
            for (int64_t panel = begin; panel < end; ++panel) {
                multiply_panel(x.matrix(k) + row * inputs, std::min(block, rows - row), inputs,
                               panels + (k * count + panel) * inputs * kLine, y.matrix(k) + row * y.channels + panel * kLine, y.channels);
            }
        }
    });
}

}  // namespace topgraft::winograd
