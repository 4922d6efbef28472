// Sparse attention kernels: AVX2 and FMA.
#if defined(__x86_64__)
#include "attention_job.h"
#include "scratch.h"
#include "target_avx2.h"
#include "gemm.inl"
#include "attention.inl"
#include "attention_backward.inl"

namespace vosplug {
extern const AttentionKernels attention_avx2;
const AttentionKernels attention_avx2{avx2::attention_blocks, avx2::attention_backward,
                                          avx2::affinity_backward};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
