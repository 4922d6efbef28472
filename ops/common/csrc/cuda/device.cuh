// What the CUDA kernels share: asynchronous copies, tensor-core products, 16-bit types. With VOSPLUG_SIMULATE the same
// kernels are compiled as plain C++ and run on a simulated device (tests/ops/cuda_simulator.h), which checks their logic
// where there is no GPU.
#pragma once
#include <stdint.h>

#ifdef VOSPLUG_SIMULATE
#include "cuda_simulator.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define VOSPLUG_LAUNCH(kernel, grid, block, bytes, stream, ...) kernel<<<grid, block, bytes, stream>>>(__VA_ARGS__)
#define VOSPLUG_DYNAMIC_SHARED(name) extern __shared__ __align__(128) uint8_t name[]

namespace vosplug {

__device__ __forceinline__ uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }
// Copies 16 bytes, or writes zeros where there is nothing to read.
__device__ __forceinline__ void copy_async(uint32_t to, const void* from, bool there) {
  const int bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
template <int N>
__device__ __forceinline__ void wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}
__device__ __forceinline__ void load_matrices(uint32_t address, uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t address, uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
template <class T>
__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (__is_same(T, __half)) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}
__device__ __forceinline__ void store_pair(__nv_bfloat16* p, float a, float b) {
  *(__nv_bfloat162*)p = __floats2bfloat162_rn(a, b);
}
__device__ __forceinline__ void store_pair(__half* p, float a, float b) { *(__half2*)p = __floats2half2_rn(a, b); }
__device__ __forceinline__ float2 load_pair(const __nv_bfloat16* p) { return __bfloat1622float2(*(const __nv_bfloat162*)p); }
__device__ __forceinline__ float2 load_pair(const __half* p) { return __half22float2(*(const __half2*)p); }

}  // namespace vosplug
#endif

namespace vosplug {

// Two values in one register, as the tensor cores take them.
template <class T>
__device__ __forceinline__ uint32_t pack_pair(float a, float b) {
  union {
    uint32_t bits;
    T values[2];
  } pair{0};
  store_pair(pair.values, a, b);
  return pair.bits;
}

// Rows of ELEMENTS 16-bit values in shared memory; pieces of 16 bytes are permuted by the row so that ldmatrix, which
// reads one piece of eight rows, meets every bank once.
template <int ELEMENTS>
__device__ __forceinline__ uint32_t swizzled(int row, int piece) {
  constexpr int pieces = ELEMENTS / 8;
  static_assert(pieces == 4 || pieces % 8 == 0, "rows of 32 values, or of multiples of 64");
  const int turn = pieces >= 8 ? row & 7 : (row >> 1) & 3;
  return (uint32_t)(row * ELEMENTS * 2 + ((piece ^ turn) << 4));
}

}  // namespace vosplug
