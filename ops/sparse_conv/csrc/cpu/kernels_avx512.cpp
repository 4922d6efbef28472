// Sparse convolution kernels: AVX-512.
#if defined(__x86_64__)
#include "job.h"
#include "scratch.h"
#include "target_avx512.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_avx512;
const ConvKernels conv_avx512{"avx512", avx512::NR, false, avx512::direct, avx512::winograd, avx512::transform, avx512::panels, avx512::depthwise, avx512::fill, avx512::stage};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
