// Work for all threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace topgraft::winograd {

// Calls `act` with each number below `count` once, on all threads: whoever is free takes the next, since processors of a machine that is
// shared are not always equally fast.
template <typename Act>
void share_out(int64_t count, Act act) {
    std::atomic<int64_t> taken{0};
    at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
        for (int64_t n; (n = taken.fetch_add(1, std::memory_order_relaxed)) < count;) act(n);
    });
}

// The same, a run of up to `size` numbers at a time: `act` takes the first and the one after the last.
template <typename Act>
void share_out_runs(int64_t count, int64_t size, Act act) {
    share_out((count + size - 1) / size, [&](int64_t n) { act(n * size, std::min((n + 1) * size, count)); });
}

// The same of `lots` times `count` numbers: `act` takes the lot and the run.
template <typename Act>
void share_out_runs(int64_t lots, int64_t count, int64_t size, Act act) {
    const int64_t runs = (count + size - 1) / size;
    share_out(lots * runs, [&](int64_t n) { act(n / runs, n % runs * size, std::min((n % runs + 1) * size, count)); });
}

}  // namespace topgraft::winograd
