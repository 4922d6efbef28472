// Torch operators of the sparse convolution on the CPU.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstring>
#include <optional>
#include <tuple>

#include "conv.h"

namespace vosplug {
namespace {

using torch::stable::Tensor;

View view_of(const Tensor& t) {
  return View(t.data_ptr(), t.scalar_type(), t.dim(), t.sizes().data(), t.strides().data());
}
View view_of(const std::optional<Tensor>& t) { return t ? view_of(*t) : View(); }

int64_t active_count(const Tensor& policy) {
  const View view = view_of(policy);
  check_policy(view);
  const int64_t n = count_sites(view.as<uint8_t>(), view.count);
  check_values(n);
  return n;
}

Tensor list_of(const Tensor& policy, const void* values, int64_t count, ScalarType type) {
  Tensor list = torch::stable::new_empty(policy, {count}, type);
  if (count) std::memcpy(list.mutable_data_ptr(), values, count * list.element_size());
  return list;
}

Tensor active_sites(const Tensor& policy) {
  const View view = view_of(policy);
  check_policy(view);
  Sites s;
  find_sites(view, s);
  return list_of(policy, s.sites, s.count, ScalarType::Int);
}

std::tuple<Tensor, Tensor> active_tiles(const Tensor& policy) {
  const View view = view_of(policy);
  check_policy(view);
  Sites s;
  find_tiles(view, s);
  return {list_of(policy, s.tiles, s.tile_count, ScalarType::Int), list_of(policy, s.bits, s.tile_count, ScalarType::Byte)};
}

void conv2d(const Tensor& x, const std::optional<Tensor>& x_prev, const Tensor& weight, const std::optional<Tensor>& winograd,
            const Tensor& bias, const Tensor& policy, const std::optional<Tensor>& sites, const std::optional<Tensor>& tiles,
            const std::optional<Tensor>& bits, const std::optional<Tensor>& prev, const std::optional<Tensor>& residual,
            const std::optional<Tensor>& skipped, Tensor out, const Tensor& plan) {
  sparse_conv2d({view_of(weight), view_of(winograd), view_of(bias)}, Plan(view_of(plan)),
                {view_of(policy), view_of(sites), view_of(tiles), view_of(bits)},
                {view_of(x), view_of(x_prev), view_of(prev), view_of(residual), view_of(skipped), view_of(out)});
}

// 64-bit fingerprint of the bytes of a contiguous tensor: tells whether a packed weight is still up to date.
int64_t fingerprint(const Tensor& t) {
  STD_TORCH_CHECK(t.is_contiguous() || t.numel() == 0, "fingerprint: expected a contiguous tensor");
  const unsigned char* p = (const unsigned char*)t.const_data_ptr();
  const size_t n = (size_t)t.numel() * t.element_size();
  uint64_t lane[8] = {1, 3, 5, 7, 11, 13, 17, 19};
  size_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (int l = 0; l < 8; ++l) {
      uint64_t u;
      std::memcpy(&u, p + i + l * 8, 8);
      lane[l] = (lane[l] ^ u) * 0x9e3779b97f4a7c15u;
      lane[l] ^= lane[l] >> 29;
    }
  uint64_t h = n;
  for (; i < n; ++i) h = (h ^ p[i]) * 0x100000001b3u;
  for (uint64_t l : lane) h = (h ^ l) * 0xff51afd7ed558ccdu, h ^= h >> 32;
  return (int64_t)h;
}

int64_t conv_panel() { return kernels().panel; }
bool conv_dot_bf16() { return kernels().dot_bf16; }
}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(vosplug_cpu, m) {
  m.def("conv_panel() -> int");
  m.def("conv_dot_bf16() -> bool");
  m.def("conv_isa() -> int");
  m.def("fingerprint(Tensor t) -> int");
  m.def("active_sites(Tensor policy) -> Tensor");
  m.def("active_tiles(Tensor policy) -> (Tensor, Tensor)");
  m.def("active_count(Tensor policy) -> int");
  m.def(
      "sparse_conv2d(Tensor x, Tensor? x_prev, Tensor weight, Tensor? winograd, Tensor bias, Tensor policy, Tensor? sites, "
      "Tensor? tiles, Tensor? bits, Tensor? prev, Tensor? residual, Tensor? skipped, Tensor(a!) out, Tensor plan) -> ()");
}
STABLE_TORCH_LIBRARY_IMPL(vosplug_cpu, CompositeExplicitAutograd, m) {
  m.impl("conv_panel", TORCH_BOX(&conv_panel));
  m.impl("conv_dot_bf16", TORCH_BOX(&conv_dot_bf16));
  m.impl("conv_isa", TORCH_BOX(&instruction_set));
}
STABLE_TORCH_LIBRARY_IMPL(vosplug_cpu, CPU, m) {
  m.impl("fingerprint", TORCH_BOX(&fingerprint));
  m.impl("active_sites", TORCH_BOX(&active_sites));
  m.impl("active_tiles", TORCH_BOX(&active_tiles));
  m.impl("active_count", TORCH_BOX(&active_count));
  m.impl("sparse_conv2d", TORCH_BOX(&conv2d));
}

}  // namespace vosplug
