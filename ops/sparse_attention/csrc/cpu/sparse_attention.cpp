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

// The parts of a job that both directions share. q (B, queries, heads*D), k (B, T*H*W, heads*D), v (B, T*H*W, heads*DV),
// all float32; see attention_job.h. sizes: T, H, W, heads, rule, radius_t, radius_y, radius_x, first, last, group_queries,
// key_step, key_span, first_query.
AttentionJob job_of(const Tensor& q, const Tensor& k, const Tensor& v, double scale, const Tensor& q_index,
                    const Tensor& k_index, const std::vector<int64_t>& sizes) {
  STD_TORCH_CHECK(sizes.size() == 14, "sizes: expected 14 numbers, got ", sizes.size());
  check(q, "q", 3, ScalarType::Float), check(k, "k", 3, ScalarType::Float), check(v, "v", 3, ScalarType::Float);
  check(q_index, "q_index", 2, ScalarType::Int), check(k_index, "k_index", 2, ScalarType::Int);
  AttentionJob j{};
  j.T = sizes[0], j.H = sizes[1], j.W = sizes[2], j.heads = sizes[3];
  j.cells = j.T * j.H * j.W;
  j.first_query = sizes[13], j.queries = j.cells - j.first_query;
  const int64_t key_cells = k.size(1);  // keys may be other cells than queries where no rule relates the two
  for (const Tensor* t : {&k, &v})
    STD_TORCH_CHECK(t->size(0) == q.size(0) && t->size(1) == key_cells && t->size(2) % j.heads == 0,
                    "q, k, v: batches, cells or heads differ");
  STD_TORCH_CHECK(j.queries > 0 && q.size(1) == j.queries && q.size(2) == k.size(2) && q.size(2) % j.heads == 0,
                  "q, k: sizes differ");
  STD_TORCH_CHECK(key_cells == j.cells || (sizes[4] == 0 && !j.first_query), "k: expected T*H*W cells");
  STD_TORCH_CHECK(q_index.size(0) == k_index.size(0), "q_index and k_index: expected the same number of blocks");
  j.D = q.size(2) / j.heads, j.DV = v.size(2) / j.heads;
  j.q_row = j.k_row = q.size(2), j.v_row = j.out_row = v.size(2);
  j.q_batch = j.queries * q.size(2), j.k_batch = key_cells * q.size(2);
  j.v_batch = key_cells * v.size(2), j.out_batch = j.queries * v.size(2);
  j.q = q.const_data_ptr<float>() - j.first_query * j.q_row;
  j.k = k.const_data_ptr<float>(), j.v = v.const_data_ptr<float>();
  j.scale = (float)scale;
  j.q_index = q_index.const_data_ptr<int32_t>(), j.k_index = k_index.const_data_ptr<int32_t>();
  j.blocks = q_index.size(0), j.block_queries = q_index.size(1), j.block_keys = k_index.size(1);
  j.rule = (int)sizes[4], j.radius_t = sizes[5], j.radius_y = sizes[6], j.radius_x = sizes[7];
  j.first = sizes[8] != 0, j.last = sizes[9] != 0;
  j.group_queries = sizes[10], j.key_step = sizes[11], j.key_span = sizes[12];
  return j;
}

// out (B, queries, heads*DV), state (B, heads, queries, 2), affinity and where (B, heads, objects, cells), where the cells
// are the last ones.
void attention_blocks(const Tensor& q, const Tensor& k, const Tensor& v, double scale, const Tensor& q_index,
                      const Tensor& k_index, const std::optional<Tensor>& labels, std::vector<int64_t> sizes, Tensor out,
                      Tensor state, const std::optional<Tensor>& affinity, const std::optional<Tensor>& where) {
  AttentionJob j = job_of(q, k, v, scale, q_index, k_index, sizes);
  const int64_t B = q.size(0);
  check(out, "out", 3, ScalarType::Float), check(state, "state", 4, ScalarType::Float);
  STD_TORCH_CHECK(out.size(0) == B && out.size(1) == j.queries && out.size(2) == v.size(2), "out: wrong size");
  STD_TORCH_CHECK(state.numel() == B * j.heads * j.queries * 2, "state: wrong size");
  j.out = out.mutable_data_ptr<float>() - j.first_query * j.out_row;
  j.state = state.mutable_data_ptr<float>() - j.first_query * 2;
  if (labels && affinity && where) {
    check(*labels, "labels", 2, ScalarType::Int), check(*affinity, "affinity", 4, ScalarType::Float);
    check(*where, "where", 4, ScalarType::Int);
    STD_TORCH_CHECK(labels->numel() == B * j.cells && k.size(1) == j.cells, "labels: wrong size");
    j.objects = affinity->size(2), j.affinities = affinity->size(3), j.first_affinity = j.cells - j.affinities;
    STD_TORCH_CHECK(affinity->numel() == B * j.heads * j.objects * j.affinities && j.affinities <= j.queries &&
                        where->numel() == affinity->numel(),
                    "affinity, where: wrong sizes");
    j.labels = labels->const_data_ptr<int32_t>();
    j.affinity = affinity->mutable_data_ptr<float>() - j.first_affinity;
    j.where = where->mutable_data_ptr<int32_t>() - j.first_affinity;
  }
  const int64_t jobs = B * j.heads * j.blocks;
  share_out(jobs, [&](int64_t b, int64_t e) { kernels().blocks(j, b, e); });
}

// One pass over blocks: grad (B, queries, heads*DV), lse and delta (B, heads, queries); of_keys: grad_k and grad_v are
// written (first) or added to, else grad_q.
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
  const int64_t copies = q.size(0) * j.heads * j.queries;
  STD_TORCH_CHECK(grad.numel() == q.size(0) * j.queries * v.size(2) && lse.numel() == copies && delta.numel() == copies &&
                      grad_q.numel() == q.numel() && grad_k.numel() == k.numel() && grad_v.numel() == v.numel(),
                  "grad, lse, delta, grad_q, grad_k, grad_v: wrong sizes");
  a.of_keys = of_keys, a.grad = grad.const_data_ptr<float>() - j.first_query * j.out_row;
  a.lse = lse.const_data_ptr<float>() - j.first_query, a.delta = delta.const_data_ptr<float>() - j.first_query;
  a.grad_q = grad_q.mutable_data_ptr<float>() - j.first_query * j.q_row, a.grad_k = grad_k.mutable_data_ptr<float>();
  a.grad_v = grad_v.mutable_data_ptr<float>();
  const int64_t jobs = q.size(0) * j.heads * j.blocks;
  share_out(jobs, [&](int64_t b, int64_t e) { kernels().backward(a, b, e); });
}

// Adds to grad_q (like q) and grad_k (like k) what affinity asks for; grad and where as affinity in attention_blocks.
// sizes: T, H, W, heads, first_query.
void affinity_backward(const Tensor& grad, const Tensor& where, const Tensor& q, const Tensor& k, double scale,
                       std::vector<int64_t> sizes, Tensor grad_q, Tensor grad_k) {
  STD_TORCH_CHECK(sizes.size() == 5, "sizes: expected 5 numbers, got ", sizes.size());
  check(grad, "grad", 4, ScalarType::Float), check(where, "where", 4, ScalarType::Int);
  for (const Tensor* t : {&q, &k, static_cast<const Tensor*>(&grad_q), static_cast<const Tensor*>(&grad_k)})
    check(*t, "q, k, grad_q, grad_k", 3, ScalarType::Float);
  AffinityBackwardJob a{};
  AttentionJob& j = a.forward;
  j.heads = sizes[3], j.cells = sizes[0] * sizes[1] * sizes[2], j.first_query = sizes[4];
  j.queries = j.cells - j.first_query, j.D = q.size(2) / j.heads, j.q_row = j.k_row = q.size(2);
  j.objects = grad.size(2), j.affinities = grad.size(3), j.first_affinity = j.cells - j.affinities;
  j.q_batch = j.queries * j.q_row, j.k_batch = j.cells * j.k_row, j.scale = (float)scale;
  STD_TORCH_CHECK(q.size(1) == j.queries && k.size(1) == j.cells && k.size(2) == q.size(2) && k.size(0) == q.size(0) &&
                      grad_q.numel() == q.numel() && grad_k.numel() == k.numel() && j.affinities <= j.queries &&
                      grad.numel() == q.size(0) * j.heads * j.objects * j.affinities && where.numel() == grad.numel(),
                  "grad, where, q, k, grad_q, grad_k: wrong sizes");
  j.q = q.const_data_ptr<float>() - j.first_query * j.q_row, j.k = k.const_data_ptr<float>();
  a.grad = grad.const_data_ptr<float>(), a.where = where.const_data_ptr<int32_t>();
  a.grad_q = grad_q.mutable_data_ptr<float>() - j.first_query * j.q_row, a.grad_k = grad_k.mutable_data_ptr<float>();
  share_out(q.size(0) * j.heads, [&](int64_t b, int64_t e) { kernels().affinity(a, b, e); });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(vosplug_cpu, m) {
  m.def(
      "attention_blocks(Tensor q, Tensor k, Tensor v, float scale, Tensor q_index, Tensor k_index, Tensor? labels, "
      "int[] sizes, Tensor(a!) out, Tensor(b!) state, Tensor(c!)? affinity, Tensor(d!)? where) -> ()");
  m.def(
      "attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor lse, Tensor delta, float scale, Tensor q_index, "
      "Tensor k_index, int[] sizes, bool of_keys, Tensor(a!) grad_q, Tensor(b!) grad_k, Tensor(c!) grad_v) -> ()");
  m.def(
      "affinity_backward(Tensor grad, Tensor where, Tensor q, Tensor k, float scale, int[] sizes, Tensor(a!) grad_q, "
      "Tensor(b!) grad_k) -> ()");
}
STABLE_TORCH_LIBRARY_IMPL(vosplug_cpu, CPU, m) {
  m.impl("attention_blocks", TORCH_BOX(&attention_blocks));
  m.impl("attention_backward", TORCH_BOX(&attention_backward));
  m.impl("affinity_backward", TORCH_BOX(&affinity_backward));
}

}  // namespace vosplug
