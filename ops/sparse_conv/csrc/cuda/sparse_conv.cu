// Two kernels: (1) list the active sites and zero or copy the others; (2) implicit GEMM over the list: 64 sites x 64
// channels per block of 128 threads, operands by cp.async in four stages, products on tensor cores (m16n8k16).
#include "sparse_conv.cuh"

#include "device.cuh"

namespace vosplug {
namespace {

constexpr int LIST_THREADS = 256;
constexpr int BM = 64, BN = 64, BK = 64, STAGES = 4, THREADS = 128;
constexpr int CHUNKS = BK / 8;                       // 16-byte pieces of a row in shared memory
constexpr int A_BYTES = BM * BK * 2, B_BYTES = BN * BK * 2;
constexpr int SHARED = STAGES * (A_BYTES + B_BYTES);

__global__ void __launch_bounds__(LIST_THREADS)
    list_and_fill(const uint8_t* __restrict__ policy, int sites, const uint4* __restrict__ prev, uint4* __restrict__ out,
                  int pieces, int32_t* __restrict__ count, int32_t* __restrict__ list) {
  __shared__ int before[LIST_THREADS / 32];
  __shared__ int base;
  __shared__ uint8_t kinds[LIST_THREADS];
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, site = blockIdx.x * LIST_THREADS + t;
  const uint8_t kind = site < sites ? policy[site] : 3;
  kinds[t] = kind;
  const unsigned active = __ballot_sync(~0u, kind == 2);
  if (lane == 0) before[warp] = __popc(active);
  __syncthreads();
  if (t == 0) {
    int sum = 0;
    for (int w = 0; w < LIST_THREADS / 32; ++w) {
      const int n = before[w];
      before[w] = sum;
      sum += n;
    }
    base = sum ? atomicAdd(count, sum) : 0;
  }
  __syncthreads();
  if (kind == 2) list[base + before[warp] + __popc(active & ((1u << lane) - 1))] = site;
  for (int p = warp; p < LIST_THREADS; p += LIST_THREADS / 32) {
    const uint8_t other = kinds[p];
    if (other > 1 || (other == 1 && !prev)) continue;
    const size_t row = (size_t)(blockIdx.x * LIST_THREADS + p) * pieces;
    for (int i = lane; i < pieces; i += 32) out[row + i] = other ? prev[row + i] : make_uint4(0, 0, 0, 0);
  }
}

// Keeps NaN, as torch's ReLU does.
__device__ __forceinline__ float rectify(float x) { return x <= 0.f ? 0.f : x; }

template <class T>
__global__ void __launch_bounds__(THREADS, 3)
    gather_gemm(const SparseConvShape s, const T* __restrict__ x, const T* __restrict__ weight,
                const float* __restrict__ bias, const int32_t* __restrict__ count, const int32_t* __restrict__ list,
                T* __restrict__ out, bool relu) {
  VOSPLUG_DYNAMIC_SHARED(shared);
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  const int warp_m = (warp & 1) * (BM / 2), warp_n = (warp >> 1) * (BN / 2);
  constexpr int MT = BM / 32, NT = BN / 16, A_LOADS = BM * CHUNKS / THREADS, B_LOADS = BN * CHUNKS / THREADS;
  const int active = *count, m_tiles = (active + BM - 1) / BM, n_tiles = (s.out_channels + BN - 1) / BN;
  const int taps = s.kernel_h * s.kernel_w, channel_steps = (s.in_channels + BK - 1) / BK, steps = taps * channel_steps;
  const int plane = s.out_height * s.out_width;
  for (int tile = blockIdx.x; tile < m_tiles * n_tiles; tile += gridDim.x) {  // neighbours share sites: L2 serves them
    const int m0 = tile / n_tiles * BM, n0 = tile % n_tiles * BN;
    int top[A_LOADS], left[A_LOADS], image[A_LOADS];
#pragma unroll
    for (int i = 0; i < A_LOADS; ++i) {
      const int m = m0 + (t + i * THREADS) / CHUNKS, site = m < active ? list[m] : -1;
      image[i] = site < 0 ? 0 : site / plane;
      const int rest = site - image[i] * plane, y = rest / s.out_width;
      top[i] = site < 0 ? -(1 << 28) : y * s.stride_h - s.pad_h;
      left[i] = site < 0 ? 0 : (rest - y * s.out_width) * s.stride_w - s.pad_w;
    }
    float acc[MT][NT][4] = {};
    auto fetch = [&](int step) {
      const uint32_t a = shared_address(shared) + step % STAGES * (A_BYTES + B_BYTES), b = a + A_BYTES;
      const int tap = step / channel_steps, c0 = step % channel_steps * BK;
      const int dy = tap / s.kernel_w * s.dilation_h, dx = tap % s.kernel_w * s.dilation_w;
#pragma unroll
      for (int i = 0; i < A_LOADS; ++i) {
        const int e = t + i * THREADS, row = e / CHUNKS, piece = e % CHUNKS, c = c0 + piece * 8;
        const int y = top[i] + dy, xx = left[i] + dx;
        const bool there = (unsigned)y < (unsigned)s.in_height && (unsigned)xx < (unsigned)s.in_width && c < s.in_channels;
        const T* from = x + (((size_t)image[i] * s.in_height + y) * s.in_width + xx) * s.in_channels + c;
        copy_async(a + swizzled<BK>(row, piece), there ? from : x, there);
      }
#pragma unroll
      for (int i = 0; i < B_LOADS; ++i) {
        const int e = t + i * THREADS, row = e / CHUNKS, piece = e % CHUNKS, c = c0 + piece * 8;
        const bool there = n0 + row < s.out_channels && c < s.in_channels;
        const T* from = weight + ((size_t)(n0 + row) * taps + tap) * s.in_channels + c;
        copy_async(b + swizzled<BK>(row, piece), there ? from : weight, there);
      }
    };
#pragma unroll
    for (int step = 0; step < STAGES - 1; ++step) {
      if (step < steps) fetch(step);
      commit();
    }
    for (int step = 0; step < steps; ++step) {
      wait<STAGES - 2>();
      __syncthreads();
      if (step + STAGES - 1 < steps) fetch(step + STAGES - 1);
      commit();
      const uint32_t a_base = shared_address(shared) + step % STAGES * (A_BYTES + B_BYTES), b_base = a_base + A_BYTES;
#pragma unroll
      for (int k = 0; k < BK / 16; ++k) {
        uint32_t a[MT][4], b[NT / 2][4];
#pragma unroll
        for (int i = 0; i < MT; ++i)
          load_matrices(a_base + swizzled<BK>(warp_m + i * 16 + (lane & 15), k * 2 + (lane >> 4)), a[i]);
#pragma unroll
        for (int j = 0; j < NT / 2; ++j)
          load_matrices(b_base + swizzled<BK>(warp_n + j * 16 + (lane & 7) + ((lane >> 4) << 3), k * 2 + ((lane >> 3) & 1)), b[j]);
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
          for (int j = 0; j < NT; ++j) multiply<T>(acc[i][j], a[i], b[j / 2][(j & 1) * 2], b[j / 2][(j & 1) * 2 + 1]);
      }
    }
    wait<0>();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int m = m0 + warp_m + i * 16 + h * 8 + (lane >> 2);
        if (m >= active) continue;
        T* row = out + (size_t)list[m] * s.out_channels;
#pragma unroll
        for (int j = 0; j < NT; ++j) {
          const int c = n0 + warp_n + j * 8 + (lane & 3) * 2;
          if (c >= s.out_channels) continue;
          float first = acc[i][j][h * 2] + bias[c], second = acc[i][j][h * 2 + 1] + bias[c + 1];
          if (relu) first = rectify(first), second = rectify(second);
          store_pair(row + c, first, second);
        }
      }
  }
}

template <class T>
int run(const SparseConvShape& s, const void* x, const void* weight, const float* bias, const int32_t* workspace,
        void* out, bool relu, cudaStream_t stream) {
  auto kernel = gather_gemm<T>;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED);
  if (error) return error;
  int device = 0, processors = 0;
  if ((error = cudaGetDevice(&device))) return error;
  if ((error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))) return error;
  VOSPLUG_LAUNCH(kernel, processors * 3, THREADS, SHARED, stream, s, (const T*)x, (const T*)weight, bias, workspace,
                 workspace + 1, (T*)out, relu);
  return cudaGetLastError();
}

}  // namespace

int sparse_conv2d_cuda(const SparseConvShape& s, bool half, const void* x, const void* weight, const float* bias,
                       const uint8_t* policy, const void* prev, void* out, int32_t* workspace, bool relu,
                       cudaStream_t stream) {
  if (s.in_channels % 8 || s.out_channels % 8) return cudaErrorInvalidValue;
  const int sites = s.batch * s.out_height * s.out_width;
  if (!sites) return cudaSuccess;
  cudaError_t error = cudaMemsetAsync(workspace, 0, sizeof(int32_t), stream);
  if (error) return error;
  VOSPLUG_LAUNCH(list_and_fill, (sites + LIST_THREADS - 1) / LIST_THREADS, LIST_THREADS, 0, stream, policy, sites,
                 (const uint4*)prev, (uint4*)out, s.out_channels / 8, workspace, workspace + 1);
  if ((error = cudaGetLastError())) return error;
  return half ? run<__half>(s, x, weight, bias, workspace, out, relu, stream)
              : run<__nv_bfloat16>(s, x, weight, bias, workspace, out, relu, stream);
}

}  // namespace vosplug
