// Torch binding of the CUDA kernels; compiled only where torch has CUDA (ops/build.py).
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <vector>

#include "attention.cuh"
#include "deformable_sample.cuh"
#include "sparse_conv.cuh"

// Stream::id() of the stable ABI is no cudaStream_t; this function gives one.
extern "C" AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index, void** ret_stream);

namespace vosplug {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using torch::stable::accelerator::DeviceGuard;

cudaStream_t stream_of(const Tensor& t) {
  void* stream = nullptr;
  STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream) == 0, "torch names no CUDA stream");
  return (cudaStream_t)stream;
}

void check(const Tensor& t, const char* name, int64_t dims, ScalarType type, const Tensor& like) {
  STD_TORCH_CHECK(t.dim() == dims && t.scalar_type() == type && t.is_contiguous() &&
                      t.get_device_index() == like.get_device_index(),
                  name, ": expected a contiguous tensor of ", dims, " dimensions, the dtype the kernel wants, on the input's device");
}
void check_half(const Tensor& t, const char* name) {
  STD_TORCH_CHECK(t.scalar_type() == ScalarType::BFloat16 || t.scalar_type() == ScalarType::Half, name,
                  ": expected bfloat16 or float16");
}
void finish(int error, const char* what) { STD_TORCH_CHECK(error == 0, what, ": CUDA error ", error); }

// x, prev, out (B, H, W, C), weight (CO, taps, CI), bias float32 (CO), policy (B, HO, WO); geometry: kernel, stride,
// padding, dilation, each vertical and horizontal. prev none: `out` holds the previous output.
void sparse_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& policy,
                   const std::optional<Tensor>& prev, Tensor out, std::vector<int64_t> geometry, bool relu) {
  check_half(x, "x");
  check(x, "x", 4, x.scalar_type(), x), check(weight, "weight", 3, x.scalar_type(), x);
  check(bias, "bias", 1, ScalarType::Float, x), check(policy, "policy", 3, ScalarType::Byte, x);
  check(out, "out", 4, x.scalar_type(), x);
  if (prev) check(*prev, "prev", 4, x.scalar_type(), x);
  STD_TORCH_CHECK(geometry.size() == 8, "geometry: expected 8 numbers, got ", geometry.size());
  std::vector<int> g(geometry.begin(), geometry.end());
  const SparseConvShape s{(int)x.size(0), (int)x.size(1), (int)x.size(2), (int)x.size(3), (int)policy.size(1),
                          (int)policy.size(2), (int)out.size(3), g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]};
  STD_TORCH_CHECK(weight.size(0) == s.out_channels && weight.size(1) == g[0] * g[1] && weight.size(2) == s.in_channels &&
                      bias.size(0) == s.out_channels, "weight and bias: sizes differ from those of x and out");
  STD_TORCH_CHECK(out.size(0) == s.batch && policy.size(0) == s.batch && out.size(1) == s.out_height &&
                      out.size(2) == s.out_width && (!prev || prev->numel() == out.numel()), "policy, prev, out: sizes differ");
  STD_TORCH_CHECK(policy.numel() < (int64_t(1) << 31), "policy: expected fewer than 2^31 sites, got ", policy.numel());
  DeviceGuard guard(x.get_device_index());
  Tensor workspace = torch::stable::new_empty(x, {policy.numel() + 1}, ScalarType::Int);
  finish(sparse_conv2d_cuda(s, x.scalar_type() == ScalarType::Half, x.const_data_ptr(), weight.const_data_ptr(),
                            bias.const_data_ptr<float>(), policy.const_data_ptr<uint8_t>(),
                            prev ? prev->const_data_ptr() : nullptr, out.mutable_data_ptr(),
                            workspace.mutable_data_ptr<int32_t>(), relu, stream_of(x)),
         "sparse_conv2d");
}

// q, k, v, out (B, T*H*W, heads*D); the rest as in attention.cuh. sizes: T, H, W, heads, rule, radius_t, radius_y,
// radius_x, first, last.
void attention_blocks(const Tensor& q, const Tensor& k, const Tensor& v, double scale, const Tensor& q_index,
                      const Tensor& k_index, const std::optional<Tensor>& labels, std::vector<int64_t> sizes, Tensor out,
                      const std::optional<Tensor>& sums, Tensor state, const std::optional<Tensor>& best) {
  STD_TORCH_CHECK(sizes.size() == 10, "sizes: expected 10 numbers, got ", sizes.size());
  check_half(q, "q");
  for (const Tensor* t : {&q, &k, &v, static_cast<const Tensor*>(&out)}) {
    check(*t, "q, k, v, out", 3, q.scalar_type(), q);
    STD_TORCH_CHECK(t->numel() == q.numel(), "q, k, v, out: sizes differ");
  }
  check(q_index, "q_index", 2, ScalarType::Int, q), check(k_index, "k_index", 2, ScalarType::Int, q);
  check(state, "state", 4, ScalarType::Float, q);
  AttentionShape s{};
  s.batch = (int)q.size(0), s.frames = (int)sizes[0], s.height = (int)sizes[1], s.width = (int)sizes[2];
  s.heads = (int)sizes[3], s.rule = (int)sizes[4];
  s.radius_t = (int)sizes[5], s.radius_y = (int)sizes[6], s.radius_x = (int)sizes[7];
  s.first = sizes[8] != 0, s.last = sizes[9] != 0, s.scale = (float)scale;
  const int64_t cells = sizes[0] * sizes[1] * sizes[2];
  STD_TORCH_CHECK(q.size(1) == cells && cells < (int64_t(1) << 31), "q: expected T*H*W rows, fewer than 2^31");
  STD_TORCH_CHECK(s.heads > 0 && q.size(2) % s.heads == 0, "q: expected channels that the heads divide");
  s.depth = (int)(q.size(2) / s.heads);
  s.blocks = (int)q_index.size(0), s.block_queries = (int)q_index.size(1), s.block_keys = (int)k_index.size(1);
  STD_TORCH_CHECK(k_index.size(0) == s.blocks, "q_index and k_index: expected the same number of blocks");
  STD_TORCH_CHECK(state.numel() == s.batch * s.heads * cells * 2, "state: wrong size");
  STD_TORCH_CHECK((s.first && s.last) || (sums && sums->numel() == q.numel()), "sums: wrong size");
  if (sums) check(*sums, "sums", 3, ScalarType::Float, q);
  if (labels && best) {
    check(*labels, "labels", 2, ScalarType::Int, q), check(*best, "best", 4, ScalarType::Long, q);
    s.objects = (int)best->size(2);
    STD_TORCH_CHECK(labels->numel() == s.batch * cells && best->numel() == s.batch * s.heads * s.objects * cells,
                    "labels and best: wrong sizes");
  }
  DeviceGuard guard(q.get_device_index());
  finish(attention_cuda(s, q.scalar_type() == ScalarType::Half, q.const_data_ptr(), k.const_data_ptr(),
                        v.const_data_ptr(), q_index.const_data_ptr<int32_t>(), k_index.const_data_ptr<int32_t>(),
                        s.objects ? labels->const_data_ptr<int32_t>() : nullptr, out.mutable_data_ptr(),
                        sums ? sums->mutable_data_ptr<float>() : nullptr, state.mutable_data_ptr<float>(),
                        s.objects ? (Best*)best->mutable_data_ptr<int64_t>() : nullptr, stream_of(q)),
         "attention_blocks");
}

// x (B, H, W, C), offsets float32 (B, groups, 2, GH, GW), out (B, GH*GW, C) like x.
void deformable_sample(const Tensor& x, const Tensor& offsets, Tensor out) {
  const ScalarType type = x.scalar_type();
  if (type != ScalarType::Float) check_half(x, "x");
  check(x, "x", 4, type, x), check(offsets, "offsets", 5, ScalarType::Float, x), check(out, "out", 3, type, x);
  const SampleShape s{(int)x.size(0), (int)x.size(1), (int)x.size(2), (int)x.size(3), (int)offsets.size(1),
                      (int)offsets.size(3), (int)offsets.size(4)};
  STD_TORCH_CHECK(offsets.size(0) == x.size(0) && offsets.size(2) == 2 && out.size(0) == x.size(0) &&
                      out.size(1) == offsets.size(3) * offsets.size(4) && out.size(2) == x.size(3),
                  "x, offsets, out: sizes differ");
  DeviceGuard guard(x.get_device_index());
  const SampleType kind = type == ScalarType::Float ? SAMPLE_FLOAT : type == ScalarType::Half ? SAMPLE_HALF : SAMPLE_BFLOAT16;
  finish(deformable_sample_cuda(s, kind, x.const_data_ptr(), offsets.const_data_ptr<float>(), out.mutable_data_ptr(),
                                stream_of(x)),
         "deformable_sample");
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(vosplug_cuda, m) {
  m.def(
      "sparse_conv2d(Tensor x, Tensor weight, Tensor bias, Tensor policy, Tensor? prev, Tensor(a!) out, int[] geometry, "
      "bool relu) -> ()");
  m.def(
      "attention_blocks(Tensor q, Tensor k, Tensor v, float scale, Tensor q_index, Tensor k_index, Tensor? labels, "
      "int[] sizes, Tensor(a!) out, Tensor(b!)? sums, Tensor(c!) state, Tensor(d!)? best) -> ()");
  m.def("deformable_sample(Tensor x, Tensor offsets, Tensor(a!) out) -> ()");
}
STABLE_TORCH_LIBRARY_IMPL(vosplug_cuda, CUDA, m) {
  m.impl("sparse_conv2d", TORCH_BOX(&sparse_conv2d));
  m.impl("attention_blocks", TORCH_BOX(&attention_blocks));
  m.impl("deformable_sample", TORCH_BOX(&deformable_sample));
}

}  // namespace vosplug
