// Sparse convolution kernels: AVX-512.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "job.h"
#include "scratch.h"
#include "target_avx512.h"
#define VOSPLUG_ISA avx512
#define VOSPLUG_BYTES 64
#define VOSPLUG_NV 4
#define VOSPLUG_MR 6
#define VOSPLUG_DOT_BF16 0
#ifndef VOSPLUG_PART_BYTES
#define VOSPLUG_PART_BYTES (192 * 1024)
#endif
#include "isa.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_avx512;
const ConvKernels conv_avx512{"avx512", avx512::NR, VOSPLUG_DOT_BF16 != 0, avx512::direct, avx512::winograd,
                          avx512::depthwise, avx512::fill, avx512::stage};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
