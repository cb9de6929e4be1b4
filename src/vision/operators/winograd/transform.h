// The transforms of F(4 x 4, 3 x 3), of vectors of channels: forward "spread" and "collect", backward their transposes.
#pragma once

#include "lanes.h"

namespace topgraft::winograd {

template <int R, int C>
struct Matrix {
    float at[R][C];
    constexpr Matrix<C, R> transposed() const {
        Matrix<C, R> t{};
        for (int r = 0; r < R; ++r) {
            for (int c = 0; c < C; ++c) t.at[c][r] = at[r][c];
        }
        return t;
    }
};

// Section 4.3 of Lavin and Gray.
constexpr Matrix<6, 6> kInput{{{4, 0, -5, 0, 1, 0},
                               {0, -4, -4, 1, 1, 0},
                               {0, 4, -4, -1, 1, 0},
                               {0, -2, -1, 2, 1, 0},
                               {0, 2, -1, -2, 1, 0},
                               {0, 4, 0, -5, 0, 1}}};  // B^T
constexpr Matrix<6, 3> kFilter{{{1.f / 4, 0, 0},
                                {-1.f / 6, -1.f / 6, -1.f / 6},
                                {-1.f / 6, 1.f / 6, -1.f / 6},
                                {1.f / 24, 1.f / 12, 1.f / 6},
                                {1.f / 24, -1.f / 12, 1.f / 6},
                                {0, 0, 1}}};  // G
constexpr Matrix<4, 6> kResult{{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}};  // A^T
constexpr auto kInputBack = kInput.transposed();
constexpr auto kFilterBack = kFilter.transposed();
constexpr auto kResultBack = kResult.transposed();

// L times C vectors x: R vectors, `apart` in y.
template <int R, int C, const Matrix<R, C>& L>
struct Times {
    INTO_EACH_VECTOR_WIDTH void operator()(const Lanes* x, Lanes* y, int64_t apart) const {
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            Lanes sum{};
#pragma GCC unroll 6
            for (int i = 0; i < C; ++i) {
                if (L.at[r][i] != 0) sum += L.at[r][i] * x[i];
            }
            y[r * apart] = sum;
        }
    }
};

// L x L^T of a run of channels: `get` has the numbers at each place of x, C x C of them, `times` is L times a column, `put` takes the
// R x R results.
template <typename Vector, int R, int C, typename Get, typename Multiply, typename Put>
INTO_EACH_VECTOR_WIDTH void both_ways(Get get, Multiply times, Put put) {
    Vector half[R][C];
#pragma GCC unroll 6
    for (int j = 0; j < C; ++j) {
        Vector x[C];
#pragma GCC unroll 6
        for (int i = 0; i < C; ++i) x[i] = get(i * C + j);
        times(x, &half[0][j], C);
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
        Vector y[R];
        times(half[r], y, 1);
#pragma GCC unroll 6
        for (int s = 0; s < R; ++s) put(r * R + s, y[s]);
    }
}

// The same of all channels, in f32: `from` has the places of x.
template <int R, int C, const Matrix<R, C>& L, typename Put>
INTO_EACH_VECTOR_WIDTH void transform(const float* const* from, int64_t channels, Put put) {
    for (int64_t c = 0; c < channels; c += kLanes) {
        const auto get = [&](int place) INTO_EACH { return *reinterpret_cast<const Lanes*>(from[place] + c); };
        both_ways<Lanes, R, C>(get, Times<R, C, L>{}, [&](int place, Lanes x) INTO_EACH { put(place, c, x); });
    }
}

struct Write {
    float* const* to;
    INTO_EACH_VECTOR_WIDTH void operator()(int place, int64_t c, Lanes x) const { *reinterpret_cast<Lanes*>(to[place] + c) = x; }
};

struct Add {
    float* const* to;
    INTO_EACH_VECTOR_WIDTH void operator()(int place, int64_t c, Lanes x) const { *reinterpret_cast<Lanes*>(to[place] + c) += x; }
};

struct WriteBiased {
    float* const* to;
    const float* bias;
    INTO_EACH_VECTOR_WIDTH void operator()(int place, int64_t c, Lanes x) const {
        *reinterpret_cast<Lanes*>(to[place] + c) = x + *reinterpret_cast<const Lanes*>(bias + c);
    }
};

WITH_FMA inline void spread_input(const float* const* from, float* const* to, int64_t channels) {
    transform<6, 6, kInput>(from, channels, Write{to});
}
WITH_FMA inline void spread_kernel(const float* const* from, float* const* to, int64_t channels) {
    transform<6, 3, kFilter>(from, channels, Write{to});
}
WITH_FMA inline void collect_result(const float* const* from, float* const* to, int64_t channels, const float* bias) {
    transform<4, 6, kResult>(from, channels, WriteBiased{to, bias});
}
WITH_FMA inline void spread_gradient(const float* const* from, float* const* to, int64_t channels) {
    transform<6, 4, kResultBack>(from, channels, Write{to});
}
WITH_FMA inline void collect_input(const float* const* from, float* const* to, int64_t channels) {
    transform<6, 6, kInputBack>(from, channels, Add{to});
}
WITH_FMA inline void collect_kernel(const float* const* from, float* const* to, int64_t channels) {
    transform<3, 6, kFilterBack>(from, channels, Write{to});
}

}  // namespace topgraft::winograd
