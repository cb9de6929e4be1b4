// The three quantised operations of libtorch that its Rust binding doesn't have, through its dispatcher: oneDNN's
// convolution with fused ReLU and requantisation, the packing of its weights, and max pooling of 8-bit maps.
//
// Tensors cross as `at::Tensor*`, as the Rust binding holds them. Every function answers 0, or 1 with a message.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>
#include <c10/core/InferenceMode.h>

#include <cstring>
#include <exception>
#include <string>

namespace {

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

template <typename F>
int guarded(at::Tensor** out, char* message, size_t length, F compute) {
    try {
        *out = new at::Tensor(compute());
        return 0;
    } catch (const std::exception& error) {
        std::strncpy(message, error.what(), length - 1);
        message[length - 1] = '\0';
        return 1;
    }
}

}  // namespace

extern "C" {

// Packs [outputs, inputs, 3, 3] int8 weights with one scale an output channel for input of `scale`, of about `side` x `side`: what layout
// is best follows from the input's size, and weights in another are laid out anew in every call.
int topgraft_int8_pack(const at::Tensor* weight, const at::Tensor* scales, double scale, int64_t side, at::Tensor** out,
                       char* message, size_t length) {
    return guarded(out, message, length, [&] {
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
    return guarded(out, message, length, [&] {
        c10::List<std::optional<at::Scalar>> no_scalars;
        return call("onednn::qconv2d_pointwise",
                    {*x, x_scale, int64_t{0}, *packed, *scales, *zeros, *bias, pair(1), pair(1), pair(1), int64_t{1},
                     out_scale, int64_t{0}, c10::IValue(at::ScalarType::Byte), std::string("relu"), no_scalars,
                     std::string("")});
    });
}

// 2 x 2 maximum of uint8 [N, C, H, W].
int topgraft_int8_max_pool(const at::Tensor* x, at::Tensor** out, char* message, size_t length) {
    return guarded(out, message, length, [&] {
        return call("quantized::max_pool2d", {*x, pair(2), pair(2), pair(0), pair(1), false});
    });
}

}
