// Convolutions of 3 x 3 in f32, stride 1, padding 1, by minimal filtering F(4 x 4, 3 x 3): Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks" (2015), https://arxiv.org/abs/1509.09308. A tile of 4 x 4 results takes 36 multiplications a pair of
// channels instead of 144, as 36 products of matrices; the rest is additions. Forward
//
//     Y = A^T [ (G g G^T) . (B^T d B) ] A + bias
//
// of tiles d of 6 x 6 numbers, which overlap by two, and kernels g; backward is the transpose of that.
//
// Products with kernels are computed here, since a library would lay 36 matrices of kernels out for itself in every call, which for one
// picture took a quarter of the time. Every sum is of one thread, so results don't depend on how many there are.
#include "winograd/multiply.h"
#include "winograd/products.h"
#include "winograd/transform.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <vector>

namespace {

using topgraft::computed;
using namespace topgraft::winograd;

constexpr int64_t kKernel = 3;                  // a kernel's side
constexpr int64_t kScratch = int64_t{1} << 20;  // bytes of tiles that are transformed at a time, at least

void check(const at::Tensor& x, int64_t channels) {
    TORCH_CHECK(x.dim() == 4 && x.scalar_type() == at::kFloat && x.device().is_cpu() && x.size(1) == channels,
                "f32 maps of ", channels, " channels on a CPU are expected");
    TORCH_CHECK(channels % kLine == 0, "channels come in runs of ", kLine, ", not ", channels);
}

// G g G^T of kernels [A, B, 3, 3]: 36 matrices that take A numbers to B, each as panels [B / 16, A, 16].
at::Tensor panels(const at::Tensor& weight) {
    TORCH_CHECK(weight.dim() == 4 && weight.size(2) == kKernel && weight.size(3) == kKernel, "kernels of 3 x 3 are expected");
    check(weight, weight.size(1));
    TORCH_CHECK(weight.size(0) % kLine == 0, "channels come in runs of ", kLine, ", not ", weight.size(0));
    const int64_t taken = weight.size(0), given = weight.size(1);
    const at::Tensor kernels = weight.contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor out = at::empty({kProducts, given / kLine, taken, kLine}, weight.options().memory_format(at::MemoryFormat::Contiguous));
    const float* data = kernels.const_data_ptr<float>();
    float* to = out.mutable_data_ptr<float>();
    share_out_runs(taken, kRun, [&](int64_t begin, int64_t end) {
        std::array<const float*, kKernel * kKernel> from;
        std::array<float*, kProducts> into;
        for (int64_t row = begin; row < end; ++row) {
            for (int64_t panel = 0; panel < given / kLine; ++panel) {
                for (size_t k = 0; k < from.size(); ++k) from[k] = data + (row * from.size() + k) * given + panel * kLine;
                for (size_t k = 0; k < into.size(); ++k) into[k] = to + ((k * (given / kLine) + panel) * taken + row) * kLine;
                spread_kernel(from.data(), into.data(), kLine);
            }
        }
    });
    return out;
}

// Gradients of kernels from those of their 36 matrices.
at::Tensor kernel_gradient(const at::Tensor& products, const at::Tensor& like) {
    const int64_t outputs = products.size(1), inputs = products.size(2);
    at::Tensor out = at::empty_like(like, like.options().memory_format(at::MemoryFormat::ChannelsLast));
    const float* data = products.const_data_ptr<float>();
    float* to = out.mutable_data_ptr<float>();
    share_out_runs(outputs, kRun, [&](int64_t begin, int64_t end) {
        std::array<const float*, kProducts> from;
        std::array<float*, kKernel * kKernel> into;
        for (int64_t o = begin; o < end; ++o) {
            for (size_t k = 0; k < from.size(); ++k) from[k] = data + (k * outputs + o) * inputs;
            for (size_t k = 0; k < into.size(); ++k) into[k] = to + (o * into.size() + k) * inputs;
            collect_kernel(from.data(), into.data(), inputs);
        }
    });
    return out;
}

// Tiles that are computed at a time: what a core's cache holds of them, but enough that reading the kernels anew for each lot costs little.
int64_t lot(int64_t tiles, int64_t channels, int64_t enough) {
    return std::min(tiles, std::max(kScratch / (kProducts * channels * static_cast<int64_t>(sizeof(float))), enough));
}

void spread(const Map<const float>& map, int64_t side, int64_t before, int64_t first, int64_t count, const Products<float>& to) {
    share_out_runs(count, kRun, [&](int64_t begin, int64_t end) {
        const std::vector<float> zeros(map.channels);
        std::array<const float*, kProducts> from;
        std::array<float*, kProducts> into;
        for (int64_t tile = begin; tile < end; ++tile) {
            map.places(first + tile, side, before, zeros.data(), from.data());
            to.places(tile, into.data());
            side == kReach ? spread_input(from.data(), into.data(), map.channels) : spread_gradient(from.data(), into.data(), map.channels);
        }
    });
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& kernels, const at::Tensor& bias) {
    TORCH_CHECK(kernels.dim() == 4 && kernels.size(0) == kProducts && kernels.size(3) == kLine, "panels of kernels are expected");
    const int64_t outputs = kernels.size(1) * kLine, inputs = kernels.size(2);
    check(x, inputs);
    TORCH_CHECK(bias.numel() == outputs && bias.scalar_type() == at::kFloat && bias.is_contiguous(), "a bias for each of the outputs is expected");
    const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor y = at::empty({x.size(0), outputs, x.size(2), x.size(3)}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
    const Map<const float> from(input.const_data_ptr<float>(), input);
    const Map<float> to(y.mutable_data_ptr<float>(), y);
    const int64_t tiles = x.size(0) * from.rows * from.columns, size = lot(tiles, inputs, outputs / 4);
    const auto options = x.options().memory_format(at::MemoryFormat::Contiguous);
    const Products<float> spread_out(size, inputs, options), results(size, outputs, options);
    for (int64_t first = 0; first < tiles; first += size) {
        const int64_t count = std::min(size, tiles - first);
        spread(from, kReach, 1, first, count, spread_out);
        multiply(spread_out, kernels.const_data_ptr<float>(), outputs / kLine, count, results, multiply_panel);
        share_out_runs(count, kRun, [&](int64_t begin, int64_t end) {
            std::vector<float> nowhere(outputs);
            std::array<float*, kProducts> places;
            std::array<float*, kTile * kTile> into;
            for (int64_t tile = begin; tile < end; ++tile) {
                results.places(tile, places.data());
                to.places(first + tile, kTile, 0, nowhere.data(), into.data());
                collect_result(places.data(), into.data(), outputs, bias.const_data_ptr<float>());
            }
        });
    }
    return y;
}

// Gradients of the input and of the kernels; of the input only if they are wanted.
std::pair<at::Tensor, at::Tensor> gradients(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight, bool of_input) {
    const int64_t outputs = weight.size(0), inputs = weight.size(1);
    const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast), dy = gradient.contiguous(at::MemoryFormat::ChannelsLast);
    const auto options = x.options().memory_format(at::MemoryFormat::Contiguous);
    at::Tensor dx, back;
    if (of_input) {
        dx = at::empty(x.sizes(), x.options().memory_format(at::MemoryFormat::ChannelsLast)).zero_();
        back = panels(weight);
    }
    at::Tensor dkernels = at::empty({kProducts, outputs, inputs}, options);
    const Map<const float> from(input.const_data_ptr<float>(), input), down(dy.const_data_ptr<float>(), dy);
    const int64_t tiles = x.size(0) * from.rows * from.columns, size = lot(tiles, inputs, outputs);
    const Products<float> spread_out(size, inputs, options), results(size, outputs, options);
    for (int64_t first = 0; first < tiles; first += size) {
        const int64_t count = std::min(size, tiles - first);
        spread(down, kTile, 0, first, count, results);
        spread(from, kReach, 1, first, count, spread_out);
        share_out(kProducts, [&](int64_t k) {
            at::AutoDispatchBelowADInplaceOrView no_grad;
            at::Tensor sum = dkernels.select(0, k);
            at::addmm_out(sum, sum, results.tensor(k, count).t(), spread_out.tensor(k, count), first > 0 ? 1 : 0);
        });
        if (!of_input) continue;
        multiply(results, back.const_data_ptr<float>(), inputs / kLine, count, spread_out, multiply_panel);
        // Tiles overlap, so threads share channels out among them.
        const Map<float> up(dx.mutable_data_ptr<float>(), dx);
        share_out_runs(inputs / kLanes, kLanes, [&](int64_t begin, int64_t end) {
            std::vector<float> nowhere(inputs);
            std::array<float*, kProducts> places, into;
            for (int64_t tile = 0; tile < count; ++tile) {
                spread_out.places(tile, places.data());
                up.places(first + tile, kReach, 1, nowhere.data(), into.data());
                for (int64_t k = 0; k < kProducts; ++k) {
                    places[k] += begin * kLanes;
                    into[k] += begin * kLanes;
                }
                collect_input(places.data(), into.data(), (end - begin) * kLanes);
            }
        });
    }
    return {dx, kernel_gradient(dkernels, weight)};
}

struct Learning : torch::autograd::Function<Learning> {
    static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        ctx->save_for_backward({x, weight});
        return convolution(x, panels(weight.transpose(0, 1)), bias);
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
        return panels(weight->transpose(0, 1));
    });
}

// [N, C, H, W], best in channels-last memory, and kernels that were transformed before. No gradients.
int topgraft_winograd_conv(const at::Tensor* x, const at::Tensor* kernels, const at::Tensor* bias, at::Tensor** out, char* message,
                           size_t length) {
    return computed(out, message, length, [&] {
        at::AutoDispatchBelowADInplaceOrView no_grad;
        return convolution(*x, *kernels, *bias);
    });
}

// The same with kernels as they are, and with gradients.
int topgraft_winograd_learning(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, at::Tensor** out, char* message,
                               size_t length) {
    return computed(out, message, length, [&] { return Learning::apply(*x, *weight, *bias); });
}

}
