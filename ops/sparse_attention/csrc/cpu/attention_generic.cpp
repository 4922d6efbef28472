// Sparse attention kernels: vectors of 16 bytes, which every processor of today has.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attention_job.h"
#include "types.h"
#include "scratch.h"

#define VOSPLUG_ISA generic
#define VOSPLUG_BYTES 16
#define VOSPLUG_NV 2
#define VOSPLUG_MR 4
#define VOSPLUG_DOT_BF16 0
#include "isa.h"
#include "gemm.inl"
#include "attention.inl"

namespace vosplug {
extern const AttentionKernels attention_generic;
const AttentionKernels attention_generic{generic::attention_blocks};
}  // namespace vosplug

