// Operators of libtorch that its Rust binding doesn't have, through its dispatcher: oneDNN's convolution with weights in its own
// layout, and in 8 bits with fused ReLU and requantisation, the packing of 8-bit weights, max pooling of 8-bit maps, and Adam's step in
// one pass. And one that libtorch itself lacks: floating point numbers clipped and cut off to uint8 in one pass.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace {

using topgraft::computed;
using topgraft::guarded;

// Every convolution of VGG16 has stride 1, padding 1, dilation 1, one group; every pooling is 2 x 2 with stride 2.
c10::List<int64_t> pair(int64_t n) { return c10::List<int64_t>({n, n}); }

const c10::OperatorHandle& op(const char* name) {
    // Throws when this libtorch hasn't the operator, which the caller reports.
    static thread_local std::unordered_map<std::string, c10::OperatorHandle> known;
    auto found = known.find(name);
    if (found == known.end()) {
        found = known.emplace(name, c10::Dispatcher::singleton().findSchemaOrThrow(name, "")).first;
    }
    return found->second;
}

at::Tensor call(const char* name, torch::jit::Stack stack) {
    at::AutoDispatchBelowADInplaceOrView no_grad;
    op(name).callBoxed(&stack);
    return stack.front().toTensor();
}

// Numbers by their bits, the upper ones of an f32: those of numbers that aren't negative are in order as integers, so integers are
// what is clipped, in half the time. Not a number is 0 or 255, by its sign.
template <typename Bits>
INTO_EACH_VECTOR_WIDTH void clip_each(const Bits* x, uint8_t* steps, int64_t count) {
    constexpr int below = 32 - 8 * sizeof(Bits);
    constexpr Bits top = 0x437f0000 >> below;  // 255
    for (int64_t i = 0; i < count; ++i) {
        const Bits kept = std::min(std::max(x[i], Bits{0}), top);
        const int32_t bits = static_cast<int32_t>(kept) << below;
        float number;
        std::memcpy(&number, &bits, sizeof number);
        steps[i] = static_cast<uint8_t>(static_cast<int32_t>(number));
    }
}

EACH_VECTOR_WIDTH void clip(const int32_t* f32, uint8_t* steps, int64_t count) { clip_each(f32, steps, count); }

EACH_VECTOR_WIDTH void clip(const int16_t* bf16, uint8_t* steps, int64_t count) { clip_each(bf16, steps, count); }

template <typename Bits>
void clip_all(at::TensorIterator& numbers) {
    // On all of libtorch's threads.
    numbers.for_each([](char** data, const int64_t* strides, int64_t count) {
        // A run of numbers side by side at once, others one by one.
        const bool dense = strides[0] == 1 && strides[1] == sizeof(Bits);
        const int64_t run = dense ? count : 1;
        for (int64_t i = 0; i < count; i += run) {
            clip(reinterpret_cast<const Bits*>(data[1] + i * strides[1]), reinterpret_cast<uint8_t*>(data[0] + i * strides[0]), run);
        }
    });
}

}  // namespace

extern "C" {

// [N, C, H, W] in channels-last memory, and a kernel in oneDNN's layout.
int topgraft_packed_conv(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, at::Tensor** out, char* message,
                         size_t length) {
    return computed(out, message, length, [&] {
        c10::List<std::optional<at::Scalar>> no_scalars;
        return call("mkldnn::_convolution_pointwise", {*x, *weight, *bias, pair(1), pair(1), pair(1), int64_t{1},
                                                       std::string("none"), no_scalars, std::string("")});
    });
}

// Packs [outputs, inputs, 3, 3] int8 weights with one scale an output channel for input of `scale`, of about `side` x `side`: what layout
// is best follows from the input's size, and weights in another are laid out anew in every call.
int topgraft_int8_pack(const at::Tensor* weight, const at::Tensor* scales, double scale, int64_t side, at::Tensor** out,
                       char* message, size_t length) {
    return computed(out, message, length, [&] {
        // Which engine packs is global to libtorch; nothing else here uses quantised operators.
        at::globalContext().setQEngine(at::QEngine::ONEDNN);
        return call("onednn::qconv_prepack", {*weight, *scales, scale, int64_t{0}, pair(1), pair(1), pair(1), int64_t{1},
                                              c10::List<int64_t>({1, weight->size(1), side, side})});
    });
}

// uint8 [N, C, H, W] in channels-last memory to uint8: convolution, bias, ReLU, rounding to steps of `out_scale`.
int topgraft_int8_conv(const at::Tensor* x, double x_scale, const at::Tensor* packed, const at::Tensor* scales,
                       const at::Tensor* zeros, const at::Tensor* bias, double out_scale, at::Tensor** out, char* message,
                       size_t length) {
    return computed(out, message, length, [&] {
        c10::List<std::optional<at::Scalar>> no_scalars;
        return call("onednn::qconv2d_pointwise",
                    {*x, x_scale, int64_t{0}, *packed, *scales, *zeros, *bias, pair(1), pair(1), pair(1), int64_t{1},
                     out_scale, int64_t{0}, c10::IValue(at::ScalarType::Byte), std::string("relu"), no_scalars,
                     std::string("")});
    });
}

// 2 x 2 maximum of uint8 [N, C, H, W].
int topgraft_int8_max_pool(const at::Tensor* x, at::Tensor** out, char* message, size_t length) {
    return computed(out, message, length, [&] {
        return call("quantized::max_pool2d", {*x, pair(2), pair(2), pair(0), pair(1), false});
    });
}

// f32 or bf16 to uint8 of the same shape, `steps`: clipped to 0 and 255, cut off to whole numbers.
int topgraft_int8_clip(const at::Tensor* x, const at::Tensor* steps, char* message, size_t length) {
    return guarded(message, length, [&] {
        TORCH_CHECK(steps->scalar_type() == at::kByte && steps->sizes() == x->sizes(), "clipped numbers are uint8, as many as before");
        at::AutoDispatchBelowADInplaceOrView no_grad;
        at::TensorIterator numbers =
            at::TensorIteratorConfig().check_all_same_dtype(false).add_output(*steps).add_const_input(*x).build();
        switch (x->scalar_type()) {
            case at::kFloat: return clip_all<int32_t>(numbers);
            case at::kBFloat16: return clip_all<int16_t>(numbers);
            default: TORCH_CHECK(false, "f32 and bf16 are clipped to uint8, not ", x->scalar_type());
        }
    });
}

// Step number `step`, 1 and up, of Adam: `p` and both moments change in place. With `decoupled` it is AdamW's.
int topgraft_adam(const at::Tensor* p, const at::Tensor* gradient, const at::Tensor* first, const at::Tensor* second, int64_t step,
                  double rate, double beta_1, double beta_2, double epsilon, double weight_decay, int decoupled, char* message,
                  size_t length) {
    return guarded(message, length, [&] {
        for (const at::Tensor* other : {p, gradient, first, second}) {
            // The operator walks all of them by one index.
            TORCH_CHECK(other->scalar_type() == at::kFloat && other->device() == p->device() && other->sizes() == p->sizes() &&
                            other->is_contiguous(),
                        "Adam steps on f32 of one shape, side by side on one device");
        }
        at::AutoDispatchBelowADInplaceOrView no_grad;
        const at::Tensor steps = at::full({}, static_cast<double>(step), p->options().requires_grad(false));
        const auto fused = decoupled ? at::_ops::_fused_adamw_::call : at::_ops::_fused_adam_::call;
        fused({*p}, {*gradient}, {*first}, {*second}, {}, {steps}, rate, beta_1, beta_2, weight_decay, epsilon, false, false, {}, {});
    });
}

}
