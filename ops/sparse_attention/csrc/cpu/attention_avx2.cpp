// Sparse attention kernels: AVX2 and FMA.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "attention_job.h"
#include "types.h"
#include "scratch.h"
#include "target_avx2.h"
#define VOSPLUG_ISA avx2
#define VOSPLUG_BYTES 32
#define VOSPLUG_NV 2
#define VOSPLUG_MR 6
#define VOSPLUG_DOT_BF16 0
#include "isa.h"
#include "gemm.inl"
#include "attention.inl"

namespace vosplug {
extern const AttentionKernels attention_avx2;
const AttentionKernels attention_avx2{avx2::attention_blocks};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
