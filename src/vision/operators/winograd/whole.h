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

// B^T times x.
struct TimesInput {
    INTO_EACH_VECTOR_WIDTH void operator()(const Shorts* x, Shorts* y, int64_t apart) const {
        const Shorts a = x[4] - x[2], b = 2 * (x[3] - x[1]);
        y[0] = 4 * x[0] - 5 * x[2] + x[4];
        y[apart] = x[3] + x[4] - 4 * (x[1] + x[2]);
        y[2 * apart] = x[4] - x[3] + 4 * (x[1] - x[2]);
        y[3 * apart] = a + b;
        y[4 * apart] = a - b;
        y[5 * apart] = 4 * x[1] - 5 * x[3] + x[5];
    }
};

WITH_AVX2 inline void spread_steps(const uint8_t* const* from, int16_t* const* to, int64_t channels) {
    for (int64_t c = 0; c < channels; c += kLine) {
        const auto get = [&](int place) INTO_EACH { return __builtin_convertvector(*reinterpret_cast<const Bytes*>(from[place] + c), Shorts); };
        const auto put = [&](int place, Shorts x) INTO_EACH { *reinterpret_cast<Shorts*>(to[place] + c) = x; };
        both_ways<Shorts, 6, 6>(get, TimesInput{}, put);
    }
}

// A^T diag(6, 4, 4, 1, 1, 24) times x.
struct TimesResult {
    INTO_EACH_VECTOR_WIDTH void operator()(const Words* x, Words* y, int64_t apart) const {
        const Words a = (x[1] + x[2]) << 2, b = (x[1] - x[2]) << 2, c = x[3] + x[4], d = (x[3] - x[4]) << 1;
        y[0] = (x[0] << 2) + (x[0] << 1) + a + c;
        y[apart] = b + d;
        y[2 * apart] = a + (c << 2);
        y[3 * apart] = b + (d << 2) + (x[5] << 4) + (x[5] << 3);
    }
};

// What sums of steps become: steps of another layer. In oneDNN's order of factors, so that each is the same.
struct Rounding {
    float x_scale;
    const float *scales, *bias;
    float per_unit;

    INTO_EACH_VECTOR_WIDTH HalfBytes operator()(Signed sums, int64_t c) const {
        constexpr float most = 255, whole = 1 << 23;  // the last place of numbers as large as that is 1, so adding it rounds
        const Lanes units = __builtin_convertvector(sums, Lanes) * x_scale * *reinterpret_cast<const Lanes*>(scales + c);
        Lanes x = (units + *reinterpret_cast<const Lanes*>(bias + c)) * per_unit;
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
        Signed sums[4][4];
        const auto get = [&](int place) INTO_EACH { return *reinterpret_cast<const Words*>(from[place] + c); };
        const auto put = [&](int place, Words x) INTO_EACH { sums[place / 4][place % 4] = reinterpret_cast<Signed>(x * ninth) >> 6; };
        both_ways<Words, 4, 6>(get, TimesResult{}, put);
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
