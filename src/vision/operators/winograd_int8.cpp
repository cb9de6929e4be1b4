// Convolutions of 3 x 3 of uint8 steps with int8 kernels, stride 1, padding 1, by minimal filtering as in winograd.cpp, but exact: for
// processors whose instructions for 8 bits would overflow on the way (those without VNNI). Whole numbers have no fractions to lose:
//
// G' = diag(4, 6, 6, 24, 24, 1) G is whole, and so is A'^T = A^T diag(6, 4, 4, 1, 1, 24); with them
//
//     576 Y = A'^T [ (G' g G'^T) . (B^T d B) ] A'
//
// for kernels g of -127 to 127, which become at most 49 times as large, and tiles d of 0 to 255, which become at most 68 times so: both
// fit into 16 bits. Their products are summed modulo 2^32, which is as good as exact: 576 is 64 times 9, and 9 has an inverse modulo 2^32,
// so what is known in the end is 64 Y, without a doubt where Y fits into 26 bits. Whether it does follows from the kernels (`bounded`).
//
// Products of 16 bits and their sums take two thirds of the time that those in f32 take, and there are as few of them.
#include "winograd/products.h"
#include "winograd/whole.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <vector>

namespace {

using topgraft::computed;
using namespace topgraft::winograd;

constexpr int64_t kTaps = 9;                      // of a kernel
constexpr int64_t kScratch = int64_t{1} << 19;    // bytes of transformed tiles at a time, at least: a core's cache holds them
constexpr int64_t kStep = 255;                    // the largest
constexpr int64_t kSum = (int64_t{1} << 25) - 1;  // the largest that is told apart from others

// Whether no sum can be larger than what is told apart: of the kernel's numbers times steps, which are not negative.
void bounded(const int8_t* kernel, int64_t count) {
    int64_t above = 0, below = 0;
    for (int64_t i = 0; i < count; ++i) (kernel[i] > 0 ? above : below) += kernel[i];
    TORCH_CHECK(std::max(above, -below) * kStep <= kSum, "the kernel's sums may take more than 26 bits");
}

// A kernel's 36 numbers from its 9.
void spread_kernel_steps(const int8_t* g, int16_t* out) {
    std::array<std::array<int32_t, 3>, kReach> half{};
    for (int r = 0; r < kReach; ++r) {
        for (int c = 0; c < 3; ++c) {
            for (int i = 0; i < 3; ++i) half[r][c] += static_cast<int32_t>(kWholeFilter.at[r][i]) * g[i * 3 + c];
        }
    }
    for (int r = 0; r < kReach; ++r) {
        for (int s = 0; s < kReach; ++s) {
            int32_t sum = 0;
            for (int i = 0; i < 3; ++i) sum += static_cast<int32_t>(kWholeFilter.at[s][i]) * half[r][i];
            out[r * kReach + s] = static_cast<int16_t>(sum);
        }
    }
}

// G' g G'^T of kernels [outputs, inputs, 3, 3]: 36 matrices as panels [outputs / 16, inputs / 2, 16, 2].
at::Tensor panels(const at::Tensor& weight) {
    TORCH_CHECK(weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3 && weight.scalar_type() == at::kChar,
                "int8 kernels of 3 x 3 are expected");
    const int64_t outputs = weight.size(0), inputs = weight.size(1);
    TORCH_CHECK(outputs % kLine == 0 && inputs % kLine == 0, "channels come in runs of ", kLine, ", not ", outputs, " and ", inputs);
    const at::Tensor kernels = weight.contiguous();
    at::Tensor out = at::empty({kProducts, outputs / kLine, inputs / kPair, kLine * kPair}, weight.options().dtype(at::kShort));
    const int8_t* data = kernels.const_data_ptr<int8_t>();
    int16_t* to = out.mutable_data_ptr<int16_t>();
    share_out_runs(outputs, kRun, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) {
            bounded(data + o * inputs * kTaps, inputs * kTaps);
            for (int64_t i = 0; i < inputs; ++i) {
                std::array<int16_t, kProducts> numbers;
                spread_kernel_steps(data + (o * inputs + i) * kTaps, numbers.data());
                for (int64_t k = 0; k < kProducts; ++k) {
                    const int64_t pair = (k * (outputs / kLine) + o / kLine) * (inputs / kPair) + i / kPair;
                    to[(pair * kLine + o % kLine) * kPair + i % kPair] = numbers[k];
                }
            }
        }
    });
    return out;
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& kernels, const Rounding& rounding, bool pooled) {
    const int64_t outputs = kernels.size(1) * kLine, inputs = kernels.size(2) * kPair;
    const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t step = pooled ? 2 : 1;
    at::Tensor y = at::empty({x.size(0), outputs, x.size(2) / step, x.size(3) / step}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
    const Map<const uint8_t> from(input.const_data_ptr<uint8_t>(), input);
    Map<uint8_t> to(y.mutable_data_ptr<uint8_t>(), y);
    // Whole tiles of the input, also where pooling leaves none of the last.
    to.tile = kTile / step, to.rows = from.rows, to.columns = from.columns;
    const int64_t tiles = x.size(0) * from.rows * from.columns;
    const int64_t bytes = kProducts * (inputs * sizeof(int16_t) + outputs * sizeof(uint32_t));
    const int64_t lot = std::min(tiles, std::max((kScratch / bytes + kTilesAtOnce - 1) / kTilesAtOnce * kTilesAtOnce, outputs / 8));
    const auto options = x.options().memory_format(at::MemoryFormat::Contiguous);
    const Products<int16_t> spread(lot, inputs, options.dtype(at::kShort));
    const Products<uint32_t> results(lot, outputs, options.dtype(at::kInt));
    for (int64_t first = 0; first < tiles; first += lot) {
        const int64_t count = std::min(lot, tiles - first);
        share_out_runs(count, kRun, [&](int64_t begin, int64_t end) {
            const std::vector<uint8_t> zeros(inputs);
            std::array<const uint8_t*, kProducts> places;
            std::array<int16_t*, kProducts> into;
            for (int64_t tile = begin; tile < end; ++tile) {
                from.places(first + tile, kReach, 1, zeros.data(), places.data());
                spread.places(tile, into.data());
                spread_steps(places.data(), into.data(), inputs);
            }
        });
        multiply(spread, kernels.const_data_ptr<int16_t>(), outputs / kLine, count, results);
        share_out_runs(count, kRun, [&](int64_t begin, int64_t end) {
            std::vector<uint8_t> nowhere(outputs);
            std::array<uint32_t*, kProducts> places;
            std::array<uint8_t*, kTile * kTile> into;
            for (int64_t tile = begin; tile < end; ++tile) {
                results.places(tile, places.data());
                to.places(first + tile, to.tile, 0, nowhere.data(), into.data());
                (pooled ? collect_pooled : collect_steps)(places.data(), into.data(), outputs, rounding);
            }
        });
    }
    return y;
}

}  // namespace

extern "C" {

// int8 kernels [outputs, inputs, 3, 3] as `topgraft_winograd_int8_conv` takes them.
int topgraft_winograd_int8_kernels(const at::Tensor* weight, at::Tensor** out, char* message, size_t length) {
    return computed(out, message, length, [&] {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        return panels(*weight);
    });
}

// uint8 [N, C, H, W], best in channels-last memory, to uint8: convolution, bias, ReLU, rounding to steps of `out_scale`; with `pooled`
// also the maximum of 2 x 2. To the bit what `topgraft_int8_conv` answers where that doesn't overflow.
int topgraft_winograd_int8_conv(const at::Tensor* x, double x_scale, const at::Tensor* kernels, const at::Tensor* scales,
                                const at::Tensor* bias, double out_scale, int pooled, at::Tensor** out, char* message, size_t length) {
    return computed(out, message, length, [&] {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        TORCH_CHECK(kernels->dim() == 4 && kernels->size(0) == kProducts && kernels->size(3) == kLine * kPair &&
                        kernels->scalar_type() == at::kShort && kernels->is_contiguous(),
                    "panels of int8 kernels are expected");
        const int64_t outputs = kernels->size(1) * kLine, inputs = kernels->size(2) * kPair;
        TORCH_CHECK(x->dim() == 4 && x->scalar_type() == at::kByte && x->device().is_cpu() && x->size(1) == inputs, "uint8 maps of ", inputs,
                    " channels on a CPU are expected");
        for (const at::Tensor* numbers : {scales, bias}) {
            TORCH_CHECK(numbers->numel() == outputs && numbers->scalar_type() == at::kFloat && numbers->is_contiguous(),
                        "a scale and a bias for each of the outputs are expected");
        }
        const Rounding rounding{static_cast<float>(x_scale), scales->const_data_ptr<float>(), bias->const_data_ptr<float>(),
                                1.f / static_cast<float>(out_scale)};
        return convolution(*x, *kernels, rounding, pooled != 0);
    });
}

}
