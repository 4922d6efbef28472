// Vector types of one instruction set. Every kernels_*.cpp defines VOSPLUG_ISA (a namespace), VOSPLUG_BYTES (vector
// length) and switches the compiler to the instruction set before it includes this file; nothing here may come from the
// C++ library, as its inline functions would be compiled for that instruction set and then be picked for all.
#pragma once
#include <stdint.h>
#include <string.h>

#include "types.h"

namespace vosplug {
namespace VOSPLUG_ISA {

constexpr int VW = VOSPLUG_BYTES / 4;  // floats in a vector
typedef float vf __attribute__((vector_size(VOSPLUG_BYTES)));
typedef int32_t vi __attribute__((vector_size(VOSPLUG_BYTES)));
typedef uint32_t vu __attribute__((vector_size(VOSPLUG_BYTES)));
typedef float vf_any __attribute__((vector_size(VOSPLUG_BYTES), aligned(4), may_alias));
typedef uint16_t vs_any __attribute__((vector_size(VOSPLUG_BYTES / 2), aligned(2), may_alias));

static inline __attribute__((always_inline)) vf load(const float* p) { return *(const vf_any*)p; }
static inline __attribute__((always_inline)) void store(float* p, vf v) { *(vf_any*)p = v; }
static inline __attribute__((always_inline)) vf splat(float s) { return s - (vf){}; }
static inline __attribute__((always_inline)) vi splat_int(int32_t s) { return s - (vi){}; }

static inline __attribute__((always_inline)) vf load(const bf16* p) {
  return (vf)(__builtin_convertvector(*(const vs_any*)p, vu) << 16);
}
// Round to nearest even; a NaN keeps its sign and stays a NaN.
static inline __attribute__((always_inline)) void store(bf16* p, vf v) {
#if VOSPLUG_DOT_BF16
  _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_cvtneps_pbh((__m512)v));
#else
  vu u = (vu)v;
  vu rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  vu nan = (u >> 16) | 0x40;
  vi is_nan = (u & 0x7fffffff) > 0x7f800000;
  vu r = ((vu)is_nan & nan) | (~(vu)is_nan & rounded);
  *(vs_any*)p = __builtin_convertvector(r, vs_any);
#endif
}
static inline vf load(const f16* p) {
#if VOSPLUG_BYTES == 64
  return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif VOSPLUG_BYTES == 32
  return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
  float t[VW];
  for (int i = 0; i < VW; ++i) t[i] = to_float(p[i]);
  return load(t);
#endif
}
static inline void store(f16* p, vf v) {
#if VOSPLUG_BYTES == 64
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif VOSPLUG_BYTES == 32
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
  float t[VW];
  store(t, v);
  for (int i = 0; i < VW; ++i) p[i] = from_float<f16>(t[i]);
#endif
}

// The larger of two vectors; of what cannot be compared, b.
static inline __attribute__((always_inline)) vf maximum_of(vf a, vf b) {
#if VOSPLUG_BYTES == 64
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif VOSPLUG_BYTES == 32
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
// This way round a NaN stays, as in torch's relu.
static inline __attribute__((always_inline)) vf relu(vf x) { return maximum_of((vf){}, x); }

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
