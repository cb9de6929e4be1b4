// The transforms of F(4 x 4, 3 x 3) in whole numbers, of vectors of channels; see winograd_int8.cpp.
#pragma once

#include "int16.h"
#include "transform.h"

namespace topgraft::winograd {

// A vector of 16 bits for each of a line's channels, and of bytes.
typedef int16_t Shorts __attribute__((vector_size(kLine * sizeof(int16_t)), aligned(alignof(int16_t)), may_alias));
typedef uint8_t Bytes __attribute__((vector_size(kLine), aligned(1), may_alias));
typedef uint8_t HalfBytes __attribute__((vector_size(kLanes), aligned(1), may_alias));

// diag(4, 6, 6, 24, 24, 1) G: kernels without fractions.
constexpr Matrix<6, 3> kWholeFilter{{{1, 0, 0}, {-1, -1, -1}, {-1, 1, -1}, {1, 2, 4}, {1, -2, 4}, {0, 0, 1}}};

// A row of B^T times x.
template <int r>
INTO_EACH_VECTOR_WIDTH Shorts input_row(const Shorts* x) {
    switch (r) {
        case 0: return 4 * x[0] - 5 * x[2] + x[4];
        case 1: return x[3] + x[4] - 4 * (x[1] + x[2]);
        case 2: return x[4] - x[3] + 4 * (x[1] - x[2]);
        case 3: return x[4] - x[2] + 2 * (x[3] - x[1]);
        case 4: return x[4] - x[2] - 2 * (x[3] - x[1]);
        default: return 4 * x[1] - 5 * x[3] + x[5];
    }
}

INTO_EACH_VECTOR_WIDTH void input_rows(const Shorts* x, Shorts* y, int64_t apart) {
    y[0] = input_row<0>(x);
    y[apart] = input_row<1>(x);
    y[2 * apart] = input_row<2>(x);
    y[3 * apart] = input_row<3>(x);
    y[4 * apart] = input_row<4>(x);
    y[5 * apart] = input_row<5>(x);
}

WITH_AVX2 inline void spread_steps(const uint8_t* const* from, int16_t* const* to, int64_t channels) {
    for (int64_t c = 0; c < channels; c += kLine) {
        Shorts half[6][6];
#pragma GCC unroll 6
        for (int j = 0; j < 6; ++j) {
            Shorts x[6];
#pragma GCC unroll 6
            for (int i = 0; i < 6; ++i) x[i] = __builtin_convertvector(*reinterpret_cast<const Bytes*>(from[i * 6 + j] + c), Shorts);
            input_rows(x, &half[0][j], 6);
        }
#pragma GCC unroll 6
        for (int r = 0; r < 6; ++r) {
            Shorts y[6];
            input_rows(half[r], y, 1);
#pragma GCC unroll 6
            for (int s = 0; s < 6; ++s) *reinterpret_cast<Shorts*>(to[r * 6 + s] + c) = y[s];
        }
    }
}

// A^T diag(6, 4, 4, 1, 1, 24) times x.
INTO_EACH_VECTOR_WIDTH void result_rows(const Words* x, Words* y, int64_t apart) {
    const Words a = (x[1] + x[2]) << 2, b = (x[1] - x[2]) << 2, c = x[3] + x[4], d = (x[3] - x[4]) << 1;
    y[0] = (x[0] << 2) + (x[0] << 1) + a + c;
    y[apart] = b + d;
    y[2 * apart] = a + (c << 2);
    y[3 * apart] = b + (d << 2) + (x[5] << 4) + (x[5] << 3);
}

// What sums of steps become: steps of another layer. In oneDNN's order of factors, so that each is the same.
struct Rounding {
    float x_scale;
    const float *scales, *bias;
    float per_unit;

    // Not rounded yet.
    INTO_EACH_VECTOR_WIDTH Lanes in_steps(Signed sums, int64_t c) const {
        const Lanes units = __builtin_convertvector(sums, Lanes) * x_scale * *reinterpret_cast<const Lanes*>(scales + c);
        return (units + *reinterpret_cast<const Lanes*>(bias + c)) * per_unit;
    }
    INTO_EACH_VECTOR_WIDTH HalfBytes operator()(Signed sums, int64_t c) const {
        constexpr float most = 255, whole = 1 << 23;  // the last place of numbers as large as that is 1, so adding it rounds
        Lanes x = in_steps(sums, c);
        x = x > 0.f ? x : Lanes{};
        x = x < most ? x : Lanes{} + most;
        typedef uint8_t Parts __attribute__((vector_size(sizeof(Words))));
        const Parts parts = reinterpret_cast<Parts>(x + whole);
#if defined(__clang__) || __GNUC__ >= 12
        return __builtin_shufflevector(parts, parts, 0, 4, 8, 12, 16, 20, 24, 28);
#else
        HalfBytes lowest;
        for (int64_t i = 0; i < kLanes; ++i) lowest[i] = parts[4 * i];
        return lowest;
#endif
    }
};

INTO_EACH_VECTOR_WIDTH Signed largest(Signed a, Signed b) { return a > b ? a : b; }

template <bool POOLED>
INTO_EACH_VECTOR_WIDTH void collect(const uint32_t* const* from, uint8_t* const* to, int64_t channels, const Rounding& rounding) {
    constexpr uint32_t ninth = 954437177;  // times 9 it is 1 modulo 2^32
    for (int64_t c = 0; c < channels; c += kLanes) {
        Words half[4][6];
        Signed sums[4][4];
#pragma GCC unroll 6
        for (int j = 0; j < 6; ++j) {
            Words x[6];
#pragma GCC unroll 6
            for (int i = 0; i < 6; ++i) x[i] = *reinterpret_cast<const Words*>(from[i * 6 + j] + c);
            result_rows(x, &half[0][j], 6);
        }
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
            Words y[4];
            result_rows(half[r], y, 1);
#pragma GCC unroll 4
            for (int s = 0; s < 4; ++s) sums[r][s] = reinterpret_cast<Signed>(y[s] * ninth) >> 6;
        }
        constexpr int step = POOLED ? 2 : 1;
#pragma GCC unroll 4
        for (int r = 0; r < 4; r += step) {
#pragma GCC unroll 4
            for (int s = 0; s < 4; s += step) {
                Signed sum = sums[r][s];
                // What follows never changes an order, so the largest is found first.
                if constexpr (POOLED) sum = largest(largest(sum, sums[r][s + 1]), largest(sums[r + 1][s], sums[r + 1][s + 1]));
                *reinterpret_cast<HalfBytes*>(to[(r * 4 / step + s) / step] + c) = rounding(sum, c);
            }
        }
    }
}

WITH_AVX2 inline void collect_steps(const uint32_t* const* from, uint8_t* const* to, int64_t channels, const Rounding& rounding) {
    collect<false>(from, to, channels, rounding);
}
WITH_AVX2 inline void collect_pooled(const uint32_t* const* from, uint8_t* const* to, int64_t channels, const Rounding& rounding) {
    collect<true>(from, to, channels, rounding);
}

}  // namespace topgraft::winograd
