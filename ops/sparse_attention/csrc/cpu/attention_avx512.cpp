// Sparse attention kernels: AVX-512.
#if defined(__x86_64__)
#include "attention_job.h"
#include "scratch.h"
#include "target_avx512.h"
#include "gemm.inl"
#include "attention.inl"
#include "attention_backward.inl"

namespace vosplug {
extern const AttentionKernels attention_avx512;
const AttentionKernels attention_avx512{avx512::attention_blocks, avx512::attention_backward,
                                          avx512::affinity_backward};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
