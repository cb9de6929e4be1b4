// The 36 matrices that tiles and kernels are transformed to, in f32, and their products.
#pragma once

#include "maps.h"
#include "multiply.h"
#include "share.h"
#include "transform.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>

namespace topgraft::winograd {

// 36 matrices of `rows` x `channels`, each as panels of 16 channels: [channels / 16, rows, 16]. Whether rows or channels are what is
// summed, a product reads lines of the cache one after the other.
struct Panels {
    at::Tensor numbers;  // [36, channels / 16, rows, 16]
    float* data;
    int64_t channels, rows, apart;

    Panels(int64_t rows, int64_t channels, const at::TensorOptions& options) : Panels(empty(rows, channels, options)) {}
    explicit Panels(const at::Tensor& numbers) : numbers(numbers) {
        TORCH_CHECK(numbers.dim() == 4 && numbers.size(0) == kProducts && numbers.size(3) == kLine && numbers.scalar_type() == at::kFloat &&
                        numbers.select(0, 0).is_contiguous(),
                    "panels of kernels are expected");
        data = numbers.mutable_data_ptr<float>();
        channels = numbers.size(1) * kLine, rows = numbers.size(2), apart = numbers.stride(0);
    }

    float* at(int64_t k, int64_t panel, int64_t row) const { return data + k * apart + (panel * rows + row) * kLine; }
    // Lines of a panel from `row` on, of all matrices.
    Matrices<float> lines(int64_t panel, int64_t row) const { return {at(0, panel, row), apart}; }
    Matrices<const float> results(int64_t panel, int64_t row) const { return {at(0, panel, row), apart}; }

private:
    static at::Tensor empty(int64_t rows, int64_t channels, const at::TensorOptions& options) {
        // An odd number of the cache's lines apart: what belongs to one row shares no place in it so.
        const int64_t numbers = rows * channels, apart = (numbers / kLine | 1) * kLine;
        const at::Tensor all = at::empty({kProducts, apart}, options.memory_format(at::MemoryFormat::Contiguous));
        return all.narrow(1, 0, numbers).view({kProducts, channels / kLine, rows, kLine});
    }
};

constexpr int64_t kRowsAtOnce = 16 * kTilesAtOnce;  // tiles that stay in a core's cache while panels pass by
constexpr int64_t kPanelsAtOnce = 8;                // of results, that a thread computes at a time

// The 36 products of `tiles` tiles x with kernels.
inline void multiply(const Panels& x, const Panels& kernels, int64_t tiles, const Panels& y) {
    const int64_t inputs = kernels.rows;
    share_out_runs(kProducts, y.channels / kLine, kPanelsAtOnce, [&](int64_t k, int64_t begin, int64_t end) {
        for (int64_t row = 0; row < tiles; row += kRowsAtOnce) {
            const int64_t rows = std::min(kRowsAtOnce, tiles - row);
            for (int64_t panel = begin; panel < end; ++panel) {
                for (int64_t first = 0; first < inputs; first += kDepth) {
                    multiply_tiles(x.at(k, first / kLine, row), x.rows * kLine, rows, kernels.at(k, panel, first),
                                   std::min(kDepth, inputs - first), first > 0, y.at(k, panel, row));
                }
            }
        }
    });
}

// The 36 products of gradients, transposed, with tiles x, of `tiles` tiles: a row of `sums` for each of the gradients' channels. To
// `sums`, or added to them.
inline void multiply_transposed(const Panels& gradients, const Panels& x, int64_t tiles, bool add, const Panels& sums) {
    share_out_runs(kProducts, gradients.channels / kLine, kPanelsAtOnce, [&](int64_t k, int64_t begin, int64_t end) {
        for (int64_t first = 0; first < tiles; first += kDepth) {
            const int64_t depth = std::min(kDepth, tiles - first);
            for (int64_t panel = 0; panel < x.channels / kLine; ++panel) {
                for (int64_t rows = begin; rows < end; ++rows) {
                    multiply_gradients(gradients.at(k, rows, first), kLine * kLine, x.at(k, panel, first), depth, add || first > 0,
                                       sums.at(k, panel, rows * kLine));
                }
            }
        }
    });
}

}  // namespace topgraft::winograd
