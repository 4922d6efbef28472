// Attention within blocks of cells of a (B,T,H,W) grid; made by sparse_attention.cpp, carried out by the kernels.
#pragma once
#include <stdint.h>

namespace vosplug {

struct AttentionJob {
  // Cells of one batch item are numbered t*H*W + y*W + x. q and k: rows of D per head, v and out: rows of DV per head.
  // Queries may be the cells from `first_query` on alone: what belongs to queries (q, out, state, affinity, where, and in
  // the backward pass grad, lse, delta, grad_q) holds only those, and its pointer is that of a cell 0 before them.
  int64_t T, H, W, heads, D, DV, cells, first_query, queries;
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
  // Queries of a block may come in groups, of which each looks at `key_span` keys only, from key `key_step` times its
  // number. 0: the kernel chooses groups, and all look at all keys.
  int64_t group_queries, key_step, key_span;

  float* out;        // (B, queries, heads*DV)
  float* state;      // (B, heads, queries, 2): running maximum and sum; at the end [0] is the log-sum-exp
  bool first, last;  // first: state and out are unwritten; last: normalise

  const int32_t* labels;  // (B, cells) object of a cell, or null
  int64_t objects;
  int64_t first_affinity, affinities;  // the cell from which on affinity is asked for, and how many there are
  float* affinity;        // (B, heads, objects, affinities): at the start the least that counts
  int32_t* where;         // the same shape: the key that has it; -1 at the start
};

enum AttentionRule {
  RULE_NOT_SELF = 1,   // a query does not see its own cell
  RULE_CAUSAL = 2,     // nor cells of later frames
  RULE_WINDOW = 4,     // nor cells further away than the radii
  RULE_TIME_LINE = 8,  // it sees, besides the block, the same pixel of all other frames
};

// One pass over the blocks: gradient of the queries, or of keys and values, for which q_index holds keys and k_index
// queries. Row lengths of the gradients are those of what they belong to.
struct AttentionBackwardJob {
  AttentionJob forward;  // `first`: the gradients are unwritten; out and state are not used
  bool of_keys;
  const float* grad;                // of the output
  const float *lse, *delta;         // (B, heads, queries): log-sum-exp; product of output and its gradient, less that of lse
  float *grad_q, *grad_k, *grad_v;
};

// What affinity adds to the gradients of queries and keys.
struct AffinityBackwardJob {
  AttentionJob forward;  // objects, first_affinity and affinities; no blocks
  const float* grad;     // of the affinity, (B, heads, objects, affinities)
  const int32_t* where;  // the same shape
  float *grad_q, *grad_k;
};

struct AttentionKernels {  // ranges of (batch, head, block), the last of (batch, head)
  void (*blocks)(const AttentionJob&, int64_t, int64_t);
  void (*backward)(const AttentionBackwardJob&, int64_t, int64_t);
  void (*affinity)(const AffinityBackwardJob&, int64_t, int64_t);
};
extern const AttentionKernels attention_generic;
#if defined(__x86_64__)
extern const AttentionKernels attention_avx2, attention_avx512;
#endif

}  // namespace vosplug
