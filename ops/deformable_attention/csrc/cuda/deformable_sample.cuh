// Resampling of deformable attention, in raw pointers, so that `nvcc -c` checks it where no CUDA build of torch is.
#pragma once
#include <stdint.h>

typedef struct CUstream_st* cudaStream_t;

namespace vosplug {

struct SampleShape {
  int batch, height, width, channels;  // x (B, H, W, C): channels side by side
  int groups, grid_height, grid_width;
};

enum SampleType { SAMPLE_FLOAT = 0, SAMPLE_BFLOAT16 = 1, SAMPLE_HALF = 2 };

// out (B, grid_height*grid_width, C), rows as the key and value projections read them, from x at the points of a uniform
// grid moved by `offsets` (B, groups, 2, grid_height, grid_width), float32 pixels (vertical, horizontal); zeros outside
// (deformable DeAOT, Eq. 3 and 4). Channels per group are a multiple of 8 (16 bytes of a 16-bit type); pointers are 16-byte
// aligned. Returns a cudaError_t.
int deformable_sample_cuda(const SampleShape& shape, SampleType type, const void* x, const float* offsets, void* out,
                           cudaStream_t stream);

}  // namespace vosplug
