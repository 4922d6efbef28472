// The kernels of the sparse convolution, written once for every instruction set (see isa.h).
// Indirect GEMM: a register tile of MR sites x NR channels runs over (tap, input channel); the operand rows are found by
// pointers, so nothing is gathered. Winograd F(2x2,3x3) runs the same register tile on transformed 4x4 patches.
namespace vosplug {
namespace VOSPLUG_ISA {

constexpr int NV = VOSPLUG_NV, NR = NV * VW, MR = VOSPLUG_MR;
constexpr int64_t PART_BYTES = 192 * 1024;     // weights of a panel that are used at a time
constexpr int STEPS = 16;                      // channels of a line of the cache
constexpr int64_t STREAM_BYTES = 1 << 20;      // outputs larger than this are filled past the caches

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// What the kernel needs next and asks for on the way, a little with every STEPS channels: all at once it would wait.
template <class T>
struct Coming {
  const T* const* rows = nullptr;  // of the tile after next; null: they are near
  const char* weights = nullptr;   // this tile's share of the weights that follow those in use; null: nothing
  int lines = 0;                   // of the cache, with every STEPS channels
};

// acc += channel k of the rows x weights b.
template <int M>
static inline __attribute__((always_inline)) void multiply(const float* const (&a)[M], int64_t k, const float* b,
                                                           vf (&acc)[M][NV]) {
  vf bv[NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) bv[v] = load(b + v * VW);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    const vf s = splat(a[m][k]);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[m][v] += s * bv[v];
  }
}

// acc += rows x weights over `taps` taps and channels k0..k0+K; weights of one tap are K_all x NR.
template <int M, bool WEIGHTS>
static inline __attribute__((always_inline)) void accumulate(const float* const* rows, int taps, int64_t k0, int64_t K,
                                                             const float* w, int64_t tap_stride,
                                                             const Coming<float>& coming, vf (&acc)[M][NV]) {
  const float* const* next = coming.rows;
  const char* weights = coming.weights;
  for (int t = 0; t < taps; ++t) {
    const float* a[M];
    for (int m = 0; m < M; ++m) a[m] = rows[t * MR + m] + k0;
    const float* b = w + t * tap_stride;
    int64_t k = 0;
    for (; k + STEPS <= K; k += STEPS) {
      for (int m = 0; m < M && next; ++m) __builtin_prefetch(next[m] + k0 + k, 0, 3);
      for (int l = 0; WEIGHTS && l < coming.lines; ++l, weights += 64) __builtin_prefetch(weights, 0, 2);
#pragma GCC unroll 4
      for (int s = 0; s < STEPS; ++s, b += NR) multiply<M>(a, k + s, b, acc);
    }
    for (; k < K; ++k, b += NR) multiply<M>(a, k, b, acc);
  }
}

#if VOSPLUG_DOT_BF16
// The same on pairs of bf16: weights are [K/2][NR][2].
template <int M, bool WEIGHTS>
static inline __attribute__((always_inline)) void accumulate(const bf16* const* rows, int taps, int64_t k0, int64_t K,
                                                             const bf16* w, int64_t tap_stride,
                                                             const Coming<bf16>& coming, vf (&acc)[M][NV]) {
  const bf16* const* next = coming.rows;
  const char* weights = coming.weights;
  for (int t = 0; t < taps; ++t) {
    const bf16* a[M];
    for (int m = 0; m < M; ++m) a[m] = rows[t * MR + m] + k0;
    const bf16* b = w + t * tap_stride;
    for (int64_t k = 0; k < K; k += 2, b += 2 * NR) {
      if (next && k % 32 == 0)
        for (int m = 0; m < M; ++m) __builtin_prefetch(next[m] + k0 + k, 0, 3);
      if (WEIGHTS && k % 32 == 0)
        for (int l = 0; l < coming.lines; ++l, weights += 64) __builtin_prefetch(weights, 0, 2);
      __m512bh bv[NV];
      for (int v = 0; v < NV; ++v) bv[v] = (__m512bh)_mm512_loadu_si512(b + v * 2 * VW);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        int pair;
        memcpy(&pair, a[m] + k, 4);
        __m512bh s = (__m512bh)_mm512_set1_epi32(pair);
        for (int v = 0; v < NV; ++v) acc[m][v] = (vf)_mm512_dpbf16_ps((__m512)acc[m][v], s, bv[v]);
      }
    }
  }
}
#endif

// Where the results of one register tile go.
struct Tail {
  void* const* out;         // MR output rows at the panel's first channel
  const void* const* res;   // MR residual rows or null
  int columns;              // channels of this panel that exist
  bool relu;
};

// Write NV vectors of a row. Loops over registers are unrolled by order: else the compiler keeps the sums of a register
// tile in memory.
template <class O>
static inline __attribute__((always_inline)) void put_row(O* out, const vf (&r)[NV]) {
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) store(out + v * VW, r[v]);
}
#if VOSPLUG_DOT_BF16
static inline __attribute__((always_inline)) void put_row(bf16* out, const vf (&r)[NV]) {
#pragma GCC unroll 8
  for (int v = 0; v < NV; v += 2)
    _mm512_storeu_si512(out + v * VW, (__m512i)_mm512_cvtne2ps_pbh((__m512)r[v + 1], (__m512)r[v]));
}
#endif

// The rows of a whole panel: residual, ReLU, conversion.
template <int M, class O, bool RELU>
static inline __attribute__((always_inline)) void finish_panel(const vf (&acc)[M][NV], const Tail& t) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    vf r[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) r[v] = acc[m][v];
    if (t.res) {
      const O* res = (const O*)t.res[m];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) r[v] += load(res + v * VW);
    }
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) r[v] = RELU ? relu(r[v]) : r[v];
    put_row((O*)t.out[m], r);
  }
}

template <int M, class O>
static inline __attribute__((always_inline)) void finish(const vf (&acc)[M][NV], const Tail& t) {
  if (t.columns == NR) {
    if (t.relu)
      finish_panel<M, O, true>(acc, t);
    else
      finish_panel<M, O, false>(acc, t);
    return;
  }
  float rows[M][NR];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store(rows[m] + v * VW, acc[m][v]);
  for (int m = 0; m < M; ++m) {
    O* out = (O*)t.out[m];
    const O* res = t.res ? (const O*)t.res[m] : nullptr;
    for (int c = 0; c < t.columns; ++c) {
      const float r = res ? rows[m][c] + to_float(res[c]) : rows[m][c];
      out[c] = from_float<O>(t.relu && r <= 0.f ? 0.f : r);
    }
  }
}

// One register tile over a part of the reduction; `partial` carries the sums between parts. Inlined, as short rows
// leave a call little to hide behind.
template <class T, class O, int M, bool WEIGHTS>
static inline __attribute__((always_inline)) void tile(const T* const* rows, int taps, int64_t k0, int64_t K,
                                                       const T* w, int64_t tap_stride, const float* start,
                                                       float* partial, bool first, bool last, const Tail& tail,
                                                       const Coming<T>& coming) {
  vf acc[M][NV];
  if (first) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const vf begin = start ? load(start + v * VW) : (vf){};
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) acc[m][v] = begin;
    }
  } else {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[m][v] = load(partial + m * NR + v * VW);
  }
  accumulate<M, WEIGHTS>(rows, taps, k0, K, w, tap_stride, coming, acc);
  if (last) {
    finish<M, O>(acc, tail);
  } else {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) store(partial + m * NR + v * VW, acc[m][v]);
  }
}

#define VOSPLUG_CASES(call)                                                                  \
  switch (M) {                                                                               \
    VOSPLUG_CASE(call, 1) VOSPLUG_CASE(call, 2) VOSPLUG_CASE(call, 3) VOSPLUG_CASE(call, 4)  \
    VOSPLUG_CASE(call, 5) VOSPLUG_CASE(call, 6)                                              \
  }
#define VOSPLUG_CASE(call, n)           \
  case n:                               \
    if constexpr (n <= MR) call(n);     \
    break;

// Inlined in the loop over blocks, as short rows leave a call little to hide behind.
template <class T, class O, bool WEIGHTS>
static inline __attribute__((always_inline)) void tile_of(int M, const T* const* rows, int taps, int64_t k0, int64_t K,
                                                          const T* w, int64_t tap_stride, const float* start,
                                                          float* partial, bool first, bool last, const Tail& tail,
                                                          const Coming<T>& coming) {
#define VOSPLUG_TILE(n) \
  tile<T, O, n, WEIGHTS>(rows, taps, k0, K, w, tap_stride, start, partial, first, last, tail, coming)
  VOSPLUG_CASES(VOSPLUG_TILE)
#undef VOSPLUG_TILE
}
// The same out of line, which also asks for weights.
template <class T, class O>
static __attribute__((noinline)) void asking_tile_of(int M, const T* const* rows, int taps, int64_t k0, int64_t K,
                                                     const T* w, int64_t tap_stride, const float* start, float* partial,
                                                     bool first, bool last, const Tail& tail, const Coming<T>& coming) {
  tile_of<T, O, true>(M, rows, taps, k0, K, w, tap_stride, start, partial, first, last, tail, coming);
}

// A product and nothing else: K channels of M rows to rows of floats. On its own, as much of tile() then falls away.
template <class T, bool WEIGHTS>
static void product_of(int M, const T* const* rows, int64_t K, const T* w, void* const* out, Coming<T> coming) {
#define VOSPLUG_TILE(n)                                                                  \
  tile<T, float, n, WEIGHTS>(rows, 1, 0, K, w, 0, nullptr, nullptr, true, true,          \
                             Tail{out, nullptr, NR, false}, Coming<T>{nullptr, coming.weights, coming.lines})
  VOSPLUG_CASES(VOSPLUG_TILE)
#undef VOSPLUG_TILE
}
#undef VOSPLUG_CASES
#undef VOSPLUG_CASE

// Lines to ask for with every STEPS channels, where n register tiles share the asking for as many weights as they use.
static inline int lines_each(int64_t n) { return (int)((NR + n - 1) / n); }

// The part of register tile i in it; `next` (null: none) are the weights, those in use have `rows` rows of NR.
template <class T>
static inline Coming<T> coming_weights(const T* next, int64_t rows, int i, int lines) {
  constexpr int64_t step = 64 / sizeof(T);  // rows between two times of asking
  Coming<T> c;
  c.lines = lines;
  if (next && i * lines < NR) c.weights = (const char*)next + i * lines * (rows / step) * 64;
  return c;
}

template <class O>
static inline O* pixel(const Rows& r, int64_t b, int64_t y, int64_t x) {
  return (O*)r.data + b * r.batch + y * r.row + x * r.column;
}

struct Place {
  int64_t b, y, x;
};
// In 32 bits: sites are fewer than 2^31, and 64-bit divisions would cost as much as a tenth of a pointwise convolution.
static inline Place place_of(const ConvJob& j, int64_t i) {
  const uint32_t site = (uint32_t)j.sites[i], width = (uint32_t)j.WO, plane = (uint32_t)(j.HO * j.WO);
  const uint32_t b = site / plane, rest = site - b * plane, y = rest / width;
  return Place{b, y, rest - y * width};
}

// The place of site i, given that of the site before: most sites follow each other, which saves the divisions.
static inline Place place_after(const ConvJob& j, int64_t i, Place before) {
  if (j.sites[i] != j.sites[i - 1] + 1 || before.x + 1 == j.WO) return place_of(j, i);
  return Place{before.b, before.y, before.x + 1};
}

// Pointers to the rows that site i, at place p, reads, one per tap, with a distance of `step` pointers.
template <class T>
static inline void find_rows(const ConvJob& j, int64_t i, const Place& p, const T** rows, int step) {
  if (j.compact_in) {
    rows[0] = (const T*)j.operand + i * j.operand_row;
    return;
  }
  const int64_t b = p.b, y = p.y, x = p.x;
  int t = 0;
  for (int ky = 0; ky < j.kh; ++ky) {
    int64_t yy = y * j.stride_h - j.pad_h + ky * j.dil_h;
    for (int kx = 0; kx < j.kw; ++kx, ++t) {
      int64_t xx = x * j.stride_w - j.pad_w + kx * j.dil_w;
      if (yy < 0 || yy >= j.H || xx < 0 || xx >= j.W)
        rows[t * step] = (const T*)j.zero;
      else if (j.slot)
        rows[t * step] = (const T*)j.operand + j.slot[(b * j.H + yy) * j.W + xx] * j.operand_row;
      else
        rows[t * step] = pixel<const T>(j.in, b, yy, xx);
    }
  }
}

// Ask for what site i will read first (its last tap: the others were read for its neighbours). Sites lie scattered over
// maps larger than the caches, where the processor's own prefetching does not follow.
constexpr int64_t AHEAD = 12, TILES_AHEAD = 2;  // sites, and register tiles
template <class T>
static inline void look_ahead(const ConvJob& j, int64_t i) {
  if (i >= j.site_count || j.slot || j.compact_in) return;
  const Place p = place_of(j, i);
  const int64_t y = p.y * j.stride_h - j.pad_h + (j.kh - 1) * j.dil_h;
  const int64_t x = p.x * j.stride_w - j.pad_w + (j.kw - 1) * j.dil_w;
  if (y < 0 || y >= j.H || x < 0 || x >= j.W) return;
  const char* row = (const char*)pixel<const T>(j.in, p.b, y, x);
  for (int64_t c = 0; c < j.CI * (int64_t)sizeof(T); c += 64) __builtin_prefetch(row + c, 0, 2);
}

template <class O>
static inline O* site_row(const ConvJob& j, const Rows& r, int64_t i) {
  const Place p = place_of(j, i);
  return pixel<O>(r, p.b, p.y, p.x);
}

// Copy rows of a block to an output whose channels do not lie side by side.
template <class O>
static void scatter(const ConvJob& j, int64_t i, const O* row) {
  O* out = site_row<O>(j, j.out, i);
  for (int64_t c = 0; c < j.CO; ++c) out[c * j.out.channel] = row[c];
}
template <class O>
static void gather(const ConvJob& j, const Rows& from, int64_t i, O* row) {
  const O* in = site_row<const O>(j, from, i);
  for (int64_t c = 0; c < j.CO; ++c) row[c] = in[c * from.channel];
}

// The row that a site of a 1x1 convolution reads, as T.
template <class T, class S>
static inline void convert_row(const ConvJob& j, const Place& p, T* to) {
  const S* from = pixel<const S>(j.in, p.b, p.y * j.stride_h, p.x * j.stride_w);
  int64_t c = 0;
  for (; c + VW <= j.CI; c += VW) store(to + c, load(from + c));
  for (; c < j.CI; ++c) to[c] = from_float<T>(to_float(from[c]));
  for (; c < j.operand_row; ++c) to[c] = T{};
}
template <class T>
static inline void convert_row_of(const ConvJob& j, const Place& p, T* to) {
  if (j.in.type == Type::f32) convert_row<T, float>(j, p, to);
  if (j.in.type == Type::bf16) convert_row<T, bf16>(j, p, to);
  if (j.in.type == Type::f16) convert_row<T, f16>(j, p, to);
}

// Which rows the sites of a block read and write.
template <class T, class O>
struct SiteRows {
  const T** in;                      // [register tile][tap][MR]
  T* converted;                      // room for the rows of a block, where they are converted; else null
  O* out[MOST_SITES + MR];
  const O* residual[MOST_SITES];

  void find(const ConvJob& j, int64_t block, O* block_out, O* block_residual) {
    const int taps = j.kh * j.kw;
    const int64_t i0 = block * j.site_block, n = smaller(j.site_block, j.site_count - i0);
    Place p{};
    for (int64_t i = 0; i < n; ++i) {
      p = i ? place_after(j, i0 + i, p) : place_of(j, i0);
      if (converted) {
        convert_row_of(j, p, converted + i * j.operand_row);
        in[i] = converted + i * j.operand_row;
      } else {
        find_rows<T>(j, i0 + i, p, in + (i / MR) * MR * taps + i % MR, MR);
      }
      out[i] = block_out ? block_out + i * j.CO : pixel<O>(j.out, p.b, p.y, p.x);
      if (!j.residual.data) continue;
      residual[i] = block_residual ? block_residual + i * j.CO : pixel<const O>(j.residual, p.b, p.y, p.x);
    }
    for (int64_t i = n; i % MR; ++i) {  // what a prefetch may look at
      in[(i / MR) * MR * taps + i % MR] = (const T*)j.zero;
      out[i] = out[0];
    }
    count = n;
  }
  int64_t count;
};

template <class T, class O>
static void direct_run(const ConvJob& j, int64_t begin, int64_t end) {
  const int taps = j.kh * j.kw;
  const int tiles = (int)((j.site_block + MR - 1) / MR);
  const int64_t pointers = (int64_t)tiles * MR * taps;
  const T** rows = (const T**)scratch(0, sizeof(T*) * 2 * (size_t)pointers);
  float* partial = (float*)scratch(1, sizeof(float) * (size_t)tiles * MR * NR);
  const bool direct_out = j.out.channel == 1;
  O* block_out = direct_out ? nullptr : (O*)scratch(2, sizeof(O) * (size_t)(j.site_block * j.CO));
  const bool has_res = j.residual.data != nullptr, direct_res = has_res && j.residual.channel == 1;
  O* block_res = has_res && !direct_res ? (O*)scratch(3, sizeof(O) * (size_t)(j.site_block * j.CO)) : nullptr;
  const int64_t cig = j.CI / j.groups, cog = j.CO / j.groups, panels = (cog + NR - 1) / NR;
  const int64_t kg = sizeof(T) == 2 ? (cig + 1) / 2 * 2 : cig, tap_stride = kg * NR;
  // All sites of the block pass over a part of the panel before the next part is read.
  const int64_t part = PART_BYTES / (NR * (int64_t)sizeof(T));
  const int tap_step = (int)(kg >= part ? 1 : smaller(taps, part / kg < 1 ? 1 : part / kg));
  const int64_t k_step = kg > part ? (part + 1) / 2 * 2 : kg;
  const T* all_weights_end = (const T*)j.weight + j.groups * panels * taps * tap_stride;
  const bool pointwise = taps == 1 && !j.slot && !j.compact_in;
  // The rows of the next block are found ahead, so that a register tile can ask for those of the tile after next.
  SiteRows<T, O> blocks[2];
  blocks[0].in = rows, blocks[1].in = rows + pointers;
  const int64_t room = j.converts ? j.site_block * j.operand_row : 0;
  T* converted = j.converts ? (T*)scratch(13, sizeof(T) * 2 * (size_t)room + 64) : nullptr;
  blocks[0].converted = converted, blocks[1].converted = converted + room;
  blocks[begin & 1].find(j, begin, block_out, block_res);
  for (int64_t s = begin; s < end; ++s) {
    const SiteRows<T, O>&now = blocks[s & 1], &after = blocks[(s + 1) & 1];
    const int64_t i0 = s * j.site_block, n = now.count;
    const int lines = lines_each((n + MR - 1) / MR);
    if (s + 1 < end) blocks[(s + 1) & 1].find(j, s + 1, block_out, block_res);
    for (int64_t i = 0; i < n && block_res; ++i) gather<O>(j, j.residual, i0 + i, block_res + i * j.CO);
    for (int64_t g = 0; g < j.groups; ++g) {
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t panel = g * panels + p, channel = g * cog + p * NR;
        const T* w = (const T*)j.weight + panel * taps * tap_stride;
        for (int t = 0; t < taps; t += tap_step) {
          for (int64_t k = 0; k < kg; k += k_step) {
            const int nt = (int)smaller(tap_step, taps - t), columns = (int)smaller(NR, cog - p * NR);
            const bool first = t == 0 && k == 0, last = t + nt == taps && k + k_step >= kg;
            const int64_t depth = smaller(k_step, kg - k);
            const T *in_use = w + t * tap_stride + k * NR, *after_it = in_use + nt * depth * NR;  // parts lie in their order
            const bool all_used = after_it == all_weights_end;  // the next block begins with the first part
            const T* next = !j.far_weights || (all_used && s + 1 == end) ? nullptr : all_used ? (const T*)j.weight : after_it;
            for (int64_t i = 0; i < n; i += MR) {
              const int M = (int)smaller(MR, n - i);
              const int64_t later = i / MR + TILES_AHEAD, wrapped = later - tiles;
              const bool here = later * MR < n, there = !here && wrapped >= 0 && s + 1 < end && wrapped * MR < after.count;
              const SiteRows<T, O>& coming = here ? now : after;
              const int64_t tile_then = here ? later : wrapped;
              Coming<T> asked = coming_weights(next, nt * depth, (int)(i / MR), lines);
              if (pointwise && p == 0 && (here || there)) asked.rows = coming.in + tile_then * MR;
              if (first && direct_out && (here || there))
#pragma GCC unroll 8
                for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
                  for (int c = 0; c < NR; c += 64 / (int)sizeof(O))
                    __builtin_prefetch(coming.out[tile_then * MR + m] + channel + c, 1, 2);
              if (first && g == 0 && p == 0 && !pointwise)
                for (int m = 0; m < M; ++m) look_ahead<T>(j, i0 + i + m + AHEAD);
              void* o[MR];
              const void* r[MR];
              if (last) {
#pragma GCC unroll 8
                for (int m = 0; m < MR; ++m) o[m] = now.out[i + m] + channel;
              }
              for (int m = 0; m < M && last && has_res; ++m) r[m] = now.residual[i + m] + channel;
              const Tail tail{o, has_res ? r : nullptr, columns, j.relu};
              const T* const* operands = now.in + (i / MR) * MR * taps + t * MR;
              float* const sums = partial + (i / MR) * MR * NR;
              if (asked.weights)
                asking_tile_of<T, O>(M, operands, nt, g * cig + k, depth, in_use, tap_stride, j.bias + panel * NR, sums,
                                     first, last, tail, asked);
              else
                tile_of<T, O, false>(M, operands, nt, g * cig + k, depth, in_use, tap_stride, j.bias + panel * NR, sums,
                                     first, last, tail, asked);
            }
          }
        }
      }
    }
    for (int64_t i = 0; i < n && block_out; ++i) scatter<O>(j, i0 + i, block_out + i * j.CO);
  }
}

// Pixels of a 4x4 patch that an active output of the 2x2 tile reads. The others are replaced by zeros, which changes
// only outputs that nobody asked for, and keeps whatever stands there (NaN, say) out of the result.
static inline unsigned patch_bits(unsigned active) {
  unsigned bits = 0;
  if (active & 1) bits |= 0x0777;
  if (active & 2) bits |= 0x0eee;
  if (active & 4) bits |= 0x7770;
  if (active & 8) bits |= 0xeee0;
  return bits;
}

// The lower right quarter of a patch; its neighbours have read the rest.
template <class T>
static inline void look_ahead_tile(const ConvJob& j, int64_t tile) {
  const uint32_t tw = (uint32_t)(j.WO + 1) / 2, th = (uint32_t)(j.HO + 1) / 2, id = (uint32_t)tile, line = id / tw;
  const int64_t b = line / th, y = (line % th) * 2 - j.pad_h + 2, x = (id - line * tw) * 2 - j.pad_w + 2;
  for (int f = 0; f < 4; ++f) {
    const int64_t yy = y + f / 2, xx = x + f % 2;
    if (yy < 0 || yy >= j.H || xx < 0 || xx >= j.W) continue;
    const char* row = (const char*)pixel<const T>(j.in, b, yy, xx);
    for (int64_t c = 0; c < j.CI * (int64_t)sizeof(T); c += 64) __builtin_prefetch(row + c, 0, 2);
  }
}

template <class T>
static void transform_patch(const ConvJob& j, int64_t tile, unsigned active, T* v, int64_t freq_stride) {
  const int64_t tw = (j.WO + 1) / 2, th = (j.HO + 1) / 2;
  const int64_t b = tile / (th * tw), ty = tile / tw % th, tx = tile % tw;
  const unsigned used = patch_bits(active);
  const T* row[16];
  for (int f = 0; f < 16; ++f) {
    const int64_t y = ty * 2 - j.pad_h + f / 4, x = tx * 2 - j.pad_w + f % 4;
    if (!(used >> f & 1) || y < 0 || y >= j.H || x < 0 || x >= j.W)
      row[f] = (const T*)j.zero;
    else if (j.slot)
      row[f] = (const T*)j.operand + j.slot[(b * j.H + y) * j.W + x] * j.operand_row;
    else
      row[f] = pixel<const T>(j.in, b, y, x);
  }
  for (int64_t c = 0; c < j.CI; c += VW) {
    vf d[16];
    for (int f = 0; f < 16; ++f) d[f] = load(row[f] + c);
    for (int a = 0; a < 4; ++a) {
      vf* r = d + a * 4;
      const vf t0 = r[0] - r[2], t1 = r[1] + r[2], t2 = r[2] - r[1], t3 = r[1] - r[3];
      r[0] = t0, r[1] = t1, r[2] = t2, r[3] = t3;
    }
    for (int a = 0; a < 4; ++a) {
      const vf t0 = d[a] - d[a + 8], t1 = d[a + 4] + d[a + 8], t2 = d[a + 8] - d[a + 4], t3 = d[a + 4] - d[a + 12];
      store(v + a * freq_stride + c, t0);
      store(v + (a + 4) * freq_stride + c, t1);
      store(v + (a + 8) * freq_stride + c, t2);
      store(v + (a + 12) * freq_stride + c, t3);
    }
  }
}

// products: [16][tile_block][NR] of one panel -> output pixels.
template <class O>
static void transform_back(const ConvJob& j, int64_t tile, unsigned active, const float* products, int64_t freq_stride,
                           int64_t panel) {
  const int64_t tw = (j.WO + 1) / 2, th = (j.HO + 1) / 2;
  const int64_t b = tile / (th * tw), ty = tile / tw % th, tx = tile % tw;
  O* out[4];
  const O* res[4];
  for (int p = 0; p < 4; ++p) {
    const int64_t y = ty * 2 + p / 2, x = tx * 2 + p % 2;
    if (!(active >> p & 1)) continue;
    out[p] = pixel<O>(j.out, b, y, x) + panel * NR;
    if (j.residual.data) res[p] = pixel<const O>(j.residual, b, y, x) + panel * NR;
  }
  for (int64_t c = 0; c < NR; c += VW) {
    vf m[16], r[8], o[4];
    for (int f = 0; f < 16; ++f) m[f] = load(products + f * freq_stride + c);
    for (int a = 0; a < 4; ++a) {
      r[a] = m[a] + m[a + 4] + m[a + 8];
      r[a + 4] = m[a + 4] - m[a + 8] - m[a + 12];
    }
    const vf bias = load(j.bias + panel * NR + c);
    for (int p = 0; p < 2; ++p) {
      o[p * 2] = r[p * 4] + r[p * 4 + 1] + r[p * 4 + 2] + bias;
      o[p * 2 + 1] = r[p * 4 + 1] - r[p * 4 + 2] - r[p * 4 + 3] + bias;
    }
    for (int p = 0; p < 4; ++p) {
      if (!(active >> p & 1)) continue;
      vf x = o[p];
      if (j.residual.data) x += load(res[p] + c);
      store(out[p] + c, j.relu ? relu(x) : x);
    }
  }
}

// Panel p of the outputs of n tiles from number t0 on: 16 products of the transformed patches v, and the way back.
template <class T, class O>
static void winograd_panel(const ConvJob& j, int64_t p, int64_t t0, int n, const T* v, int64_t v_stride, float* products) {
  const int64_t p_stride = (int64_t)n * NR;
  const int lines = lines_each((n + MR - 1) / MR);
  for (int f = 0; f < 16; ++f) {
    const T* w = (const T*)j.weight + (p * 16 + f) * j.CI * NR;
    const T* next = j.far_weights && (f < 15 || (p + 1) * NR < j.CO) ? w + j.CI * NR : nullptr;
    for (int i = 0; i < n; i += MR) {
      const int M = (int)smaller(MR, n - i);
      const T* rows[MR];
      void* o[MR];
      for (int m = 0; m < M; ++m) {
        rows[m] = v + f * v_stride + (i + m) * j.CI;
        o[m] = products + f * p_stride + (i + m) * NR;
      }
      const Coming<T> asked = coming_weights(next, j.CI, i / MR, lines);
      (asked.weights ? product_of<T, true> : product_of<T, false>)(M, rows, j.CI, w, o, asked);
    }
  }
  for (int i = 0; i < n; ++i)
    transform_back<O>(j, j.tiles[t0 + i], j.tile_bits[t0 + i], products + i * NR, p_stride, p);
}

// Tiles begin..end, the first of them to v.
template <class T>
static void transform_tiles(const ConvJob& j, int64_t begin, int64_t end, T* v, int64_t v_stride) {
  for (int64_t i = begin; i < end; ++i) {
    if (!j.slot && i + 4 < j.tile_count) look_ahead_tile<T>(j, j.tiles[i + 4]);
    transform_patch<T>(j, j.tiles[i], j.tile_bits[i], v + (i - begin) * j.CI, v_stride);
  }
}

// Many tiles: block by block, all panels of each.
template <class T, class O>
static void winograd_run(const ConvJob& j, int64_t begin, int64_t end) {
  const int64_t v_stride = (int64_t)j.tile_block * j.CI;
  T* v = (T*)scratch(0, sizeof(T) * 16 * (size_t)v_stride);
  float* products = (float*)scratch(1, sizeof(float) * 16 * (size_t)(j.tile_block * NR));
  for (int64_t s = begin; s < end; ++s) {
    const int64_t t0 = s * j.tile_block, n = smaller(j.tile_block, j.tile_count - t0);
    transform_tiles<T>(j, t0, t0 + n, v, v_stride);
    for (int64_t p = 0; p < j.CO / NR; ++p) winograd_panel<T, O>(j, p, t0, (int)n, v, v_stride, products);
  }
}

// Few tiles and many weights: all tiles first, then panel by panel, so that every weight is read once.
template <class T>
static void transform_run(const ConvJob& j, int64_t begin, int64_t end) {
  transform_tiles<T>(j, begin, end, (T*)j.transformed + begin * j.CI, j.tile_count * j.CI);
}
template <class T, class O>
static void panels_run(const ConvJob& j, int64_t begin, int64_t end) {
  float* products = (float*)scratch(1, sizeof(float) * 16 * (size_t)(j.tile_count * NR));
  for (int64_t p = begin; p < end; ++p)
    winograd_panel<T, O>(j, p, 0, (int)j.tile_count, (const T*)j.transformed, j.tile_count * j.CI, products);
}

// groups == CI == CO; the weight is [tap][C].
template <class O>
static void depthwise_run(const ConvJob& j, int64_t begin, int64_t end) {
  const int taps = j.kh * j.kw;
  const float** rows = (const float**)scratch(0, sizeof(float*) * (size_t)taps);
  O* line = (O*)scratch(2, sizeof(O) * (size_t)j.CO);
  O* residual = (O*)scratch(3, sizeof(O) * (size_t)j.CO);
  const float* w = (const float*)j.weight;
  for (int64_t i = begin; i < end; ++i) {
    find_rows<float>(j, i, place_of(j, i), rows, 1);
    const bool direct_out = j.out.channel == 1;
    O* out = direct_out ? site_row<O>(j, j.out, i) : line;
    const O* res = j.residual.data ? site_row<const O>(j, j.residual, i) : nullptr;
    if (res && j.residual.channel != 1) {
      gather<O>(j, j.residual, i, residual);
      res = residual;
    }
    int64_t c = 0;
    for (; c + VW <= j.CO; c += VW) {
      vf acc = load(j.bias + c);
      for (int t = 0; t < taps; ++t) acc += load(rows[t] + c) * load(w + t * j.CO + c);
      if (res) acc += load(res + c);
      store(out + c, j.relu ? relu(acc) : acc);
    }
    for (; c < j.CO; ++c) {
      float acc = j.bias[c];
      for (int t = 0; t < taps; ++t) acc += rows[t][c] * w[t * j.CO + c];
      if (res) acc += to_float(res[c]);
      out[c] = from_float<O>(j.relu && acc <= 0.f ? 0.f : acc);
    }
    if (!direct_out) scatter<O>(j, i, line);
  }
}

// Zeros (`from` null) or a copy. `stream`: past the caches, which saves reading what is overwritten.
static void put(void* to, const void* from, int64_t bytes, bool stream) {
  char* out = (char*)to;
  const char* in = (const char*)from;
#if VOSPLUG_BYTES >= 32
  const int64_t head = (int64_t)(-(uintptr_t)out & (VOSPLUG_BYTES - 1));
  if (stream && bytes >= head + VOSPLUG_BYTES) {
    put(out, in, head, false);
    int64_t i = head;
    for (; i + VOSPLUG_BYTES <= bytes; i += VOSPLUG_BYTES) {
      vf v = {};
      if (in) memcpy(&v, in + i, sizeof(v));
#if VOSPLUG_BYTES == 64
      _mm512_stream_ps((float*)(out + i), (__m512)v);
#else
      _mm256_stream_ps((float*)(out + i), (__m256)v);
#endif
    }
    out += i, in = in ? in + i : nullptr, bytes -= i;
  }
#endif
  if (in)
    memcpy(out, in, (size_t)bytes);
  else
    memset(out, 0, (size_t)bytes);
}

// One pixel of act(skipped + residual); `res` null: no residual.
template <class O, bool RELU>
static void put_skipped(const ConvJob& j, O* out, const O* res) {
  int64_t c = 0;
  if (j.out.channel == 1 && (!res || j.residual.channel == 1)) {
    for (; c + VW <= j.CO; c += VW) {
      vf v = load(j.skipped + c);
      if (res) v += load(res + c);
      store(out + c, RELU ? relu(v) : v);
    }
  }
  for (; c < j.CO; ++c) {
    const float v = res ? j.skipped[c] + to_float(res[c * j.residual.channel]) : j.skipped[c];
    out[c * j.out.channel] = from_float<O>(RELU && v <= 0.f ? 0.f : v);
  }
}

// Zero, set or copy the sites that are not computed.
template <class O>
static void fill_run(const ConvJob& j, int64_t begin, int64_t end) {
  const int64_t plane = j.HO * j.WO;
  const bool stream = j.B * plane * j.CO * (int64_t)sizeof(O) >= STREAM_BYTES;
  for (int64_t i = begin; i < end;) {
    const uint8_t kind = j.policy[i];
    const int64_t b = i / plane, rest = i - b * plane, y = rest / j.WO, x = rest - y * j.WO;
    int64_t n = 1;  // run of equal policy within the line
    while (i + n < end && x + n < j.WO && j.policy[i + n] == kind) ++n;
    i += n;
    if (kind >= 2 || (kind == 1 && !j.prev.data)) continue;
    O* out = pixel<O>(j.out, b, y, x);
    if (kind == 0 && j.skipped) {
      const O* res = j.residual.data ? pixel<const O>(j.residual, b, y, x) : nullptr;
      for (int64_t r = 0; r < n; ++r, out += j.out.column, res = res ? res + j.residual.column : nullptr)
        j.relu ? put_skipped<O, true>(j, out, res) : put_skipped<O, false>(j, out, res);
      continue;
    }
    const O* prev = kind == 1 ? pixel<const O>(j.prev, b, y, x) : nullptr;
    if (j.out.channel == 1 && (kind == 0 || j.prev.channel == 1)) {
      const bool packed = j.out.column == j.CO && (kind == 0 || j.prev.column == j.CO);
      const int64_t runs = packed ? 1 : n, length = packed ? n * j.CO : j.CO;
      for (int64_t r = 0; r < runs; ++r)
        put(out + r * j.out.column, prev ? prev + r * j.prev.column : nullptr, length * (int64_t)sizeof(O), stream);
    } else {
      for (int64_t c = 0; c < j.CO; ++c)
        for (int64_t r = 0; r < n; ++r) {
          O& o = out[c * j.out.channel + r * j.out.column];
          o = kind == 0 ? O{} : prev[c * j.prev.channel + r * j.prev.column];
        }
    }
  }
#if VOSPLUG_BYTES >= 32
  _mm_sfence();  // streamed values are there for the threads that come after
#endif
}

// Make rows of T, channels side by side, of the pixels that the active sites read.
template <class T, class S>
static void stage_run(const ConvJob& j, int64_t begin, int64_t end) {
  const int64_t plane = j.H * j.W;
  for (int64_t i = begin; i < end;) {
    const int64_t first = j.staged[i], b = first / plane, rest = first - b * plane, y = rest / j.W, x = rest - y * j.W;
    int64_t n = 1;
    while (n < 16 && i + n < end && x + n < j.W && j.staged[i + n] == first + n) ++n;
    T* to = (T*)j.operand + i * j.operand_row;
    i += n;
    const S* from = pixel<const S>(j.in, b, y, x);
    const S* minus = j.in_prev.data ? pixel<const S>(j.in_prev, b, y, x) : nullptr;
    int64_t done = 0;
    if (j.in.channel == 1 && (!minus || j.in_prev.channel == 1)) {
      for (done = 0; done + VW <= j.CI; done += VW)
        for (int64_t r = 0; r < n; ++r) {
          vf v = load(from + r * j.in.column + done);
          if (minus) v -= load(minus + r * j.in_prev.column + done);
          store(to + r * j.operand_row + done, v);
        }
    }
    for (int64_t c = done; c < j.CI; ++c)
      for (int64_t r = 0; r < n; ++r) {
        float v = to_float(from[r * j.in.column + c * j.in.channel]);
        if (minus) v -= to_float(minus[r * j.in_prev.column + c * j.in_prev.channel]);
        to[r * j.operand_row + c] = from_float<T>(v);
      }
    for (int64_t c = j.CI; c < j.operand_row; ++c)
      for (int64_t r = 0; r < n; ++r) to[r * j.operand_row + c] = T{};
  }
}

template <class T>
static void direct_of(const ConvJob& j, int64_t begin, int64_t end) {
  if (j.out.type == Type::f32) direct_run<T, float>(j, begin, end);
  if (j.out.type == Type::bf16) direct_run<T, bf16>(j, begin, end);
  if (j.out.type == Type::f16) direct_run<T, f16>(j, begin, end);
}
template <class T>
static void winograd_of(const ConvJob& j, int64_t begin, int64_t end) {
  if (j.out.type == Type::f32) winograd_run<T, float>(j, begin, end);
  if (j.out.type == Type::bf16) winograd_run<T, bf16>(j, begin, end);
  if (j.out.type == Type::f16) winograd_run<T, f16>(j, begin, end);
}
template <class T>
static void panels_of(const ConvJob& j, int64_t begin, int64_t end) {
  if (j.out.type == Type::f32) panels_run<T, float>(j, begin, end);
  if (j.out.type == Type::bf16) panels_run<T, bf16>(j, begin, end);
  if (j.out.type == Type::f16) panels_run<T, f16>(j, begin, end);
}
template <class T>
static void stage_of(const ConvJob& j, int64_t begin, int64_t end) {
  if (j.in.type == Type::f32) stage_run<T, float>(j, begin, end);
  if (j.in.type == Type::bf16) stage_run<T, bf16>(j, begin, end);
  if (j.in.type == Type::f16) stage_run<T, f16>(j, begin, end);
}

static void direct(const ConvJob& j, int64_t begin, int64_t end) {
#if VOSPLUG_DOT_BF16
  if (j.dot_bf16) return direct_of<bf16>(j, begin, end);
#endif
  direct_of<float>(j, begin, end);
}
static void winograd(const ConvJob& j, int64_t begin, int64_t end) {
#if VOSPLUG_DOT_BF16
  if (j.dot_bf16) return winograd_of<bf16>(j, begin, end);
#endif
  winograd_of<float>(j, begin, end);
}
static void transform(const ConvJob& j, int64_t begin, int64_t end) {
#if VOSPLUG_DOT_BF16
  if (j.dot_bf16) return transform_run<bf16>(j, begin, end);
#endif
  transform_run<float>(j, begin, end);
}
static void panels(const ConvJob& j, int64_t begin, int64_t end) {
#if VOSPLUG_DOT_BF16
  if (j.dot_bf16) return panels_of<bf16>(j, begin, end);
#endif
  panels_of<float>(j, begin, end);
}
static void stage(const ConvJob& j, int64_t begin, int64_t end) {
  if (j.dot_bf16) return stage_of<bf16>(j, begin, end);
  stage_of<float>(j, begin, end);
}
static void depthwise(const ConvJob& j, int64_t begin, int64_t end) {
  if (j.out.type == Type::f32) depthwise_run<float>(j, begin, end);
  if (j.out.type == Type::bf16) depthwise_run<bf16>(j, begin, end);
  if (j.out.type == Type::f16) depthwise_run<f16>(j, begin, end);
}
static void fill(const ConvJob& j, int64_t begin, int64_t end) {
  if (j.out.type == Type::f32) fill_run<float>(j, begin, end);
  if (j.out.type == Type::bf16) fill_run<bf16>(j, begin, end);
  if (j.out.type == Type::f16) fill_run<f16>(j, begin, end);
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
