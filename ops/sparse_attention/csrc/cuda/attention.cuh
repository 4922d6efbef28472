// Attention within blocks of cells on tensor cores, in raw pointers, so that `nvcc -c` checks it where no CUDA build of
// torch is. Blocks and rules are those of the CPU kernel (attention_job.h).
#pragma once
#include <stdint.h>

typedef struct CUstream_st* cudaStream_t;

namespace vosplug {

struct AttentionShape {
  int batch, frames, height, width, heads;        // cells are numbered t*H*W + y*W + x
  int depth;                                      // channels per head of q, k, v and out: 32, 64 or 128
  int blocks, block_queries, block_keys;
  int rule, radius_t, radius_y, radius_x;         // AttentionRule
  int objects;                                    // 0: no affinity
  bool first, last;                               // the cells were not, or will not be, queries of other calls
  float scale;
};

using Best = unsigned long long;  // of an object: its largest score, and the key that has it, see attention_cuda

enum { CUDA_NOT_SELF = 1, CUDA_CAUSAL = 2, CUDA_WINDOW = 4, CUDA_TIME_LINE = 8 };

// q, k, v, out (B, cells, heads*depth): bfloat16, or float16 if `half`; 16-byte aligned. q_index (blocks, block_queries)
// and k_index (blocks, block_keys): cells, -1 none. sums (B, cells, heads*depth) float32 carries the output between calls
// (unused where first and last). state (B, heads, cells, 2) float32: maximum and sum, after the last call [0] is the
// log-sum-exp. labels (B, cells), best (B, heads, objects, cells): the upper half is the score (its bits, turned round if it
// is negative, else with the highest one set), the lower half the complement of the key; before the first call the score
// that has to be exceeded, with 0. A query is in one block of a call at most. Nothing waits for the device. Returns a cudaError_t.
int attention_cuda(const AttentionShape& shape, bool half, const void* q, const void* k, const void* v,
                   const int32_t* q_index, const int32_t* k_index, const int32_t* labels, void* out, float* sums,
                   float* state, Best* best, cudaStream_t stream);

}  // namespace vosplug
