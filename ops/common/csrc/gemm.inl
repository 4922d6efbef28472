// Small matrix products and an exponential for kernels that keep their operands in the caches.
namespace vosplug {
namespace VOSPLUG_ISA {

// C (M x NVT vectors) = A (M rows by pointers, K) x B (K x ldb).
template <int M, int NVT>
static inline void product_tile(const float* const* a, int64_t K, const float* b, int64_t ldb, float* c, int64_t ldc) {
  vf acc[M][NVT];
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < NVT; ++v) acc[m][v] = (vf){};
  for (int64_t k = 0; k < K; ++k, b += ldb) {
    vf bv[NVT];
    for (int v = 0; v < NVT; ++v) bv[v] = load(b + v * VW);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      vf s = splat(a[m][k]);
      for (int v = 0; v < NVT; ++v) acc[m][v] += s * bv[v];
    }
  }
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < NVT; ++v) store(c + m * ldc + v * VW, acc[m][v]);
}

template <int NVT>
static inline void product_rows(int M, const float* const* a, int64_t K, const float* b, int64_t ldb, float* c,
                                int64_t ldc) {
  switch (M) {
    case 1: return product_tile<1, NVT>(a, K, b, ldb, c, ldc);
    case 2: return product_tile<2, NVT>(a, K, b, ldb, c, ldc);
    case 3: return product_tile<3, NVT>(a, K, b, ldb, c, ldc);
    case 4: return product_tile<4, NVT>(a, K, b, ldb, c, ldc);
    case 5: return product_tile<5, NVT>(a, K, b, ldb, c, ldc);
    default: return product_tile<6, NVT>(a, K, b, ldb, c, ldc);
  }
}

// C (n x N) = A (n rows by pointers, K) x B (K x ldb); N is a multiple of VW; at most 6 rows at a time (4 where vectors
// are short, for want of registers).
static void product(int64_t n, const float* const* a, int64_t K, const float* b, int64_t ldb, int64_t N, float* c,
                    int64_t ldc) {
  constexpr int step = VOSPLUG_MR;
  for (int64_t j = 0; j < N;) {
    const int64_t left = (N - j) / VW;
    const int vectors = left >= VOSPLUG_NV ? VOSPLUG_NV : (int)left;
    for (int64_t i = 0; i < n; i += step) {
      const int M = (int)(n - i < step ? n - i : step);
      switch (vectors) {
        case 1: product_rows<1>(M, a + i, K, b + j, ldb, c + i * ldc + j, ldc); break;
        case 2: product_rows<2>(M, a + i, K, b + j, ldb, c + i * ldc + j, ldc); break;
#if VOSPLUG_NV > 2
        case 3: product_rows<3>(M, a + i, K, b + j, ldb, c + i * ldc + j, ldc); break;
        default: product_rows<4>(M, a + i, K, b + j, ldb, c + i * ldc + j, ldc); break;
#endif
      }
    }
    j += (int64_t)vectors * VW;
  }
}

// e^x for x <= 0, relative error about 2e-7; below -87.3 it stays at the smallest normal number, NaN stays NaN.
static inline __attribute__((always_inline)) vf exponential(vf x) {
  const vi low = x < -87.3f;
  x = (vf)((low & (vi)splat(-87.3f)) | (~low & (vi)x));
  const vf shifted = x * 1.442695041f + 12582912.f;  // 1.5 * 2^23: rounds to a whole number
  const vf n = shifted - 12582912.f;
  vf r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + (r + 1.f);
  const vi power = ((vi)shifted - 0x4b400000 + 127) << 23;
  return p * (vf)power;
}

typedef float v4 __attribute__((vector_size(16)));
typedef float v4_any __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i4 __attribute__((vector_size(16)));

// The larger of two; a NaN in either wins.
static inline __attribute__((always_inline)) vf larger(vf a, vf b) {
  const vi take = (vi)(b > a) | (vi)(b != b);
  return (vf)((take & (vi)b) | (~take & (vi)a));
}
static inline __attribute__((always_inline)) v4 larger4(v4 a, v4 b) {
  const i4 take = (i4)(b > a) | (i4)(b != b);
  return (v4)((take & (i4)b) | (~take & (i4)a));
}
static inline float largest(vf v) {
  v4 part[VW / 4];
  memcpy(part, &v, sizeof(v));
  for (int width = VW / 8; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) part[i] = larger4(part[i], part[i + width]);
  const v4 a = larger4(part[0], __builtin_shuffle(part[0], (i4){2, 3, 0, 1}));
  return larger4(a, __builtin_shuffle(a, (i4){1, 0, 3, 2}))[0];
}
static inline float total(vf v) {
  v4 part[VW / 4];
  memcpy(part, &v, sizeof(v));
  for (int width = VW / 8; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  const v4 a = part[0] + __builtin_shuffle(part[0], (i4){2, 3, 0, 1});
  return (a + __builtin_shuffle(a, (i4){1, 0, 3, 2}))[0];
}

// rows (n by pointers, K) -> transposed (K x ldt), columns n..ldt zeroed.
static void transpose_rows(int64_t n, const float* const* rows, int64_t K, float* t, int64_t ldt) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    int64_t k = 0;
    for (; k + 4 <= K; k += 4) {
      v4 a = *(const v4_any*)(rows[i] + k), b = *(const v4_any*)(rows[i + 1] + k);
      v4 c = *(const v4_any*)(rows[i + 2] + k), d = *(const v4_any*)(rows[i + 3] + k);
      v4 ab0 = __builtin_shuffle(a, b, (i4){0, 4, 1, 5}), ab1 = __builtin_shuffle(a, b, (i4){2, 6, 3, 7});
      v4 cd0 = __builtin_shuffle(c, d, (i4){0, 4, 1, 5}), cd1 = __builtin_shuffle(c, d, (i4){2, 6, 3, 7});
      *(v4_any*)(t + k * ldt + i) = __builtin_shuffle(ab0, cd0, (i4){0, 1, 4, 5});
      *(v4_any*)(t + (k + 1) * ldt + i) = __builtin_shuffle(ab0, cd0, (i4){2, 3, 6, 7});
      *(v4_any*)(t + (k + 2) * ldt + i) = __builtin_shuffle(ab1, cd1, (i4){0, 1, 4, 5});
      *(v4_any*)(t + (k + 3) * ldt + i) = __builtin_shuffle(ab1, cd1, (i4){2, 3, 6, 7});
    }
    for (; k < K; ++k)
      for (int m = 0; m < 4; ++m) t[k * ldt + i + m] = rows[i + m][k];
  }
  for (; i < n; ++i)
    for (int64_t k = 0; k < K; ++k) t[k * ldt + i] = rows[i][k];
  for (int64_t k = 0; k < K; ++k)
    for (i = n; i < ldt; ++i) t[k * ldt + i] = 0.f;
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
