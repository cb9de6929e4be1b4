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
    INTO_EACH_VECTOR_WIDTH void operator()(const Line* x, Line* y, int64_t apart) const {
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            Line sum{};
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

// The same of f32: a line of `count` of them, one after the other. `get` and `put` have an argument more in front, which one it is.
template <int R, int C, const Matrix<R, C>& L, typename Get, typename Put>
INTO_EACH_VECTOR_WIDTH void transform(int64_t count, Get get, Put put) {
    for (int64_t n = 0; n < count; ++n) {
        both_ways<Line, R, C>([&](int place) INTO_EACH { return get(n, place); }, Times<R, C, L>{},
                              [&](int place, Line x) INTO_EACH { put(n, place, x); });
    }
}

// Lines of 36 matrices, `apart`, one after the other in each.
template <typename Number>
struct Matrices {
    Number* first;
    int64_t apart;

    INTO_EACH_VECTOR_WIDTH Line operator()(int64_t n, int place) const { return Line::of(first + place * apart + n * kLine); }
    INTO_EACH_VECTOR_WIDTH void operator()(int64_t n, int place, Line x) const { x.to(first + place * apart + n * kLine); }
};

// The same, past the cache.
struct PastCache {
    Matrices<float> to;

    INTO_EACH_VECTOR_WIDTH void operator()(int64_t n, int place, Line x) const { x.past_cache(to.first + place * to.apart + n * kLine); }
};

// The lines at `channel` of tiles of SIDE x SIDE pixels, whose places lie one after the other.
template <typename Number, int SIDE>
struct Tiles {
    Number* const* places;
    int64_t channel;

    INTO_EACH_VECTOR_WIDTH Number* at(int64_t n, int place) const { return places[n * SIDE * SIDE + place] + channel; }
    INTO_EACH_VECTOR_WIDTH Line operator()(int64_t n, int place) const { return Line::of(at(n, place)); }
};

// The lines of kernels' nine numbers.
template <typename Number>
struct Taps {
    Number* first;
    int64_t kernels_apart, apart;

    INTO_EACH_VECTOR_WIDTH Line operator()(int64_t n, int place) const { return Line::of(first + n * kernels_apart + place * apart); }
    INTO_EACH_VECTOR_WIDTH void operator()(int64_t n, int place, Line x) const { x.to(first + n * kernels_apart + place * apart); }
};

WITH_FMA inline void spread_input(int64_t count, Tiles<const float, 6> from, Matrices<float> to) {
    transform<6, 6, kInput>(count, from, to);
}
WITH_FMA inline void spread_gradient(int64_t count, Tiles<const float, 4> from, Matrices<float> to) {
    transform<6, 4, kResultBack>(count, from, to);
}
WITH_FMA inline void spread_kernel(int64_t count, Taps<const float> from, Matrices<float> to) {
    // Nine times four numbers of a layer's kernels are more than caches hold.
    transform<6, 3, kFilter>(count, from, PastCache{to});
    settle();
}
WITH_FMA inline void collect_result(int64_t count, Matrices<const float> from, Tiles<float, 4> to, const float* bias) {
    const Line biases = Line::of(bias + to.channel);
    transform<4, 6, kResult>(count, from, [&](int64_t n, int place, Line x) INTO_EACH {
        x += biases;
        x.to(to.at(n, place));
    });
}
WITH_FMA inline void collect_input(int64_t count, Matrices<const float> from, Tiles<float, 6> to) {
    transform<6, 6, kInputBack>(count, from, [&](int64_t n, int place, Line x) INTO_EACH {
        float* at = to.at(n, place);
        x += Line::of(at);
        x.to(at);
    });
}
WITH_FMA inline void collect_kernel(int64_t count, Matrices<const float> from, Taps<float> to) {
    transform<3, 6, kFilterBack>(count, from, to);
}

}  // namespace topgraft::winograd
