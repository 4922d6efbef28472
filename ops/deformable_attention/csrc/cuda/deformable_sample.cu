// One thread makes 8 channels of one point: four 16-byte reads (two for each in float32), one write. The offsets of a point
// are read by its neighbours, too, and come from the cache.
#include "deformable_sample.cuh"

#include "device.cuh"

namespace vosplug {
namespace {

constexpr int THREADS = 256, CHANNELS = 8;

__device__ __forceinline__ void add_weighted(const float* from, float weight, float (&sum)[CHANNELS]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float4 v = *(const float4*)(from + half * 4);
    sum[half * 4] += weight * v.x, sum[half * 4 + 1] += weight * v.y;
    sum[half * 4 + 2] += weight * v.z, sum[half * 4 + 3] += weight * v.w;
  }
}
template <class T>
__device__ __forceinline__ void add_weighted(const T* from, float weight, float (&sum)[CHANNELS]) {
  union {
    uint4 bits;
    T values[CHANNELS];
  } v{*(const uint4*)from};
#pragma unroll
  for (int c = 0; c < CHANNELS; c += 2) {
    const float2 pair = load_pair(v.values + c);
    sum[c] += weight * pair.x, sum[c + 1] += weight * pair.y;
  }
}
__device__ __forceinline__ void put(float* to, const float (&sum)[CHANNELS]) {
  *(float4*)to = make_float4(sum[0], sum[1], sum[2], sum[3]);
  *(float4*)(to + 4) = make_float4(sum[4], sum[5], sum[6], sum[7]);
}
template <class T>
__device__ __forceinline__ void put(T* to, const float (&sum)[CHANNELS]) {
  *(uint4*)to = make_uint4(pack_pair<T>(sum[0], sum[1]), pack_pair<T>(sum[2], sum[3]), pack_pair<T>(sum[4], sum[5]),
                           pack_pair<T>(sum[6], sum[7]));
}

template <class T>
__global__ void __launch_bounds__(THREADS)
    sample(const SampleShape s, const T* __restrict__ x, const float* __restrict__ offsets, T* __restrict__ out) {
  const int pieces = s.channels / CHANNELS, points = s.grid_height * s.grid_width;
  const int64_t job = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (job >= (int64_t)s.batch * points * pieces) return;
  const int c = (int)(job % pieces) * CHANNELS, point = (int)(job / pieces % points), b = (int)(job / pieces / points);
  const int group = c / (s.channels / s.groups), gy = point / s.grid_width, gx = point - gy * s.grid_width;
  const float* shift = offsets + ((int64_t)b * s.groups + group) * 2 * points + point;
  const float y = (gy + 0.5f) * s.height / s.grid_height - 0.5f + shift[0];
  const float xx = (gx + 0.5f) * s.width / s.grid_width - 0.5f + shift[points];
  const float top = floorf(y), left = floorf(xx);
  float sum[CHANNELS] = {};
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    const float row = top + (corner >> 1), column = left + (corner & 1);
    if (!(row >= 0.f && row < s.height && column >= 0.f && column < s.width)) continue;  // compared as floats: far is far
    const float weight = (1.f - fabsf(y - row)) * (1.f - fabsf(xx - column));
    add_weighted(x + (((int64_t)b * s.height + (int)row) * s.width + (int)column) * s.channels + c, weight, sum);
  }
  put(out + ((int64_t)b * points + point) * s.channels + c, sum);
}

template <class T>
int run(const SampleShape& s, const void* x, const float* offsets, void* out, cudaStream_t stream) {
  const int64_t jobs = (int64_t)s.batch * s.grid_height * s.grid_width * (s.channels / CHANNELS);
  if (!jobs) return cudaSuccess;
  auto kernel = sample<T>;
  VOSPLUG_LAUNCH(kernel, (unsigned)((jobs + THREADS - 1) / THREADS), THREADS, 0, stream, s, (const T*)x, offsets, (T*)out);
  return cudaGetLastError();
}

}  // namespace

int deformable_sample_cuda(const SampleShape& s, SampleType type, const void* x, const float* offsets, void* out,
                           cudaStream_t stream) {
  if (s.groups < 1 || s.channels % (s.groups * CHANNELS)) return cudaErrorInvalidValue;
  if (type == SAMPLE_FLOAT) return run<float>(s, x, offsets, out, stream);
  if (type == SAMPLE_BFLOAT16) return run<__nv_bfloat16>(s, x, offsets, out, stream);
  return run<__half>(s, x, offsets, out, stream);
}

}  // namespace vosplug
