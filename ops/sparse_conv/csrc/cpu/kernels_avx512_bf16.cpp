// Sparse convolution kernels: AVX-512 with bfloat16 dot products.
#if defined(__x86_64__)
#include "job.h"
#include "scratch.h"
#include "target_avx512_bf16.h"
#include "kernels.inl"

namespace vosplug {
extern const ConvKernels conv_avx512_bf16;
const ConvKernels conv_avx512_bf16{"avx512_bf16", avx512_bf16::NR, true, avx512_bf16::direct, avx512_bf16::winograd, avx512_bf16::transform, avx512_bf16::panels, avx512_bf16::depthwise, avx512_bf16::fill, avx512_bf16::stage};
}  // namespace vosplug
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
