// What the parts of the shim share. Tensors cross as `at::Tensor*`, as the Rust binding holds them. Every function that Rust calls
// answers 0, or 1 with a message.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>

// Compiled for each width of vectors; which of them runs is found out when the program is loaded.
#if defined(__x86_64__) && defined(__GNUC__)
#define EACH_VECTOR_WIDTH __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_VECTOR_WIDTH
#endif

// What is compiled into such functions, and for each width with them.
#define INTO_EACH __attribute__((always_inline))
#define INTO_EACH_VECTOR_WIDTH INTO_EACH inline

namespace topgraft {

template <typename F>
int guarded(char* message, size_t length, F act) {
    try {
        act();
        return 0;
    } catch (const std::exception& error) {
        std::strncpy(message, error.what(), length - 1);
        message[length - 1] = '\0';
        return 1;
    }
}

template <typename F>
int computed(at::Tensor** out, char* message, size_t length, F compute) {
    return guarded(message, length, [&] { *out = new at::Tensor(compute()); });
}

}  // namespace topgraft
