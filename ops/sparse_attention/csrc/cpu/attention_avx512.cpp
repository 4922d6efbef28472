// Sparse attention kernels: AVX-512.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "attention_job.h"
#include "types.h"
#include "scratch.h"
#include "target_avx512.h"
#define VOSPLUG_ISA avx512
#define VOSPLUG_BYTES 64
#define VOSPLUG_NV 4
#define VOSPLUG_MR 6
#define VOSPLUG_DOT_BF16 0
#include "isa.h"
#include "gemm.inl"
#include "attention.inl"

namespace vosplug {
extern const AttentionKernels attention_avx512;
const AttentionKernels attention_avx512{avx512::attention_blocks};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
