// The 36 matrices that tiles are transformed to, and their products with kernels.
#pragma once

#include "maps.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>

namespace topgraft::winograd {

// Calls `act` with each number below `count` once, on all threads: whoever is free takes the next, since processors of a machine that is
// shared are not always equally fast.
template <typename Act>
void share_out(int64_t count, Act act) {
    std::atomic<int64_t> taken{0};
    at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
        for (int64_t n; (n = taken.fetch_add(1, std::memory_order_relaxed)) < count;) act(n);
    });
}

// The same, a run of up to `size` numbers at a time: `act` takes the first and the one after the last.
template <typename Act>
void share_out_runs(int64_t count, int64_t size, Act act) {
    share_out((count + size - 1) / size, [&](int64_t n) { act(n * size, std::min((n + 1) * size, count)); });
}

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
    at::Tensor tensor(int64_t k, int64_t rows) const { return numbers.select(0, k).narrow(0, 0, rows * channels).view({rows, channels}); }
    void places(int64_t row, Number** at) const {
        for (int64_t k = 0; k < kProducts; ++k) at[k] = matrix(k) + row * channels;
    }
};

// `rows` tiles by panels of kernels, `count` to a matrix, `inputs` x 16 numbers each: the 36 products of matrices.
// `product` multiplies tiles by one panel.
template <typename Number, typename Sum>
void multiply(const Products<Number>& x, const Number* panels, int64_t count, int64_t rows, const Products<Sum>& y,
              void (*product)(const Number*, int64_t, int64_t, const Number*, Sum*, int64_t)) {
    const int64_t inputs = x.channels, lines = kBlock / (inputs * static_cast<int64_t>(sizeof(Number)) * kTilesAtOnce);
    const int64_t block = std::max(lines, int64_t{1}) * kTilesAtOnce;
    const int64_t groups = (count + kPanels - 1) / kPanels;
    share_out(kProducts * groups, [&](int64_t n) {
        const int64_t k = n / groups, begin = n % groups * kPanels, end = std::min(begin + kPanels, count);
        for (int64_t row = 0; row < rows; row += block) {
            for (int64_t panel = begin; panel < end; ++panel) {
                product(x.matrix(k) + row * inputs, std::min(block, rows - row), inputs, panels + (k * count + panel) * inputs * kLine,
                        y.matrix(k) + row * y.channels + panel * kLine, y.channels);
            }
        }
    });
}

}  // namespace topgraft::winograd
