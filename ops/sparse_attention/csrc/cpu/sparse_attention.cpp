// Torch binding of attention within blocks of cells.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstring>
#include <optional>
#include <vector>

#include "attention_job.h"
#include "share_out.h"

namespace vosplug {
int64_t instruction_set();  // conv.cpp

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const AttentionKernels& kernels() {
#if defined(__x86_64__)
  if (instruction_set() >= 2) return attention_avx512;
  if (instruction_set() == 1) return attention_avx2;
#endif
  return attention_generic;
}

void check(const Tensor& t, const char* name, int64_t dims, ScalarType type) {
  STD_TORCH_CHECK(t.dim() == dims && t.scalar_type() == type && t.is_contiguous(), name, ": expected a contiguous tensor of ",
                  dims, " dimensions and the dtype the kernel wants");
}

// The parts of a job that both directions share. q, k (B, T*H*W, heads*D), v (B, T*H*W, heads*DV), all float32; see
// attention_job.h. sizes: T, H, W, heads, rule, radius_t, radius_y, radius_x, first, last, group_queries, key_step,
// key_span.
AttentionJob job_of(const Tensor& q, const Tensor& k, const Tensor& v, double scale, const Tensor& q_index,
                    const Tensor& k_index, const std::vector<int64_t>& sizes) {
  STD_TORCH_CHECK(sizes.size() == 13, "sizes: expected 13 numbers, got ", sizes.size());
  check(q, "q", 3, ScalarType::Float), check(k, "k", 3, ScalarType::Float), check(v, "v", 3, ScalarType::Float);
  check(q_index, "q_index", 2, ScalarType::Int), check(k_index, "k_index", 2, ScalarType::Int);
  AttentionJob j{};
  j.T = sizes[0], j.H = sizes[1], j.W = sizes[2], j.heads = sizes[3];
  j.cells = j.T * j.H * j.W;
  const int64_t key_cells = k.size(1);  // keys may be other cells than queries where no rule relates the two
  for (const Tensor* t : {&k, &v})
    STD_TORCH_CHECK(t->size(0) == q.size(0) && t->size(1) == key_cells && t->size(2) % j.heads == 0,
                    "q, k, v: batches, cells or heads differ");
  STD_TORCH_CHECK(q.size(1) == j.cells && q.size(2) == k.size(2) && q.size(2) % j.heads == 0, "q, k: sizes differ");
  STD_TORCH_CHECK(key_cells == j.cells || sizes[4] == 0, "k: expected as many cells as q has");
  STD_TORCH_CHECK(q_index.size(0) == k_index.size(0), "q_index and k_index: expected the same number of blocks");
  j.D = q.size(2) / j.heads, j.DV = v.size(2) / j.heads;
  j.q = q.const_data_ptr<float>(), j.k = k.const_data_ptr<float>(), j.v = v.const_data_ptr<float>();
  j.q_row = j.k_row = q.size(2), j.v_row = j.out_row = v.size(2);
  j.q_batch = j.cells * q.size(2), j.k_batch = key_cells * q.size(2);
  j.v_batch = key_cells * v.size(2), j.out_batch = j.cells * v.size(2);
  j.scale = (float)scale;
  j.q_index = q_index.const_data_ptr<int32_t>(), j.k_index = k_index.const_data_ptr<int32_t>();
  j.blocks = q_index.size(0), j.block_queries = q_index.size(1), j.block_keys = k_index.size(1);
  j.rule = (int)sizes[4], j.radius_t = sizes[5], j.radius_y = sizes[6], j.radius_x = sizes[7];
  j.first = sizes[8] != 0, j.last = sizes[9] != 0;
  j.group_queries = sizes[10], j.key_step = sizes[11], j.key_span = sizes[12];
  return j;
}

// out (B, T*H*W, heads*DV), state (B, heads, T*H*W, 2), affinity (B, heads, objects, T*H*W).
void attention_blocks(const Tensor& q, const Tensor& k, const Tensor& v, double scale, const Tensor& q_index,
                      const Tensor& k_index, const std::optional<Tensor>& labels, std::vector<int64_t> sizes, Tensor out,
                      Tensor state, const std::optional<Tensor>& affinity) {
  AttentionJob j = job_of(q, k, v, scale, q_index, k_index, sizes);
  const int64_t B = q.size(0);
  check(out, "out", 3, ScalarType::Float), check(state, "state", 4, ScalarType::Float);
  STD_TORCH_CHECK(out.size(0) == B && out.size(1) == j.cells && out.size(2) == v.size(2), "out: wrong size");
  STD_TORCH_CHECK(state.numel() == B * j.heads * j.cells * 2, "state: wrong size");
  j.out = out.mutable_data_ptr<float>(), j.state = state.mutable_data_ptr<float>();
  if (labels && affinity) {
    check(*labels, "labels", 2, ScalarType::Int), check(*affinity, "affinity", 4, ScalarType::Float);
    STD_TORCH_CHECK(labels->numel() == B * j.cells && k.size(1) == j.cells, "labels: wrong size");
    j.objects = affinity->size(2);
    STD_TORCH_CHECK(affinity->numel() == B * j.heads * j.objects * j.cells, "affinity: wrong size");
    j.labels = labels->const_data_ptr<int32_t>(), j.affinity = affinity->mutable_data_ptr<float>();
  }
  const int64_t jobs = B * j.heads * j.blocks;
  share_out(jobs, [&](int64_t b, int64_t e) { kernels().blocks(j, b, e); });
}

// One pass over blocks whose cells are as many queries as keys: grad like v, lse and delta (B, heads, T*H*W); of_keys:
// grad_k and grad_v are written (first) or added to, else grad_q.
void attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& lse,
                        const Tensor& delta, double scale, const Tensor& q_index, const Tensor& k_index,
                        std::vector<int64_t> sizes, bool of_keys, Tensor grad_q, Tensor grad_k, Tensor grad_v) {
  AttentionBackwardJob a{};
  a.forward = job_of(q, k, v, scale, q_index, k_index, sizes);
  const AttentionJob& j = a.forward;
  STD_TORCH_CHECK(k.size(1) == j.cells, "k: expected as many cells as q has");
  check(grad, "grad", 3, ScalarType::Float), check(lse, "lse", 3, ScalarType::Float);
  check(delta, "delta", 3, ScalarType::Float), check(grad_q, "grad_q", 3, ScalarType::Float);
  check(grad_k, "grad_k", 3, ScalarType::Float), check(grad_v, "grad_v", 3, ScalarType::Float);
  const int64_t copies = q.size(0) * j.heads * j.cells;
  STD_TORCH_CHECK(grad.numel() == v.numel() && lse.numel() == copies && delta.numel() == copies &&
                      grad_q.numel() == q.numel() && grad_k.numel() == k.numel() && grad_v.numel() == v.numel(),
                  "grad, lse, delta, grad_q, grad_k, grad_v: wrong sizes");
  a.of_keys = of_keys, a.grad = grad.const_data_ptr<float>();
  a.lse = lse.const_data_ptr<float>(), a.delta = delta.const_data_ptr<float>();
  a.grad_q = grad_q.mutable_data_ptr<float>(), a.grad_k = grad_k.mutable_data_ptr<float>();
  a.grad_v = grad_v.mutable_data_ptr<float>();
  const int64_t jobs = q.size(0) * j.heads * j.blocks;
  share_out(jobs, [&](int64_t b, int64_t e) { kernels().backward(a, b, e); });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(vosplug_cpu, m) {
  m.def(
      "attention_blocks(Tensor q, Tensor k, Tensor v, float scale, Tensor q_index, Tensor k_index, Tensor? labels, "
      "int[] sizes, Tensor(a!) out, Tensor(b!) state, Tensor(c!)? affinity) -> ()");
  m.def(
      "attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor lse, Tensor delta, float scale, Tensor q_index, "
      "Tensor k_index, int[] sizes, bool of_keys, Tensor(a!) grad_q, Tensor(b!) grad_k, Tensor(c!) grad_v) -> ()");
}
STABLE_TORCH_LIBRARY_IMPL(vosplug_cpu, CPU, m) {
  m.impl("attention_blocks", TORCH_BOX(&attention_blocks));
  m.impl("attention_backward", TORCH_BOX(&attention_backward));
}

}  // namespace vosplug
