// The sparse convolution on the CPU, as the torch operators call it.
#pragma once
#include "job.h"
#include "view.h"

namespace vosplug {

const ConvKernels& kernels();  // those of this processor
// 0 generic, 1 AVX2, 2 AVX-512, 3 AVX-512 with bf16 dot products: what the other operators use, too.
int64_t instruction_set();

// What a layer is.
struct Plan {
  enum Entry { KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W, PAD_H, PAD_W, DIL_H, DIL_W, GROUPS, C_IN, C_OUT, FLAGS, LENGTH };
  enum Flag : int64_t { RELU = 1, DEPTHWISE = 16, COMPACT = 32 };
  explicit Plan(const View& t);
  int64_t operator[](Entry e) const { return value[e]; }
  const int64_t* value;
};

// Packed weights of a layer (pack.py); `winograd` may be missing.
struct Weights {
  View direct, winograd, bias;
};

// The sites to compute. Lists that are missing are found on the way, in work memory.
struct SiteLists {
  View policy, sites, tiles, bits;
};

// Optional: x_prev, prev, residual, skipped.
struct ConvCall {
  View x, x_prev, prev, residual, skipped, out;
};
void sparse_conv2d(const Weights& weights, const Plan& plan, const SiteLists& lists, const ConvCall& call);

void check_policy(const View& policy);
void check_values(int64_t count);
int64_t count_sites(const uint8_t* policy, int64_t n);  // how many are active; -1: a value above 2

struct Sites {
  const int32_t* sites = nullptr;
  int64_t count = 0;
  const int32_t* tiles = nullptr;
  const uint8_t* bits = nullptr;
  int64_t tile_count = 0;
};
void find_sites(const View& policy, Sites& s);  // lists in work memory, which hold until the next call
void find_tiles(const View& policy, Sites& s);
Sites sites_of(const SiteLists& lists, bool want_tiles);  // those given, checked, or found on the way

}  // namespace vosplug
