// Sharing work out among torch's threads as they get done with it: cores are seldom equally fast, nor blocks equally
// dear, and an even split waits for the slowest. What is computed must not depend on where a range ends.
#pragma once
#include <torch/csrc/stable/ops.h>

#include <atomic>
#include <cstdint>

namespace vosplug {

// The numbers 0..count, handed out in ranges: at first half of an even share of what is left, at last one by one.
class Queue {
 public:
  Queue(int64_t count, int64_t threads) : count_(count), shares_(threads > 1 ? 2 * threads : 1) {}

  template <class Work>
  void run(const Work& work) {
    int64_t begin = next_.load(std::memory_order_relaxed);
    while (begin < count_) {
      const int64_t part = (count_ - begin) / shares_, end = begin + (part < 1 ? 1 : part);
      if (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      work(begin, end);
      begin = next_.load(std::memory_order_relaxed);
    }
  }

 private:
  std::atomic<int64_t> next_{0};
  const int64_t count_, shares_;
};

// Call first(begin, end) for 0..first_count, and then second(begin, end) for 0..second_count, which must not need what
// the first gives. On one thread both get their whole range at once.
template <class First, class Second>
void share_out(int64_t first_count, const First& first, int64_t second_count, const Second& second) {
  const int64_t threads = (int64_t)torch::stable::get_num_threads(), most = first_count + second_count;
  Queue one(first_count, threads), two(second_count, threads);
  const auto take = [&](int64_t, int64_t) { one.run(first), two.run(second); };
  if (threads <= 1 || most <= 1)
    take(0, 1);
  else
    torch::stable::parallel_for(0, threads < most ? threads : most, 1, take);
}

template <class Work>
void share_out(int64_t count, const Work& work) {
  share_out(count, work, 0, [](int64_t, int64_t) {});
}

}  // namespace vosplug
