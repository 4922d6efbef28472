// Sparse attention kernels: vectors of 16 bytes, which every processor of today has.
#include "attention_job.h"
#include "scratch.h"
#include "target_generic.h"
#include "gemm.inl"
#include "attention.inl"
#include "attention_backward.inl"

namespace vosplug {
extern const AttentionKernels attention_generic;
const AttentionKernels attention_generic{generic::attention_blocks, generic::attention_backward,
                                          generic::affinity_backward};
}  // namespace vosplug
