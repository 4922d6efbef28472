// Sparse convolution kernels: AVX-512 with dot products of bf16.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "job.h"
#include "scratch.h"
#include "target_avx512_bf16.h"
#define VOSPLUG_ISA avx512_bf16
#define VOSPLUG_BYTES 64
#define VOSPLUG_NV 4
#define VOSPLUG_MR 6
#define VOSPLUG_DOT_BF16 1
#ifndef VOSPLUG_PART_BYTES
#define VOSPLUG_PART_BYTES (192 * 1024)
#endif
#include "isa.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_avx512_bf16;
const ConvKernels conv_avx512_bf16{"avx512_bf16", avx512_bf16::NR, VOSPLUG_DOT_BF16 != 0, avx512_bf16::direct, avx512_bf16::winograd,
                          avx512_bf16::depthwise, avx512_bf16::fill, avx512_bf16::stage};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
