// Sparse convolution kernels: vectors of 16 bytes, which every processor of today has.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "job.h"
#include "scratch.h"

#define VOSPLUG_ISA generic
#define VOSPLUG_BYTES 16
#define VOSPLUG_NV 2
#define VOSPLUG_MR 4
#define VOSPLUG_DOT_BF16 0
#ifndef VOSPLUG_PART_BYTES
#define VOSPLUG_PART_BYTES (192 * 1024)
#endif
#include "isa.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_generic;
const ConvKernels conv_generic{"generic", generic::NR, VOSPLUG_DOT_BF16 != 0, generic::direct, generic::winograd,
                          generic::depthwise, generic::fill, generic::stage};
}  // namespace vosplug

