// Sparse convolution kernels: vectors of 16 bytes, which every processor of today has.
#include "job.h"
#include "scratch.h"
#include "target_generic.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_generic;
const ConvKernels conv_generic{"generic", generic::NR, false, generic::direct, generic::winograd, generic::transform, generic::panels, generic::depthwise, generic::fill, generic::stage};
}  // namespace vosplug
