// Triple sparse convolution on tensor cores, in raw pointers, so that `nvcc -c` checks it where no CUDA build of torch is.
#pragma once
#include <stdint.h>

typedef struct CUstream_st* cudaStream_t;

namespace vosplug {

struct SparseConvShape {
  int batch, in_height, in_width, in_channels;    // input (B,H,W,CI): channels side by side
  int out_height, out_width, out_channels;        // output (B,HO,WO,CO)
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

// x (B,H,W,CI), weight (CO, kernel_h*kernel_w, CI), out and prev (B,HO,WO,CO): bfloat16, or float16 if `half`.
// bias float32 (CO). policy (B,HO,WO). prev null: `out` holds the previous output. workspace: 1 + B*HO*WO int32.
// CI and CO must be multiples of 8, pointers 16-byte aligned. The number of active sites stays on the device: nothing
// waits, and the calls can be captured in a CUDA graph. Returns a cudaError_t.
int sparse_conv2d_cuda(const SparseConvShape& shape, bool half, const void* x, const void* weight, const float* bias,
                       const uint8_t* policy, const void* prev, void* out, int32_t* workspace, bool relu,
                       cudaStream_t stream);

}  // namespace vosplug
