// 64 queries of a block per thread block of 4 warps; keys and values come in tiles of 64, gathered by index with cp.async
// in two stages; scores and output on tensor cores (m16n8k16), softmax online in registers (Dao et al., 2022).
#include "attention.cuh"

#include "device.cuh"

namespace vosplug {
namespace {

constexpr int BM = 64, BN = 64, THREADS = 128, STAGES = 2;
constexpr float NONE = -1e30f;  // a maximum of nothing: differences to it stay finite

struct Pointers {
  const int32_t *q_index, *k_index, *labels;
  float *sums, *state;
  Best* best;
};

template <int D>
constexpr int shared_bytes() {
  return (BM + 2 * STAGES * BN) * D * 2;
}

struct Cell {
  int id, t, y, x;
};
__device__ __forceinline__ Cell cell_of(const AttentionShape& s, int id) {
  const int plane = s.height * s.width, t = id / plane, rest = id - t * plane, y = rest / s.width;
  return Cell{id, t, y, rest - y * s.width};
}
__device__ __forceinline__ int distance(int a, int b) { return a < b ? b - a : a - b; }
__device__ __forceinline__ bool sees(const AttentionShape& s, const Cell& q, const Cell& k) {
  if (k.id < 0 || q.id < 0) return false;
  if ((s.rule & CUDA_NOT_SELF) && q.id == k.id) return false;
  if ((s.rule & CUDA_CAUSAL) && k.t > q.t) return false;
  return !(s.rule & CUDA_WINDOW) || (distance(q.t, k.t) <= s.radius_t && distance(q.y, k.y) <= s.radius_y &&
                                     distance(q.x, k.x) <= s.radius_x);
}
// A score and the key that has it as one whole number, in the order of scores; of equal ones the first key counts.
__device__ __forceinline__ void raise(Best* to, float score, int key) {
  const unsigned bits = __float_as_uint(score), ordered = bits >> 31 ? ~bits : bits | 0x80000000u;
  atomicMax(to, (Best)ordered << 32 | (unsigned)~key);
}
__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
}

// Copies the rows `cells` (64 of them, in shared memory) of a tensor (cells, heads*D) to shared memory; zeros for none.
template <class T, int D>
__device__ __forceinline__ void fetch_rows(uint32_t to, const T* from, const int* cells, size_t row) {
  for (int e = threadIdx.x; e < BM * (D / 8); e += THREADS) {
    const int r = e / (D / 8), piece = e % (D / 8), cell = cells[r];
    copy_async(to + swizzled<D>(r, piece), cell < 0 ? from : from + cell * row + piece * 8, cell >= 0);
  }
}

// The same pixel of other frames: one score after the other, as they are few (T - 1). `sum` is complete in all lanes.
template <class T, int D>
__device__ void add_time_line(const AttentionShape& s, const Pointers& p, const T* q, const T* k, const T* v, size_t row,
                              const Cell (&mine)[2], Best* best, float (&maximum)[2], float (&sum)[2],
                              float (&out)[D / 8][4]) {
  const int lane = threadIdx.x & 31, quad = lane & 3, plane = s.height * s.width;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const Cell me = mine[h];
    for (int u = 0; u < s.frames; ++u) {
      const bool see = me.id >= 0 && u != me.t && !((s.rule & CUDA_CAUSAL) && u > me.t);
      const int other = see ? u * plane + me.id - me.t * plane : 0;
      float score = 0.f;
      if (see)
        for (int c = quad * 2; c < D; c += 8) {
          const float2 a = load_pair(q + me.id * row + c), b = load_pair(k + other * row + c);
          score += a.x * b.x + a.y * b.y;
        }
      score = quad_sum(score) * s.scale;  // every lane takes part, whatever it sees
      if (!see) continue;
      if (s.objects && quad == 0 && u < me.t) {
        const int label = p.labels[other];
        if (label >= 0 && label < s.objects) raise(best + (size_t)label * s.frames * plane + me.id, score, other);
      }
      const float top = fmaxf(maximum[h], score), keep = __expf(maximum[h] - top), weight = __expf(score - top);
      maximum[h] = top, sum[h] = sum[h] * keep + weight;
#pragma unroll
      for (int j = 0; j < D / 8; ++j) {
        const float2 value = load_pair(v + other * row + j * 8 + quad * 2);
        out[j][h * 2] = out[j][h * 2] * keep + weight * value.x;
        out[j][h * 2 + 1] = out[j][h * 2 + 1] * keep + weight * value.y;
      }
    }
  }
}

template <class T, int D>
__global__ void __launch_bounds__(THREADS)
    attend(const AttentionShape s, const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, Pointers p,
           T* __restrict__ out) {
  VOSPLUG_DYNAMIC_SHARED(shared);
  __shared__ int q_cells[BM];
  __shared__ int k_cells[STAGES][BN];
  __shared__ Cell k_places[STAGES][BN];
  __shared__ int k_labels[STAGES][BN];
  constexpr int TILE = BN * D * 2;
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, quad = lane & 3, warp_row = warp * 16;
  const int parts = (s.block_queries + BM - 1) / BM, block = blockIdx.x / parts, m0 = blockIdx.x % parts * BM;
  const int head = blockIdx.y, cells = s.frames * s.height * s.width;
  const size_t row = (size_t)s.heads * D, batch = (size_t)blockIdx.z * cells * row + (size_t)head * D;
  const size_t copy = (size_t)blockIdx.z * s.heads + head;
  q += batch, k += batch, v += batch, out += batch;
  Best* best = s.objects ? p.best + copy * s.objects * cells : nullptr;
  p.state += copy * cells * 2;
  if (p.sums) p.sums += batch;
  if (p.labels) p.labels += (size_t)blockIdx.z * cells;
  const uint32_t q_shared = shared_address(shared), k_shared = q_shared + BM * D * 2, v_shared = k_shared + STAGES * TILE;

  if (t < BM) q_cells[t] = m0 + t < s.block_queries ? p.q_index[(size_t)block * s.block_queries + m0 + t] : -1;
  const bool places = (s.rule & (CUDA_CAUSAL | CUDA_WINDOW)) || s.objects;
  auto find = [&](int tile) {  // which keys: to be seen by all threads before they fetch
    if (t >= BN) return;
    const int n = tile * BN + t, stage = tile % STAGES;
    const int id = n < s.block_keys ? p.k_index[(size_t)block * s.block_keys + n] : -1;
    k_cells[stage][t] = id;
    k_places[stage][t] = id >= 0 && places ? cell_of(s, id) : Cell{id, 0, 0, 0};
    k_labels[stage][t] = id >= 0 && s.objects ? p.labels[id] : -1;
  };
  auto fetch = [&](int tile) {
    const int stage = tile % STAGES;
    fetch_rows<T, D>(k_shared + stage * TILE, k, k_cells[stage], row);
    fetch_rows<T, D>(v_shared + stage * TILE, v, k_cells[stage], row);
  };
  const int tiles = (s.block_keys + BN - 1) / BN;
  find(0);
  __syncthreads();
  fetch_rows<T, D>(q_shared, q, q_cells, row);
  fetch(0);
  commit();

  Cell mine[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int id = q_cells[warp_row + h * 8 + (lane >> 2)];
    mine[h] = id >= 0 ? cell_of(s, id) : Cell{-1, 0, 0, 0};
  }
  float maximum[2] = {NONE, NONE}, sum[2] = {};
  float acc[D / 8][4] = {};
  for (int tile = 0; tile < tiles; ++tile) {
    const int stage = tile % STAGES;
    if (tile + 1 < tiles) find(tile + 1);
    __syncthreads();  // the next tile's keys are known, and nobody reads its stage any more
    if (tile + 1 < tiles) fetch(tile + 1);
    commit();
    wait<1>();
    __syncthreads();
    float scores[BN / 8][4] = {};
#pragma unroll
    for (int c = 0; c < D / 16; ++c) {
      uint32_t a[4];
      load_matrices(q_shared + swizzled<D>(warp_row + (lane & 15), c * 2 + (lane >> 4)), a);
#pragma unroll
      for (int j = 0; j < BN / 16; ++j) {
        uint32_t b[4];
        const int key = j * 16 + (lane & 7) + ((lane >> 4) << 3);
        load_matrices(k_shared + stage * TILE + swizzled<D>(key, c * 2 + ((lane >> 3) & 1)), b);
        multiply<T>(scores[j * 2], a, b[0], b[1]);
        multiply<T>(scores[j * 2 + 1], a, b[2], b[3]);
      }
    }
    float top[2] = {NONE, NONE};
#pragma unroll
    for (int j = 0; j < BN / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int h = e >> 1, n = j * 8 + quad * 2 + (e & 1);
        const Cell key = k_places[stage][n];
        const bool see = sees(s, mine[h], key);
        const float score = scores[j][e] * s.scale;
        if (see && s.objects && key.t < mine[h].t) {
          const int label = k_labels[stage][n];
          if (label >= 0 && label < s.objects) raise(best + (size_t)label * cells + mine[h].id, score, key.id);
        }
        scores[j][e] = see ? score : NONE;
        top[h] = fmaxf(top[h], scores[j][e]);
      }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      top[h] = fmaxf(quad_max(top[h]), maximum[h]);
      const float keep = __expf(maximum[h] - top[h]);
      maximum[h] = top[h], sum[h] *= keep;
#pragma unroll
      for (int j = 0; j < D / 8; ++j) acc[j][h * 2] *= keep, acc[j][h * 2 + 1] *= keep;
    }
    // A query that has seen nothing yet has the maximum NONE: its hidden scores must not count as e^0.
#pragma unroll
    for (int j = 0; j < BN / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        scores[j][e] = scores[j][e] == NONE ? 0.f : __expf(scores[j][e] - maximum[e >> 1]);
        sum[e >> 1] += scores[j][e];
      }
#pragma unroll
    for (int n = 0; n < BN / 16; ++n) {
      const uint32_t a[4] = {pack_pair<T>(scores[n * 2][0], scores[n * 2][1]), pack_pair<T>(scores[n * 2][2], scores[n * 2][3]),
                             pack_pair<T>(scores[n * 2 + 1][0], scores[n * 2 + 1][1]),
                             pack_pair<T>(scores[n * 2 + 1][2], scores[n * 2 + 1][3])};
#pragma unroll
      for (int c = 0; c < D / 16; ++c) {
        uint32_t b[4];
        const int key = n * 16 + (lane & 7) + (((lane >> 3) & 1) << 3);
        load_matrices_transposed(v_shared + stage * TILE + swizzled<D>(key, c * 2 + (lane >> 4)), b);
        multiply<T>(acc[c * 2], a, b[0], b[1]);
        multiply<T>(acc[c * 2 + 1], a, b[2], b[3]);
      }
    }
    __syncthreads();  // this stage may be filled again
  }
  sum[0] = quad_sum(sum[0]), sum[1] = quad_sum(sum[1]);
  if (s.rule & CUDA_TIME_LINE) add_time_line<T, D>(s, p, q, k, v, row, mine, best, maximum, sum, acc);

#pragma unroll
  for (int h = 0; h < 2; ++h) {
    if (mine[h].id < 0) continue;
    float* state = p.state + (size_t)mine[h].id * 2;
    float keep = 0.f, fresh = 1.f;
    if (!s.first) {
      const float before = state[0], top = fmaxf(before, maximum[h]);
      keep = __expf(before - top), fresh = __expf(maximum[h] - top);
      sum[h] = sum[h] * fresh + state[1] * keep, maximum[h] = top;
    }
    if (s.last) keep /= sum[h], fresh /= sum[h];
    float* sums = p.sums + mine[h].id * row;
    T* to = out + mine[h].id * row;
#pragma unroll
    for (int j = 0; j < D / 8; ++j) {
      const int c = j * 8 + quad * 2;
      float a = acc[j][h * 2] * fresh, b = acc[j][h * 2 + 1] * fresh;
      if (!s.first) a += sums[c] * keep, b += sums[c + 1] * keep;
      if (s.last)
        store_pair(to + c, a, b);
      else
        sums[c] = a, sums[c + 1] = b;
    }
    __syncwarp(0xfu << (lane & ~3));  // the four lanes of a query have read its state
    if (quad == 0) state[0] = s.last ? maximum[h] + __logf(sum[h]) : maximum[h], state[1] = sum[h];
  }
}

template <class T, int D>
int run(const AttentionShape& s, const void* q, const void* k, const void* v, const Pointers& p, void* out,
        cudaStream_t stream) {
  auto kernel = attend<T, D>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes<D>());
  if (error) return error;
  const dim3 grid(s.blocks * ((s.block_queries + BM - 1) / BM), s.heads, s.batch);
  VOSPLUG_LAUNCH(kernel, grid, THREADS, shared_bytes<D>(), stream, s, (const T*)q, (const T*)k, (const T*)v, p, (T*)out);
  return cudaGetLastError();
}

template <class T>
int run_depth(const AttentionShape& s, const void* q, const void* k, const void* v, const Pointers& p, void* out,
              cudaStream_t stream) {
  switch (s.depth) {
    case 32: return run<T, 32>(s, q, k, v, p, out, stream);
    case 64: return run<T, 64>(s, q, k, v, p, out, stream);
    case 128: return run<T, 128>(s, q, k, v, p, out, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace

int attention_cuda(const AttentionShape& s, bool half, const void* q, const void* k, const void* v,
                   const int32_t* q_index, const int32_t* k_index, const int32_t* labels, void* out, float* sums,
                   float* state, Best* best, cudaStream_t stream) {
  if (!s.blocks || !s.batch) return cudaSuccess;
  if (s.objects && (!labels || !best)) return cudaErrorInvalidValue;
  if (!(s.first && s.last) && !sums) return cudaErrorInvalidValue;
  const Pointers p{q_index, k_index, labels, sums, state, best};
  return half ? run_depth<__half>(s, q, k, v, p, out, stream) : run_depth<__nv_bfloat16>(s, q, k, v, p, out, stream);
}

}  // namespace vosplug
