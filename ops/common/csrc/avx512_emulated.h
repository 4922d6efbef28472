// The AVX-512 instructions that the kernels name, in plain C++: with VOSPLUG_EMULATE_AVX512 their code can be tested on a
// processor without them (make test-avx512). Values are those of the instructions, but for the order of sums within a dot
// product of bfloat16 pairs, and flushing of tiny values there. Slow, and never in a build for use.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "types.h"

#define VOSPLUG_EMULATED static inline __attribute__((always_inline))
typedef __m512i emulated_bf16s;  // 32 bfloat16

VOSPLUG_EMULATED __m512 emulated_max_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a[i] = a[i] > b[i] ? a[i] : b[i];
  return a;
}
VOSPLUG_EMULATED __m512i emulated_loadu_si512(const void* p) {
  __m512i v;
  memcpy(&v, p, 64);
  return v;
}
VOSPLUG_EMULATED void emulated_storeu_si512(void* p, __m512i v) { memcpy(p, &v, 64); }
VOSPLUG_EMULATED void emulated_stream_ps(float* p, __m512 v) {
  if ((uintptr_t)p % 64) __builtin_trap();
  memcpy(p, &v, 64);
}
VOSPLUG_EMULATED __m512i emulated_set1_epi32(int x) {
  __m512i v;
  for (int i = 0; i < 16; ++i) memcpy((char*)&v + 4 * i, &x, 4);
  return v;
}
VOSPLUG_EMULATED __m512 emulated_insertf32x4(__m512 a, __m128 b, int quarter) {
  memcpy((char*)&a + 16 * quarter, &b, 16);
  return a;
}
VOSPLUG_EMULATED __m512 emulated_castps128_ps512(__m128 a) { return emulated_insertf32x4(__m512{}, a, 0); }

// Within every quarter: places of a and of b, two bits each.
VOSPLUG_EMULATED __m512 emulated_shuffle_ps(__m512 a, __m512 b, int places) {
  __m512 r = a;
  for (int q = 0; q < 16; q += 4)
    for (int i = 0; i < 4; ++i) r[q + i] = (i < 2 ? a : b)[q + (places >> 2 * i & 3)];
  return r;
}
VOSPLUG_EMULATED __m512 emulated_unpack(__m512 a, __m512 b, int first) {
  __m512 r = a;
  for (int q = 0; q < 16; q += 4)
    for (int i = 0; i < 4; ++i) r[q + i] = (i % 2 ? b : a)[q + first + i / 2];
  return r;
}
VOSPLUG_EMULATED __m512 emulated_unpacklo_ps(__m512 a, __m512 b) { return emulated_unpack(a, b, 0); }
VOSPLUG_EMULATED __m512 emulated_unpackhi_ps(__m512 a, __m512 b) { return emulated_unpack(a, b, 2); }

template <class T>
VOSPLUG_EMULATED __m256i emulated_narrow(__m512 a) {
  T values[16];
  for (int i = 0; i < 16; ++i) values[i] = vosplug::from_float<T>(a[i]);
  __m256i r;
  memcpy(&r, values, 32);
  return r;
}
VOSPLUG_EMULATED __m256i emulated_cvtps_ph(__m512 a) { return emulated_narrow<vosplug::f16>(a); }
VOSPLUG_EMULATED __m256i emulated_cvtneps_pbh(__m512 a) { return emulated_narrow<vosplug::bf16>(a); }
VOSPLUG_EMULATED __m512i emulated_cvtne2ps_pbh(__m512 high, __m512 low) {
  const __m256i halves[2] = {emulated_cvtneps_pbh(low), emulated_cvtneps_pbh(high)};
  return emulated_loadu_si512(halves);
}
VOSPLUG_EMULATED __m512 emulated_cvtph_ps(__m256i a) {
  vosplug::f16 values[16];
  memcpy(values, &a, 32);
  __m512 r{};
  for (int i = 0; i < 16; ++i) r[i] = vosplug::to_float(values[i]);
  return r;
}
VOSPLUG_EMULATED __m512 emulated_dpbf16_ps(__m512 sum, emulated_bf16s a, emulated_bf16s b) {
  vosplug::bf16 x[32], y[32];
  memcpy(x, &a, 64), memcpy(y, &b, 64);
  for (int i = 0; i < 32; ++i) sum[i / 2] += vosplug::to_float(x[i]) * vosplug::to_float(y[i]);
  return sum;
}

#define __m512bh emulated_bf16s
#define _mm512_max_ps emulated_max_ps
#define _mm512_loadu_si512 emulated_loadu_si512
#define _mm512_storeu_si512 emulated_storeu_si512
#define _mm512_stream_ps emulated_stream_ps
#define _mm512_set1_epi32 emulated_set1_epi32
#define _mm512_castps128_ps512 emulated_castps128_ps512
#define _mm512_insertf32x4 emulated_insertf32x4
#define _mm512_shuffle_ps emulated_shuffle_ps
#define _mm512_unpacklo_ps emulated_unpacklo_ps
#define _mm512_unpackhi_ps emulated_unpackhi_ps
#define _mm512_cvtph_ps emulated_cvtph_ps
#define _mm512_cvtps_ph(a, rounding) emulated_cvtps_ph(a)
#define _mm512_cvtneps_pbh emulated_cvtneps_pbh
#define _mm512_cvtne2ps_pbh emulated_cvtne2ps_pbh
#define _mm512_dpbf16_ps emulated_dpbf16_ps
