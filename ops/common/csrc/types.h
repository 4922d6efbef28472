// Storage types that C++17 lacks, and their scalar conversions.
#pragma once
#include <stdint.h>
#include <string.h>

namespace vosplug {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
enum class Type : int { f32 = 0, bf16 = 1, f16 = 2 };

static inline uint32_t float_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}
static inline float bits_float(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}

static inline float to_float(float x) { return x; }
static inline float to_float(bf16 x) { return bits_float((uint32_t)x.bits << 16); }
static inline float to_float(f16 x) {
  uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16, exponent = (x.bits >> 10) & 31, mantissa = x.bits & 0x3ff;
  if (exponent == 31) return bits_float(sign | 0x7f800000 | (mantissa << 13));
  if (exponent) return bits_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
  float small = (float)mantissa * 5.9604644775390625e-8f;  // 2^-24
  return sign ? -small : small;
}

template <class O>
static inline O from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
inline bf16 from_float<bf16>(float x) {
  uint32_t u = float_bits(x);
  if ((u & 0x7fffffff) > 0x7f800000) return bf16{(uint16_t)((u >> 16) | 0x40)};
  return bf16{(uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16)};
}
template <>
inline f16 from_float<f16>(float x) {
  uint32_t u = float_bits(x), sign = (u >> 16) & 0x8000;
  u &= 0x7fffffff;
  if (u > 0x7f800000) return f16{(uint16_t)(sign | 0x7e00)};
  if (u >= 0x477ff000) return f16{(uint16_t)(sign | 0x7c00)};
  if (u < 0x38800000) {  // subnormal in half precision: the addition rounds to a multiple of 2^-24
    float shifted = bits_float(u) + 0.5f;
    return f16{(uint16_t)(sign | (float_bits(shifted) - 0x3f000000))};
  }
  u += 0xfff + ((u >> 13) & 1);
  return f16{(uint16_t)(sign | ((u - 0x38000000) >> 13))};
}

}  // namespace vosplug
