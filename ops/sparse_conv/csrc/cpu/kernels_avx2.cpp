// Sparse convolution kernels: AVX2 and FMA.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "job.h"
#include "scratch.h"
#include "target_avx2.h"
#define VOSPLUG_ISA avx2
#define VOSPLUG_BYTES 32
#define VOSPLUG_NV 2
#define VOSPLUG_MR 6
#define VOSPLUG_DOT_BF16 0
#ifndef VOSPLUG_PART_BYTES
#define VOSPLUG_PART_BYTES (192 * 1024)
#endif
#include "isa.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_avx2;
const ConvKernels conv_avx2{"avx2", avx2::NR, VOSPLUG_DOT_BF16 != 0, avx2::direct, avx2::winograd,
                          avx2::depthwise, avx2::fill, avx2::stage};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
