// A CUDA device in plain C++, for tests: thread blocks run one after the other, their threads as coroutines that change
// places where threads wait for each other. Asynchronous copies are carried out as late as the program allows, so that a
// missing wait shows. It checks indexing, masks and barriers, not speed, memory order or races within a warp.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // one block runs at a time
#define VOSPLUG_DYNAMIC_SHARED(name) uint8_t* name = ::simulator::device.shared.data()
#define VOSPLUG_LAUNCH(kernel, grid, block, bytes, stream, ...) \
  ::simulator::launch(dim3(grid), dim3(block), bytes, [&] { kernel(__VA_ARGS__); })

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() {}
  dim3(unsigned a, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct float2 {
  float x, y;
};
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

typedef int cudaError_t;
enum { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
       cudaDevAttrMultiProcessorCount = 16 };
template <class F>
inline cudaError_t cudaFuncSetAttribute(F, int, int) { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0; }
inline cudaError_t cudaDeviceGetAttribute(int* value, int, int) { return *value = 1, cudaSuccess; }
template <class S>
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, S) { return memset(to, value, bytes), cudaSuccess; }

// Storage of 16 bits; products and sums are made in float, as the tensor cores do.
struct __nv_bfloat16 {
  uint16_t bits;
};
struct __half {
  uint16_t bits;
};

namespace simulator {

inline float to_float(__nv_bfloat16 v) {
  const uint32_t u = (uint32_t)v.bits << 16;
  float f;
  return memcpy(&f, &u, 4), f;
}
inline float to_float(__half v) {
  _Float16 h;
  return memcpy(&h, &v, 2), (float)h;
}
inline void from_float(__nv_bfloat16& v, float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  v.bits = f != f ? 0x7fc0 : (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
inline void from_float(__half& v, float f) {
  const _Float16 h = (_Float16)f;
  memcpy(&v, &h, 2);
}

struct Copy {
  uint32_t to;
  uint8_t bytes[16];
  const void* from;
};
struct Thread {
  ucontext_t context;
  std::vector<char> stack;
  bool done = false;
  uint64_t block_waits = 0, warp_waits = 0, mask_waits = 0;
  std::vector<std::vector<Copy>> groups{1};  // of cp.async; the last one is still open
  uint32_t give[8] = {};                     // what the other lanes of the warp may read
};
struct Device {
  dim3 grid, block, block_index;
  std::vector<uint8_t> shared;
  std::vector<Thread> threads;
  int current = 0;
  ucontext_t scheduler;
  std::function<void()> body;
};
inline Device device;

inline Thread& self() { return device.threads[device.current]; }
inline void give_way() { swapcontext(&self().context, &device.scheduler); }
inline void warp_barrier() {
  const int first = device.current / 32 * 32, last = std::min<int>(first + 32, (int)device.threads.size());
  const uint64_t mine = ++self().warp_waits;
  for (bool all = false; !all;) {
    all = true;
    for (int i = first; i < last; ++i) all &= device.threads[i].done || device.threads[i].warp_waits >= mine;
    if (!all) give_way();
  }
}
inline void block_barrier() {
  const uint64_t mine = ++self().block_waits;
  for (bool all = false; !all;) {
    all = true;
    for (const Thread& t : device.threads) all &= t.done || t.block_waits >= mine;
    if (!all) give_way();
  }
}
inline Thread& lane(int i) { return device.threads[device.current / 32 * 32 + i]; }
inline int my_lane() { return device.current % 32; }

inline void run_thread() {
  device.body();
  self().done = true;
  give_way();
}

template <class F>
inline void launch(dim3 grid, dim3 block, size_t bytes, F body) {
  device.grid = grid, device.block = block, device.body = body;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        device.block_index = dim3(x, y, z);
        device.shared.assign(bytes, 0xff);  // NaN, if it is read before it is written
        device.threads.assign(block.x, Thread{});
        for (Thread& t : device.threads) {
          t.stack.resize(256 * 1024);
          getcontext(&t.context);
          t.context.uc_stack.ss_sp = t.stack.data(), t.context.uc_stack.ss_size = t.stack.size();
          t.context.uc_link = &device.scheduler;
          makecontext(&t.context, (void (*)())run_thread, 0);
        }
        for (size_t left = device.threads.size(), rounds = 0; left;) {
          if (++rounds > 10000000) fprintf(stderr, "deadlock\n"), abort();
          for (size_t i = 0; i < device.threads.size(); ++i) {
            if (device.threads[i].done) continue;
            device.current = (int)i;
            swapcontext(&device.scheduler, &device.threads[i].context);
            left -= device.threads[i].done;
          }
        }
      }
}

template <class T>
inline float of_pair(uint32_t pair, int which) {
  const uint16_t bits = (uint16_t)(pair >> (16 * which));
  T value;
  return memcpy(&value, &bits, 2), to_float(value);
}

}  // namespace simulator

#define threadIdx (dim3((unsigned)::simulator::device.current))
#define blockIdx (::simulator::device.block_index)
#define gridDim (::simulator::device.grid)
#define blockDim (::simulator::device.block)

inline void __syncthreads() { simulator::block_barrier(); }
inline void __syncwarp(unsigned mask = ~0u) {
  const uint64_t mine = ++simulator::self().mask_waits;
  for (bool all = false; !all;) {
    all = true;
    for (int i = 0; i < 32; ++i)
      if (mask >> i & 1) all &= simulator::lane(i).done || simulator::lane(i).mask_waits >= mine;
    if (!all) simulator::give_way();
  }
}
inline float __shfl_xor_sync(unsigned, float x, int mask) {
  memcpy(simulator::self().give, &x, 4);
  simulator::warp_barrier();
  float other;
  memcpy(&other, simulator::lane(simulator::my_lane() ^ mask).give, 4);
  simulator::warp_barrier();
  return other;
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  simulator::self().give[0] = predicate != 0;
  simulator::warp_barrier();
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= simulator::lane(i).give[0] << i;
  simulator::warp_barrier();
  return bits;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int atomicAdd(int* to, int value) { return *to += value, *to - value; }
inline unsigned long long atomicMax(unsigned long long* to, unsigned long long value) {
  const unsigned long long old = *to;
  return *to = std::max(old, value), old;
}
inline unsigned __float_as_uint(float x) {
  unsigned i;
  return memcpy(&i, &x, 4), i;
}
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }

namespace vosplug {

inline uint32_t shared_address(const void* p) { return (uint32_t)((const uint8_t*)p - simulator::device.shared.data()); }
inline void copy_async(uint32_t to, const void* from, bool there) {
  if (to % 16 || (there && (uintptr_t)from % 16) || to + 16 > simulator::device.shared.size())
    fprintf(stderr, "copy_async: bad address\n"), abort();
  simulator::Copy copy{to, {}, there ? from : nullptr};
  simulator::self().groups.back().push_back(copy);
}
inline void commit() { simulator::self().groups.emplace_back(); }
template <int N>
inline void wait() {
  auto& groups = simulator::self().groups;
  while ((int)groups.size() - 1 > N) {  // all but the N youngest closed groups
    for (const simulator::Copy& c : groups.front()) {
      uint8_t* to = simulator::device.shared.data() + c.to;
      if (c.from)
        memcpy(to, c.from, 16);
      else
        memset(to, 0, 16);
    }
    groups.erase(groups.begin());
  }
}
inline void gather_matrices(uint32_t address, uint32_t (&r)[4], bool transposed) {
  if (address % 16 || address + 16 > simulator::device.shared.size()) fprintf(stderr, "ldmatrix: bad address\n"), abort();
  simulator::self().give[0] = address;
  simulator::warp_barrier();
  const int l = simulator::my_lane();
  const uint8_t* shared = simulator::device.shared.data();
  for (int m = 0; m < 4; ++m) {
    uint16_t pair[2];
    for (int e = 0; e < 2; ++e) {
      const int row = transposed ? l % 4 * 2 + e : l / 4, column = transposed ? l / 4 : l % 4 * 2 + e;
      memcpy(pair + e, shared + simulator::lane(m * 8 + row).give[0] + column * 2, 2);
    }
    memcpy(&r[m], pair, 4);
  }
  simulator::warp_barrier();
}
inline void load_matrices(uint32_t address, uint32_t (&r)[4]) { gather_matrices(address, r, false); }
inline void load_matrices_transposed(uint32_t address, uint32_t (&r)[4]) { gather_matrices(address, r, true); }
template <class T>
inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  uint32_t* give = simulator::self().give;
  memcpy(give, a, 16), give[4] = b0, give[5] = b1;
  simulator::warp_barrier();
  const int l = simulator::my_lane();
  for (int e = 0; e < 4; ++e) {
    const int row = l / 4, column = l % 4 * 2 + (e & 1);
    for (int k = 0; k < 16; ++k) {
      const uint32_t left = simulator::lane(row * 4 + k % 8 / 2).give[(e >> 1) + k / 8 * 2];
      const uint32_t right = simulator::lane(column * 4 + k % 8 / 2).give[4 + k / 8];
      c[e] += simulator::of_pair<T>(left, k & 1) * simulator::of_pair<T>(right, k & 1);
    }
  }
  simulator::warp_barrier();
}
template <class T>
inline void store_pair(T* p, float a, float b) { simulator::from_float(p[0], a), simulator::from_float(p[1], b); }
template <class T>
inline float2 load_pair(const T* p) { return {simulator::to_float(p[0]), simulator::to_float(p[1])}; }

}  // namespace vosplug
