// Sparse convolution kernels: AVX2 and FMA.
#if defined(__x86_64__)
#include "job.h"
#include "scratch.h"
#include "target_avx2.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_avx2;
const ConvKernels conv_avx2{"avx2", avx2::NR, false, avx2::direct, avx2::winograd, avx2::transform, avx2::panels, avx2::depthwise, avx2::fill, avx2::stage};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
