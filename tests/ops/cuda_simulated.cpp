// Entry points for ctypes: the launchers of the CUDA kernels, on the simulated device.
#include "attention.cuh"
#include "deformable_sample.cuh"
#include "sparse_conv.cuh"

extern "C" {

int simulated_conv(const int* s, int half, const void* x, const void* weight, const float* bias, const uint8_t* policy,
                   const void* prev, void* out, int32_t* workspace, int relu) {
  const vosplug::SparseConvShape shape{s[0], s[1], s[2],  s[3],  s[4],  s[5],  s[6], s[7],
                                       s[8], s[9], s[10], s[11], s[12], s[13], s[14]};
  return vosplug::sparse_conv2d_cuda(shape, half, x, weight, bias, policy, prev, out, workspace, relu, nullptr);
}

int simulated_attention(const int* s, float scale, int half, const void* q, const void* k, const void* v,
                        const int32_t* q_index, const int32_t* k_index, const int32_t* labels, void* out, float* sums,
                        float* state, uint64_t* best) {
  const vosplug::AttentionShape shape{s[0], s[1], s[2], s[3],  s[4],  s[5],       s[6],        s[7], s[8],
                                      s[9], s[10], s[11], s[12], s[13], s[14] != 0, s[15] != 0, scale};
  return vosplug::attention_cuda(shape, half, q, k, v, q_index, k_index, labels, out, sums, state,
                                 (vosplug::Best*)best, nullptr);
}

int simulated_sample(const int* s, int type, const void* x, const float* offsets, void* out) {
  const vosplug::SampleShape shape{s[0], s[1], s[2], s[3], s[4], s[5], s[6]};
  return vosplug::deformable_sample_cuda(shape, (vosplug::SampleType)type, x, offsets, out, nullptr);
}
}
