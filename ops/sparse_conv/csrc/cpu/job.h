// What one sparse convolution has to do, in raw pointers: made by conv.cpp, carried out by the kernels.
#pragma once
#include "types.h"

namespace vosplug {

struct Rows {             // an image with channels side by side; strides in elements
  void* data = nullptr;
  int64_t batch = 0, row = 0, column = 0, channel = 1;
  Type type = Type::f32;
};

struct ConvJob {
  // geometry: input (B,H,W,CI), output (B,HO,WO,CO)
  int64_t B, H, W, CI, HO, WO, CO;
  int kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w, groups;

  Rows in;                         // as it came
  Rows in_prev;                    // residual convolution: subtracted from `in` while staging; else data == nullptr
  const int32_t* slot = nullptr;   // staged input: pixel -> row of `operand`; null: rows are read where they are
  const int32_t* staged = nullptr; // pixels to stage, in rising order
  int64_t staged_count = 0;
  bool compact_in = false;         // row i of `operand` belongs to site i (1x1 only)
  bool converts = false;           // rows are converted block by block (1x1 without padding, channels side by side)
  const void* operand = nullptr;   // rows that the GEMM reads
  int64_t operand_row = 0;         // elements between two staged or compact rows
  bool dot_bf16 = false;           // operand and weights are bf16 pairs, else f32
  const void* zero = nullptr;      // a row of zeros for taps outside the image

  const void* weight = nullptr;    // packed: [group][panel][tap][CI/groups][NR], see pack.py
  bool far_weights = false;        // they do not stay near, and each is used for long: those that follow are asked for
  const float* bias = nullptr;     // [group][panel][NR]

  Rows residual;                   // added before the activation; null data: none
  const float* skipped = nullptr;  // [CO]: zeroed sites hold act(skipped + residual); null: zero
  bool relu = false;
  Rows out;

  const int32_t* sites = nullptr;  // active output pixels b*HO*WO + y*WO + x, rising
  int64_t site_count = 0;
  int64_t site_block = 0;          // sites worked on together, at most MOST_SITES
  const int32_t* tiles = nullptr;  // Winograd: tiles b*TH*TW + ty*TW + tx with an active pixel, and which (4 bits)
  const uint8_t* tile_bits = nullptr;
  int64_t tile_count = 0;
  int64_t tile_block = 0;          // tiles worked on together
  void* transformed = nullptr;     // or all of them, transformed: [16][tile_count][CI]

  const uint8_t* policy = nullptr; // (B,HO,WO)
  Rows prev;                       // previous output; null data: `out` holds it already
};

constexpr int MOST_SITES = 96;     // worked on together by the direct kernel

struct ConvKernels {
  const char* name;
  int panel;                                            // NR
  bool dot_bf16;
  void (*direct)(const ConvJob&, int64_t, int64_t);     // range of blocks of site_block sites
  void (*winograd)(const ConvJob&, int64_t, int64_t);   // range of blocks of tile_block tiles
  void (*transform)(const ConvJob&, int64_t, int64_t);  // range of tiles, to `transformed`
  void (*panels)(const ConvJob&, int64_t, int64_t);     // range of panels, from `transformed`
  void (*depthwise)(const ConvJob&, int64_t, int64_t);  // range of sites
  void (*fill)(const ConvJob&, int64_t, int64_t);       // range of output pixels
  void (*stage)(const ConvJob&, int64_t, int64_t);      // range of `staged`
};

extern const ConvKernels conv_generic;
#if defined(__x86_64__)
extern const ConvKernels conv_avx2, conv_avx512, conv_avx512_bf16;
#endif

}  // namespace vosplug
