// Attention within blocks of cells of a (B,T,H,W) grid; made by sparse_attention.cpp, carried out by the kernels.
#pragma once
#include <stdint.h>

namespace vosplug {

struct AttentionJob {
  // Cells of one batch item are numbered t*H*W + y*W + x. q and k: rows of D per head, v and out: rows of DV per head.
  int64_t T, H, W, heads, D, DV, cells;
  const float* q;
  const float* k;
  const float* v;
  int64_t q_row, k_row, v_row, out_row;          // floats between two cells
  int64_t q_batch, k_batch, v_batch, out_batch;  // floats between two batch items
  float scale;

  // Blocks: every query of a block looks at every key of the block that `rule` lets it see. -1: no cell.
  const int32_t* q_index;
  const int32_t* k_index;
  int64_t blocks, block_queries, block_keys;
  int rule;
  int64_t radius_t, radius_y, radius_x;

  float* out;        // (B, cells, heads*DV)
  float* state;      // (B, heads, cells, 2): running maximum and sum; at the end [0] is the log-sum-exp
  bool first, last;  // first: state and out are unwritten; last: normalise

  const int32_t* labels;  // (B, cells) object of a cell, or null
  int64_t objects;
  float* affinity;        // (B, heads, objects, cells), zero at the start
};

enum AttentionRule {
  RULE_NOT_SELF = 1,   // a query does not see its own cell
  RULE_CAUSAL = 2,     // nor cells of later frames
  RULE_WINDOW = 4,     // nor cells further away than the radii
  RULE_TIME_LINE = 8,  // it sees, besides the block, the same pixel of all other frames
};

struct AttentionKernels {
  void (*blocks)(const AttentionJob&, int64_t, int64_t);  // range of (batch, head, block)
};
extern const AttentionKernels attention_generic;
#if defined(__x86_64__)
extern const AttentionKernels attention_avx2, attention_avx512;
#endif

}  // namespace vosplug
