// Convolutions of 3 x 3 in f32, stride 1, padding 1, by minimal filtering F(4 x 4, 3 x 3): Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks" (2015), https://arxiv.org/abs/1509.09308. A tile of 4 x 4 results takes 36 multiplications a pair of
// channels instead of 144, as 36 products of matrices; the rest is additions. Forward
//
//     Y = A^T [ (G g G^T) . (B^T d B) ] A + bias
//
// of tiles d of 6 x 6 numbers, which overlap by two, and kernels g; backward is the transpose of that.
//
// Products are computed here, since a library would lay 36 matrices out for itself in every call, which for one picture took a quarter of
// the time. Every sum is of one thread, so results don't depend on how many there are.
#include "winograd/panels.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace {

using topgraft::computed;
using namespace topgraft::winograd;

constexpr int64_t kKernel = 3;                  // a kernel's side
constexpr int64_t kTaps = kKernel * kKernel;      // its numbers
constexpr int64_t kScratch = int64_t{1} << 20;  // bytes of tiles that are transformed at a time, at least
constexpr int64_t kRun = 16;                    // tiles that a thread transforms at a time
constexpr int64_t kKernels = 64;                // kernels that it does at a time

void check(const at::Tensor& x, int64_t channels) {
    TORCH_CHECK(x.dim() == 4 && x.scalar_type() == at::kFloat && x.device().is_cpu() && x.size(1) == channels,
                "f32 maps of ", channels, " channels on a CPU are expected");
    TORCH_CHECK(channels % kLine == 0, "channels come in runs of ", kLine, ", not ", channels);
}

void check_kernels(const at::Tensor& weight) {
    TORCH_CHECK(weight.dim() == 4 && weight.size(2) == kKernel && weight.size(3) == kKernel, "kernels of 3 x 3 are expected");
    check(weight, weight.size(1));
    TORCH_CHECK(weight.size(0) % kLine == 0, "channels come in runs of ", kLine, ", not ", weight.size(0));
}

// G g G^T of kernels [outputs, inputs, 3, 3]: 36 matrices that take outputs back to inputs.
Panels kernels_back(const at::Tensor& weight) {
    check_kernels(weight);
    const int64_t outputs = weight.size(0), inputs = weight.size(1);
    const at::Tensor kernels = weight.contiguous(at::MemoryFormat::ChannelsLast);
    const Panels out(outputs, inputs, weight.options());
    const float* data = kernels.const_data_ptr<float>();
    share_out_runs(inputs / kLine, outputs, kKernels, [&](int64_t panel, int64_t begin, int64_t end) {
        spread_kernel(end - begin, {data + begin * kTaps * inputs + panel * kLine, kTaps * inputs, inputs}, out.lines(panel, begin));
    });
    return out;
}

// The same, which take inputs to outputs.
Panels kernels_forward(const at::Tensor& weight) {
    check_kernels(weight);
    const int64_t outputs = weight.size(0), inputs = weight.size(1);
    const at::Tensor kernels = weight.contiguous(at::MemoryFormat::ChannelsLast);
    const Panels out(inputs, outputs, weight.options());
    const float* data = kernels.const_data_ptr<float>();
    share_out_runs(outputs / kLine, inputs, kLine, [&](int64_t panel, int64_t begin, int64_t) {
        // The kernels of 16 inputs and 16 outputs, a line for each input and place.
        std::array<float, kLine * kTaps * kLine> square;
        for (int64_t o = 0; o < kLine; ++o) {
            for (int64_t tap = 0; tap < kTaps; ++tap) {
                const float* from = data + ((panel * kLine + o) * kTaps + tap) * inputs + begin;
                for (int64_t i = 0; i < kLine; ++i) square[(i * kTaps + tap) * kLine + o] = from[i];
            }
        }
        spread_kernel(kLine, {square.data(), kTaps * kLine, kLine}, out.lines(panel, begin));
    });
    return out;
}

// Gradients of kernels like `weight` from those of their 36 matrices.
at::Tensor kernel_gradient(const Panels& sums, const at::Tensor& weight) {
    const int64_t outputs = sums.rows, inputs = sums.channels;
    at::Tensor out = at::empty_like(weight, weight.options().memory_format(at::MemoryFormat::ChannelsLast));
    float* to = out.mutable_data_ptr<float>();
    share_out_runs(inputs / kLine, outputs, kKernels, [&](int64_t panel, int64_t begin, int64_t end) {
        collect_kernel(end - begin, sums.results(panel, begin), {to + begin * kTaps * inputs + panel * kLine, kTaps * inputs, inputs});
    });
    return out;
}

// Tiles that are computed at a time: what a core's cache holds of them, but enough that reading the kernels anew for each lot costs little.
int64_t lot(int64_t tiles, int64_t channels, int64_t enough) {
    return std::min(tiles, std::max(kScratch / (kProducts * channels * static_cast<int64_t>(sizeof(float))), enough));
}

// Where the numbers of tiles lie, SIDE x SIDE each; `outside` for those beyond the edge.
template <int SIDE, typename Number>
std::vector<Number*> places(const Map<Number>& map, int64_t before, int64_t first, int64_t count, Number* outside) {
    std::vector<Number*> at(count * SIDE * SIDE);
    for (int64_t n = 0; n < count; ++n) map.places(first + n, SIDE, before, outside, at.data() + n * SIDE * SIDE);
    return at;
}

// Tiles from `first` on of SIDE x SIDE numbers to rows of `to`.
template <int SIDE, typename Spread>
void spread(const Map<const float>& map, int64_t before, int64_t first, int64_t count, const Panels& to, Spread each) {
    share_out_runs(count, kRun, [&](int64_t begin, int64_t end) {
        const std::vector<float> zeros(map.channels);
        const auto from = places<SIDE>(map, before, first + begin, end - begin, zeros.data());
        for (int64_t panel = 0; panel < map.channels / kLine; ++panel) {
            each(end - begin, Tiles<const float, SIDE>{from.data(), panel * kLine}, to.lines(panel, begin));
        }
    });
}

at::Tensor convolution(const at::Tensor& x, const Panels& kernels, const at::Tensor& bias) {
    const int64_t outputs = kernels.channels, inputs = kernels.rows;
    check(x, inputs);
    TORCH_CHECK(bias.numel() == outputs && bias.scalar_type() == at::kFloat && bias.is_contiguous(), "a bias for each of the outputs is expected");
    const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor y = at::empty({x.size(0), outputs, x.size(2), x.size(3)}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
    const Map<const float> from(input.const_data_ptr<float>(), input);
    const Map<float> to(y.mutable_data_ptr<float>(), y);
    const int64_t tiles = x.size(0) * from.rows * from.columns, size = lot(tiles, inputs, outputs);
    const Panels spread_out(size, inputs, x.options()), results(size, outputs, x.options());
    for (int64_t first = 0; first < tiles; first += size) {
        const int64_t count = std::min(size, tiles - first);
        spread<kReach>(from, 1, first, count, spread_out, spread_input);
        multiply(spread_out, kernels, count, results);
        share_out_runs(count, kRun, [&](int64_t begin, int64_t end) {
            std::vector<float> nowhere(outputs);
            const auto into = places<kTile>(to, 0, first + begin, end - begin, nowhere.data());
            for (int64_t panel = 0; panel < outputs / kLine; ++panel) {
                collect_result(end - begin, results.results(panel, begin), {into.data(), panel * kLine}, bias.const_data_ptr<float>());
            }
        });
    }
    return y;
}

// Gradients of the input and of the kernels; of the input only if they are wanted.
std::pair<at::Tensor, at::Tensor> gradients(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight, bool of_input) {
    const int64_t outputs = weight.size(0), inputs = weight.size(1);
    const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast), dy = gradient.contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor dx;
    if (of_input) dx = at::empty(x.sizes(), x.options().memory_format(at::MemoryFormat::ChannelsLast)).zero_();
    const Panels sums(outputs, inputs, x.options());
    const Map<const float> from(input.const_data_ptr<float>(), input), down(dy.const_data_ptr<float>(), dy);
    const int64_t tiles = x.size(0) * from.rows * from.columns, size = lot(tiles, inputs, outputs);
    const Panels spread_out(size, inputs, x.options()), results(size, outputs, x.options());
    std::optional<Panels> back;
    if (of_input) back.emplace(kernels_back(weight));
    for (int64_t first = 0; first < tiles; first += size) {
        const int64_t count = std::min(size, tiles - first);
        spread<kTile>(down, 0, first, count, results, spread_gradient);
        spread<kReach>(from, 1, first, count, spread_out, spread_input);
        multiply_transposed(results, spread_out, count, first > 0, sums);
        if (!of_input) continue;
        multiply(results, *back, count, spread_out);
        // Tiles overlap, so threads share channels out among them.
        const Map<float> up(dx.mutable_data_ptr<float>(), dx);
        share_out(inputs / kLine, [&](int64_t panel) {
            std::vector<float> nowhere(inputs);
            for (int64_t run = 0; run < count; run += kRun) {
                const int64_t tiles = std::min(kRun, count - run);
                const auto into = places<kReach>(up, 1, first + run, tiles, nowhere.data());
                collect_input(tiles, spread_out.results(panel, run), {into.data(), panel * kLine});
            }
        });
    }
    return {dx, kernel_gradient(sums, weight)};
}

struct Learning : torch::autograd::Function<Learning> {
    static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        ctx->save_for_backward({x, weight});
        return convolution(x, kernels_forward(weight), bias);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list outputs) {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        const auto saved = ctx->get_saved_variables();
        auto [dx, dweight] = gradients(outputs[0], saved[0], saved[1], ctx->needs_input_grad(0));
        return {dx, dweight, outputs[0].sum({0, 2, 3})};
    }
};

}  // namespace

extern "C" {

// Kernels [outputs, inputs, 3, 3] as `topgraft_winograd_conv` takes them.
int topgraft_winograd_kernels(const at::Tensor* weight, at::Tensor** out, char* message, size_t length) {
    return computed(out, message, length, [&] {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        return kernels_forward(*weight).numbers;
    });
}

// [N, C, H, W], best in channels-last memory, and kernels that were transformed before. No gradients.
int topgraft_winograd_conv(const at::Tensor* x, const at::Tensor* kernels, const at::Tensor* bias, at::Tensor** out, char* message,
                           size_t length) {
    return computed(out, message, length, [&] {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        return convolution(*x, Panels(*kernels), *bias);
    });
}

// The same with kernels as they are, and with gradients.
int topgraft_winograd_learning(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, at::Tensor** out, char* message,
                               size_t length) {
    return computed(out, message, length, [&] { return Learning::apply(*x, *weight, *bias); });
}

}
