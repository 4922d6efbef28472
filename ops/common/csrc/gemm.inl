// Small matrix products and an exponential for kernels that keep their operands in the caches.
namespace vosplug {
namespace VOSPLUG_ISA {

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

constexpr int64_t PANEL = VOSPLUG_NV * VW;  // columns of B that lie together: [panel][row][PANEL]
constexpr int64_t DEPTH = 144;             // at most so many of its rows are used at a time: they stay in the first cache

constexpr int64_t UNROLLED = 8;            // steps over rows of B without a test in between

// acc += a x b. With 16 registers the compiler is told the form that adds in place: it would mix it with those that
// overwrite a factor, and then move the sums of a register tile about, or spill one (a tenth more instructions here; the
// sparse convolution's loops come out clean without).
static inline __attribute__((always_inline)) void multiply_add(vf& acc, vf a, vf b) {
#if VOSPLUG_BYTES == 32
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
#else
  acc += a * b;
#endif
}

// acc += column k of A (M rows) x a row of B.
template <int M, int NVT>
static inline __attribute__((always_inline)) void product_step(const float* const (&row)[M], int64_t k, const float* b,
                                                               vf (&acc)[M][NVT]) {
  vf bv[NVT];
#pragma GCC unroll 8
  for (int v = 0; v < NVT; ++v) bv[v] = load(b + v * VW);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    const vf s = splat(row[m][k]);
#pragma GCC unroll 8
    for (int v = 0; v < NVT; ++v) multiply_add(acc[m][v], s, bv[v]);
  }
}

// C (M x NVT vectors) = A (M rows by pointers, K) x B (K x PANEL), or C += where `more`. Loops over registers are unrolled
// by order: else the compiler keeps the sums in memory before and after the loop over K.
template <int M, int NVT, bool more>
static inline __attribute__((always_inline)) void product_tile(const float* const* a, int64_t k0, int64_t K, const float* b,
                                                               float* c, int64_t ldc) {
  vf acc[M][NVT];
  const float* row[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    row[m] = a[m] + k0;
#pragma GCC unroll 8
    for (int v = 0; v < NVT; ++v) acc[m][v] = more ? load(c + m * ldc + v * VW) : (vf){};
  }
  int64_t k = 0;
  for (; k + UNROLLED <= K; k += UNROLLED) {
#pragma GCC unroll 8
    for (int s = 0; s < UNROLLED; ++s, b += PANEL) product_step<M, NVT>(row, k + s, b, acc);
  }
  for (; k < K; ++k, b += PANEL) product_step<M, NVT>(row, k, b, acc);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < NVT; ++v) store(c + m * ldc + v * VW, acc[m][v]);
}

template <int NVT, bool more>
static inline void product_rows(int M, const float* const* a, int64_t k0, int64_t K, const float* b, float* c,
                                int64_t ldc) {
  switch (M) {
    case 1: return product_tile<1, NVT, more>(a, k0, K, b, c, ldc);
    case 2: return product_tile<2, NVT, more>(a, k0, K, b, c, ldc);
    case 3: return product_tile<3, NVT, more>(a, k0, K, b, c, ldc);
    case 4: return product_tile<4, NVT, more>(a, k0, K, b, c, ldc);
    case 5: return product_tile<5, NVT, more>(a, k0, K, b, c, ldc);
    default: return product_tile<6, NVT, more>(a, k0, K, b, c, ldc);
  }
}
template <bool more>
static inline void product_part(int64_t vectors, int M, const float* const* a, int64_t k0, int64_t K, const float* b,
                                float* c, int64_t ldc) {
  switch (vectors) {
    case 1: return product_rows<1, more>(M, a, k0, K, b, c, ldc);
#if VOSPLUG_NV > 2
    case 2: return product_rows<2, more>(M, a, k0, K, b, c, ldc);
    case 3: return product_rows<3, more>(M, a, k0, K, b, c, ldc);
#endif
    default: return product_rows<VOSPLUG_NV, more>(M, a, k0, K, b, c, ldc);
  }
}

// C (n x columns from..to) = A (n rows by pointers, K) x B in panels, `panel_rows` rows each; `from` and `to` are
// multiples of VW, and c points to column 0. At most 6 rows at a time (4 where vectors are short, for want of registers).
static void product(int64_t n, const float* const* a, int64_t K, const float* b, int64_t panel_rows, int64_t from,
                    int64_t to, float* c, int64_t ldc) {
  constexpr int step = VOSPLUG_MR;
  const int64_t parts = (K + DEPTH - 1) / DEPTH, most = parts > 1 ? (K + parts - 1) / parts : K;
  for (int64_t j = from; j < to;) {
    const int64_t inside = j % PANEL, left = (smaller(j - inside + PANEL, to) - j) / VW;
    const float* panel = b + j / PANEL * panel_rows * PANEL + inside;
    for (int64_t k0 = 0; k0 < K || k0 == 0; k0 += most ? most : 1) {
      const int64_t depth = smaller(most, K - k0);
      for (int64_t i = 0; i < n; i += step) {
        const int M = (int)smaller(step, n - i);
        (k0 ? product_part<true> : product_part<false>)(left, M, a + i, k0, depth, panel + k0 * PANEL, c + i * ldc + j, ldc);
      }
    }
    j += left * VW;
  }
}

// e^x for x <= 0, relative error about 2e-7; below -87.3 zero, NaN stays NaN.
static inline __attribute__((always_inline)) vf exponential(vf x) {
  const vi tiny = x < -87.3f;
  x = maximum_of(splat(-87.3f), x);
  const vf shifted = x * 1.442695041f + 12582912.f;  // 1.5 * 2^23: the whole number nearest to it is in the low bits
  const vf n = shifted - 12582912.f;
  vf r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + (r + 1.f);
  const vu power = (vu)shifted << 23;  // added to the exponent of p
  return (vf)(~(vu)tiny & ((vu)p + power));
}

constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

// 2^x for x <= 0, relative error about 1e-7; below -126 zero, NaN stays NaN. Half the work of e^x, as x splits exactly.
static inline __attribute__((always_inline)) vf power_of_two(vf x) {
  const vi tiny = x < -126.f;
  x = maximum_of(splat(-126.f), x);
  const vf shifted = x + 12582912.f, r = x - (shifted - 12582912.f);
  vf p = r * 1.535336188e-4f + 1.339887440e-3f;
  p = p * r + 9.618437357e-3f;
  p = p * r + 5.550332471e-2f;
  p = p * r + 2.402264791e-1f;
  p = p * r + 6.931472029e-1f;
  p = p * r + 1.f;
  const vu power = (vu)shifted << 23;
  return (vf)(~(vu)tiny & ((vu)p + power));
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
// The same where NaN may be overlooked.
static inline float greatest(vf v) {
  v4 part[VW / 4];
  memcpy(part, &v, sizeof(v));
  for (int width = VW / 8; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) part[i] = part[i] > part[i + width] ? part[i] : part[i + width];
  v4 a = part[0], b = __builtin_shuffle(a, (i4){2, 3, 0, 1});
  a = a > b ? a : b, b = __builtin_shuffle(a, (i4){1, 0, 3, 2});
  return (a > b ? a : b)[0];
}
static inline float total(vf v) {
  v4 part[VW / 4];
  memcpy(part, &v, sizeof(v));
  for (int width = VW / 8; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  const v4 a = part[0] + __builtin_shuffle(part[0], (i4){2, 3, 0, 1});
  return (a + __builtin_shuffle(a, (i4){1, 0, 3, 2}))[0];
}

// In every 16 bytes: four rows of four become four columns of four.
static inline __attribute__((always_inline)) void transpose_quads(vf& a, vf& b, vf& c, vf& d) {
#if VOSPLUG_BYTES == 64
  const __m512 p = _mm512_unpacklo_ps((__m512)a, (__m512)b), q = _mm512_unpackhi_ps((__m512)a, (__m512)b);
  const __m512 r = _mm512_unpacklo_ps((__m512)c, (__m512)d), s = _mm512_unpackhi_ps((__m512)c, (__m512)d);
  a = (vf)_mm512_shuffle_ps(p, r, 0x44), b = (vf)_mm512_shuffle_ps(p, r, 0xee);
  c = (vf)_mm512_shuffle_ps(q, s, 0x44), d = (vf)_mm512_shuffle_ps(q, s, 0xee);
#elif VOSPLUG_BYTES == 32
  const __m256 p = _mm256_unpacklo_ps((__m256)a, (__m256)b), q = _mm256_unpackhi_ps((__m256)a, (__m256)b);
  const __m256 r = _mm256_unpacklo_ps((__m256)c, (__m256)d), s = _mm256_unpackhi_ps((__m256)c, (__m256)d);
  a = (vf)_mm256_shuffle_ps(p, r, 0x44), b = (vf)_mm256_shuffle_ps(p, r, 0xee);
  c = (vf)_mm256_shuffle_ps(q, s, 0x44), d = (vf)_mm256_shuffle_ps(q, s, 0xee);
#else
  const v4 p = __builtin_shuffle((v4)a, (v4)b, (i4){0, 4, 1, 5}), q = __builtin_shuffle((v4)a, (v4)b, (i4){2, 6, 3, 7});
  const v4 r = __builtin_shuffle((v4)c, (v4)d, (i4){0, 4, 1, 5}), s = __builtin_shuffle((v4)c, (v4)d, (i4){2, 6, 3, 7});
  a = (vf)__builtin_shuffle(p, r, (i4){0, 1, 4, 5}), b = (vf)__builtin_shuffle(p, r, (i4){2, 3, 6, 7});
  c = (vf)__builtin_shuffle(q, s, (i4){0, 1, 4, 5}), d = (vf)__builtin_shuffle(q, s, (i4){2, 3, 6, 7});
#endif
}

// Values k..k+3 of rows 0, 4, 8, ... side by side.
static inline __attribute__((always_inline)) vf every_fourth(const float* const* rows, int64_t k) {
#if VOSPLUG_BYTES == 64
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(rows[0] + k));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[4] + k), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[8] + k), 2);
  return (vf)_mm512_insertf32x4(v, _mm_loadu_ps(rows[12] + k), 3);
#elif VOSPLUG_BYTES == 32
  return (vf)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[0] + k)), _mm_loadu_ps(rows[4] + k), 1);
#else
  return load(rows[0] + k);
#endif
}

// rows (n by pointers, a multiple of VW; K) times `scale` -> transposed in panels, [panel][k][PANEL]: whole vectors are
// written, as single values would visit every line of the cache many times.
static void transpose_to_panels(int64_t n, const float* const* rows, int64_t K, float scale, float* panels) {
  for (int64_t i = 0; i < n; i += VW) {
    float* to = panels + i / PANEL * K * PANEL + i % PANEL;
    int64_t k = 0;
    for (; k + 4 <= K; k += 4) {
      vf a = every_fourth(rows + i, k), b = every_fourth(rows + i + 1, k);
      vf c = every_fourth(rows + i + 2, k), d = every_fourth(rows + i + 3, k);
      transpose_quads(a, b, c, d);
      store(to + k * PANEL, a * scale), store(to + (k + 1) * PANEL, b * scale);
      store(to + (k + 2) * PANEL, c * scale), store(to + (k + 3) * PANEL, d * scale);
    }
    for (; k < K; ++k)
      for (int m = 0; m < VW; ++m) to[k * PANEL + m] = rows[i + m][k] * scale;
  }
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
