// The sparse convolution on the CPU: checks, choice of the kernel, threads.
#include "conv.h"

#include <torch/headeronly/util/Exception.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "scratch.h"
#include "share_out.h"

namespace vosplug {
namespace {

// Work-memory slots of the calling thread; the kernels use 0 to 3 and 13, sites.cpp 5 to 7.
enum Slot { SLOT_ZERO = 4, SLOT_MAP = 8, SLOT_STAGED, SLOT_OPERAND, SLOT_TRANSFORMED };

#if defined(__x86_64__)
#if VOSPLUG_EMULATE_AVX512
bool has_avx512() { return true; }
bool has_avx512_bf16() { return true; }
#else
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
#endif
#endif

const ConvKernels& choose_kernels() {
#if defined(__x86_64__)
  const char* wanted = std::getenv("VOSPLUG_ISA");  // for tests: use a smaller instruction set than there is
  const std::string_view limit = wanted ? wanted : "";
  if (limit != "generic" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if (limit == "avx2" || !has_avx512()) return conv_avx2;
    return limit != "avx512" && has_avx512_bf16() ? conv_avx512_bf16 : conv_avx512;
  }
#endif
  return conv_generic;
}
}  // namespace

const ConvKernels& kernels() {
  static const ConvKernels& chosen = choose_kernels();
  return chosen;
}

int64_t instruction_set() {
  const ConvKernels* k = &kernels();
#if defined(__x86_64__)
  if (k == &conv_avx2) return 1;
  if (k == &conv_avx512) return 2;
  if (k == &conv_avx512_bf16) return 3;
#endif
  return 0;
}

namespace {

Type type_of(const View& t, const char* name) {
  switch (t.type) {
    case ScalarType::Float: return Type::f32;
    case ScalarType::BFloat16: return Type::bf16;
    case ScalarType::Half: return Type::f16;
    default: STD_TORCH_CHECK(false, name, ": expected float32, bfloat16 or float16"); return Type::f32;
  }
}

Rows rows_of(const View& t, const char* name) {
  STD_TORCH_CHECK(t.dim == 4, name, ": expected 4 dimensions, got ", t.dim);
  Rows r;
  r.data = t.data;
  r.batch = t.stride[0], r.channel = t.size[1] == 1 ? 1 : t.stride[1], r.row = t.stride[2], r.column = t.stride[3];
  r.type = type_of(t, name);
  return r;
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A kernel and the range that it has to cover, handed out in blocks of `block`.
struct Range {
  void (*kernel)(const ConvJob&, int64_t, int64_t);
  int64_t count, block;

  int64_t blocks() const { return ceil_div(count, block); }
  void run(const ConvJob& j, int64_t begin, int64_t end) const {
    kernel(j, begin * block, end * block < count ? end * block : count);
  }
};

// Which input pixels the sites read, and their rows in a compact, converted copy.
void stage_input(ConvJob& j, int64_t element) {
  const int64_t pixels = j.B * j.H * j.W;
  int32_t* map = (int32_t*)scratch(SLOT_MAP, pixels * 4 + 64);
  std::memset(map, 0, pixels * 4);
  const int64_t plane = j.HO * j.WO;
  for (int64_t i = 0; i < j.site_count; ++i) {
    const int64_t site = j.sites[i], b = site / plane, rest = site - b * plane, y = rest / j.WO, x = rest - y * j.WO;
    for (int ky = 0; ky < j.kh; ++ky) {
      const int64_t yy = y * j.stride_h - j.pad_h + ky * j.dil_h;
      if (yy < 0 || yy >= j.H) continue;
      for (int kx = 0; kx < j.kw; ++kx) {
        const int64_t xx = x * j.stride_w - j.pad_w + kx * j.dil_w;
        if (xx >= 0 && xx < j.W) map[(b * j.H + yy) * j.W + xx] = 1;
      }
    }
  }
  int32_t* list = (int32_t*)scratch(SLOT_STAGED, pixels * 4 + 64);
  int32_t count = 0;
  for (int64_t p = 0; p < pixels; ++p)
    if (map[p]) {
      list[count] = (int32_t)p;
      map[p] = count++;
    }
  j.operand_row = ceil_div(j.CI, 2) * 2;
  j.operand = scratch(SLOT_OPERAND, (size_t)(count * j.operand_row + 16) * element);
  j.slot = map, j.staged = list, j.staged_count = count;
  const Range pixels_read{kernels().stage, count, 64};
  share_out(pixels_read.blocks(), [&](int64_t b, int64_t e) { pixels_read.run(j, b, e); });
}

// Whether every site reads one row of its own, whose channels lie side by side.
bool reads_once(const ConvJob& j) {
  return j.kh * j.kw == 1 && j.pad_h + j.pad_w == 0 && j.in.channel == 1 && !j.in_prev.data;
}

// Cost of the two kernels in units of a multiply-add of the direct one. The transforms touch 16 values per tile and
// channel, for both ends; the factors were fitted on the shapes of docs/benchmarks.md.
bool winograd_pays(const ConvJob& j) {
  const double direct = 9.0 * j.site_count * j.CI * j.CO;
  const double transformed = (double)j.tile_count * (16.0 * 1.06 * j.CI * j.CO + 320.0 * j.CI + 250.0 * j.CO);
  return transformed < direct;
}

// Half of the second-level cache of a core.
int64_t half_cache() {
  static const int64_t half = [] {
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes < 256 * 1024 ? (int64_t)512 * 1024 : (int64_t)bytes / 2;
  }();
  return half;
}

// Whether all tiles are transformed before the first product: so few that they stay near, while their weights do not.
bool weights_dominate(const ConvJob& j, int64_t element) {
  const int64_t threads = (int64_t)torch::stable::get_num_threads(), share = ceil_div(j.tile_count, threads);
  return share * 16 * j.CI * element <= (2 << 20) && share <= j.CO;
}

// `count` things worked on by blocks of at most `most`: equal blocks, as many for every thread, of whole register tiles.
int64_t even_block(int64_t count, int64_t most) {
  const int64_t threads = (int64_t)torch::stable::get_num_threads();
  const int64_t blocks = ceil_div(ceil_div(count, most), threads) * threads;
  return ceil_div(ceil_div(count, blocks), 6) * 6;
}

// How many transformed tiles are worked on together otherwise: they should stay in the second-level cache.
int64_t tile_block_of(const ConvJob& j, int64_t element) {
  const int64_t fits = half_cache() / (16 * j.CI * element) / 6 * 6;
  return even_block(j.tile_count, fits < 12 ? 12 : fits > 96 ? 96 : fits);
}

// Sites of the direct kernel: all weights pass by each block; what it may read should stay in the second-level cache.
int64_t site_block_of(const ConvJob& j, int64_t element) {
  const int64_t fits = half_cache() * 3 / 2 / (j.kh * j.kw * j.CI * element) / 6 * 6;
  return j.site_count ? even_block(j.site_count, fits < 48 ? 48 : fits > MOST_SITES ? MOST_SITES : fits) : 48;
}

// Output pixels that are zeroed or copied at a time: 64 KiB of them.
int64_t fill_block_of(const ConvJob& j) {
  const int64_t sites = (64 << 10) / (j.CO * 4);
  return sites < 16 ? 16 : sites;
}

void run_conv(ConvJob& j, const View& winograd, const View& weight, int64_t flags) {
  const ConvKernels& k = kernels();
  j.dot_bf16 = weight.type == ScalarType::BFloat16;
  const int64_t element = j.dot_bf16 ? 2 : 4;
  float* zero = (float*)scratch(SLOT_ZERO, (size_t)j.CI * 4 + 64);
  std::memset(zero, 0, (size_t)j.CI * 4 + 64);
  j.zero = zero;
  const bool plain = !j.in_prev.data && j.in.channel == 1 && j.in.type == (j.dot_bf16 ? Type::bf16 : Type::f32) &&
                     !(j.dot_bf16 && j.CI / j.groups % 2);
  if (j.compact_in)
    j.operand = j.in.data, j.operand_row = j.in.column;
  else if (!plain && reads_once(j) && !(flags & Plan::DEPTHWISE))
    j.converts = true, j.operand_row = ceil_div(j.CI, 2) * 2;
  else if (!plain && j.site_count)
    stage_input(j, element);
  const bool can = winograd && j.out.channel == 1 && (!j.residual.data || j.residual.channel == 1);
  const bool transforms = can && (!weight.count || winograd_pays(j));
  STD_TORCH_CHECK(transforms || weight.count,
                  "weight: only the Winograd form was kept, which needs an output in channels_last");
  j.weight = transforms ? winograd.data : weight.data;
  j.far_weights = transforms ? weights_dominate(j, element) : j.kh * j.kw == 1 && weight.count * element >= half_cache();
  const Range fill{k.fill, j.B * j.HO * j.WO, fill_block_of(j)};
  j.site_block = site_block_of(j, element);
  Range compute{k.direct, ceil_div(j.site_count, j.site_block), 1};
  if (flags & Plan::DEPTHWISE) {
    compute = {k.depthwise, j.site_count, 48};
  } else if (transforms && j.far_weights) {
    j.transformed = scratch(SLOT_TRANSFORMED, (size_t)(16 * j.tile_count * j.CI * element));
    const Range tiles{k.transform, j.tile_count, 6};
    share_out(tiles.blocks(), [&](int64_t b, int64_t e) { tiles.run(j, b, e); });
    compute = {k.panels, j.CO / k.panel, 1};
  } else if (transforms) {
    j.tile_block = tile_block_of(j, element);
    compute = {k.winograd, ceil_div(j.tile_count, j.tile_block), 1};
  }
  share_out(
      compute.blocks(), [&](int64_t b, int64_t e) { compute.run(j, b, e); },  //
      fill.blocks(), [&](int64_t b, int64_t e) { fill.run(j, b, e); });
}

void set_geometry(ConvJob& j, const Plan& p) {
  j.kh = (int)p[Plan::KERNEL_H], j.kw = (int)p[Plan::KERNEL_W], j.stride_h = (int)p[Plan::STRIDE_H];
  j.stride_w = (int)p[Plan::STRIDE_W], j.pad_h = (int)p[Plan::PAD_H], j.pad_w = (int)p[Plan::PAD_W];
  j.dil_h = (int)p[Plan::DIL_H], j.dil_w = (int)p[Plan::DIL_W], j.groups = (int)p[Plan::GROUPS];
}

void set_output(ConvJob& j, const View& policy, const View& out) {
  j.HO = policy.size[1], j.WO = policy.size[2], j.CO = out.size[1];
  STD_TORCH_CHECK(policy.size[0] == j.B && out.size[0] == j.B && out.size[2] == j.HO && out.size[3] == j.WO,
                  "policy and out: expected the same batch and output size");
}

void set_shapes(ConvJob& j, const View& x, const View& policy, const View& out) {
  j.B = x.size[0], j.CI = x.size[1], j.H = x.size[2], j.W = x.size[3];
  set_output(j, policy, out);
  const int64_t height = (j.H + 2 * j.pad_h - j.dil_h * (j.kh - 1) - 1) / j.stride_h + 1;
  const int64_t width = (j.W + 2 * j.pad_w - j.dil_w * (j.kw - 1) - 1) / j.stride_w + 1;
  STD_TORCH_CHECK(j.HO == height && j.WO == width, "policy: expected the size ", height, "x", width, " that x gives, got ",
                  j.HO, "x", j.WO);
}

// `x` (M, C_in) holds the rows that the sites of a 1x1 convolution read, in their order and the type of the weights.
void set_compact(ConvJob& j, const View& x, const View& weight, const View& policy, const View& out) {
  STD_TORCH_CHECK(x.dim == 2 && x.contiguous && x.type == weight.type,
                  "x: expected contiguous rows (M, C_in) of the type of the packed weights");
  STD_TORCH_CHECK(j.kh * j.kw == 1 && j.groups == 1, "x: rows of sites are for 1x1 convolutions of one group");
  j.B = policy.size[0], j.H = policy.size[1], j.W = policy.size[2], j.CI = x.size[1];
  STD_TORCH_CHECK(x.type == ScalarType::Float || j.CI % 2 == 0, "x: expected an even number of channels");
  set_output(j, policy, out);
  j.in.data = x.data, j.in.column = j.CI, j.in.type = type_of(x, "x"), j.compact_in = true;
}

// `or_none`: there may be no weights in this form, as there are others.
void check_packed(const ConvJob& j, const Weights& packed, bool depthwise) {
  const View &weight = packed.direct, &bias = packed.bias;
  const int64_t cig = j.CI / j.groups, cog = j.CO / j.groups, nr = kernels().panel;
  const int64_t kg = weight.type == ScalarType::BFloat16 ? ceil_div(cig, 2) * 2 : cig;
  const int64_t panels = j.groups * ceil_div(cog, nr);
  const int64_t w = depthwise ? j.CO * j.kh * j.kw : panels * nr * kg * j.kh * j.kw, b = depthwise ? j.CO : panels * nr;
  const bool fits = weight.count == w || (packed.winograd && !weight.count);
  STD_TORCH_CHECK(fits && weight.contiguous && bias.count == b && bias.contiguous,
                  "weight: was packed for another layer or another processor");
  STD_TORCH_CHECK(bias.type == ScalarType::Float, "bias: expected float32");
  STD_TORCH_CHECK(!packed.winograd || (packed.winograd.type == weight.type && packed.winograd.contiguous), "winograd: expected the type of weight");
  STD_TORCH_CHECK(weight.type == ScalarType::Float ||
                      (weight.type == ScalarType::BFloat16 && kernels().dot_bf16 && !depthwise),
                  "weight: expected packed float32, or bfloat16 on a processor with such dot products");
}

const float* skipped_of(const View& skipped, int64_t channels) {
  STD_TORCH_CHECK(skipped.type == ScalarType::Float && skipped.contiguous && skipped.count == channels,
                  "skipped: expected ", channels, " contiguous float32 values");
  return skipped.as<float>();
}

void set_sites(ConvJob& j, const Sites& s, const View& policy) {
  j.sites = s.sites, j.site_count = s.count, j.tiles = s.tiles, j.tile_bits = s.bits, j.tile_count = s.tile_count;
  j.policy = policy.as<uint8_t>();
}
}  // namespace

Plan::Plan(const View& t) : value(t.as<int64_t>()) {
  STD_TORCH_CHECK(t.type == ScalarType::Long && t.count == LENGTH && t.contiguous, "plan: expected ", (int)LENGTH,
                  " int64 values, as ops.sparse_conv.pack.plan_of gives them");
}

void sparse_conv2d(const Weights& weights, const Plan& plan, const SiteLists& lists, const ConvCall& call) {
  const View &x = call.x, &out = call.out, &policy = lists.policy;
  check_policy(policy);
  ConvJob j{};
  const int64_t flags = plan[Plan::FLAGS];
  set_geometry(j, plan);
  if (flags & Plan::COMPACT)
    set_compact(j, x, weights.direct, policy, out);
  else
    set_shapes(j, x, policy, out), j.in = rows_of(x, "x");
  STD_TORCH_CHECK(j.CI == plan[Plan::C_IN] && j.CO == plan[Plan::C_OUT], "x and out: expected ", plan[Plan::C_IN], " and ",
                  plan[Plan::C_OUT], " channels, got ", j.CI, " and ", j.CO);
  check_packed(j, weights, flags & Plan::DEPTHWISE);
  j.out = rows_of(out, "out");
  if (call.x_prev) j.in_prev = rows_of(call.x_prev, "x_prev");
  if (call.prev) j.prev = rows_of(call.prev, "prev_out");
  if (call.residual) {
    const View& residual = call.residual;
    j.residual = rows_of(residual, "residual");
    STD_TORCH_CHECK(residual.count == out.count && residual.size[1] == j.CO && residual.size[2] == j.HO &&
                        residual.size[3] == j.WO,
                    "residual: expected the shape of out");
    STD_TORCH_CHECK(j.residual.type == j.out.type, "residual: expected the dtype of out");
  }
  if (call.skipped) j.skipped = skipped_of(call.skipped, j.CO);
  STD_TORCH_CHECK(j.in.type == j.out.type || j.compact_in, "x and out: expected one dtype");
  const Sites s = sites_of(lists, (bool)weights.winograd);
  STD_TORCH_CHECK(!j.compact_in || s.count == x.size[0], "x: expected a row for each of the ", s.count, " sites to compute, got ",
                  x.size[0]);
  set_sites(j, s, policy);
  j.bias = weights.bias.as<float>();
  j.relu = flags & Plan::RELU;
  run_conv(j, weights.winograd, weights.direct, flags);
}

}  // namespace vosplug
