// One block: scores of some queries at a time, softmax, product with the values, merge with what other blocks gave the
// same cells (online softmax). Nothing larger than a few rows of scores exists. Scores are held times log2(e), as powers
// of two are cheaper than those of e.
namespace vosplug {
namespace VOSPLUG_ISA {

constexpr int64_t SCORE_BYTES = 96 * 1024;  // scores that exist at a time: with the packed keys they fill the second cache
constexpr int64_t LEAST_QUERIES = 24, MOST_QUERIES = 192;

static const int32_t LANES[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static inline int64_t round_up(int64_t n) { return (n + VW - 1) / VW * VW; }
static inline int64_t panels_of(int64_t n) { return (n + PANEL - 1) / PANEL; }
static inline __attribute__((always_inline)) vf keep_if(vi keep, vf x) {
  return (vf)((keep & (vi)x) | (~keep & (vi)splat(-__builtin_inff())));
}

struct Block {
  const AttentionJob& j;
  int64_t batch, head;
  int32_t* key_cell;                   // -1 in the padding
  int64_t keys, padded, extra;         // keys in the block, columns of a score row, keys of the time line
  float *keys_t, *values;              // panels of (D, PANEL) and of (keys, PANEL)
  int64_t dv_padded;
  float *key_y, *key_x, *key_t;        // coordinates; far away for missing keys
  int32_t *key_label, *key_seen;       // key_seen: as a query of frame `seen_from` sees them
  int64_t seen_from;
  bool sees_earlier;
  bool missing;                        // some keys are no cells
  bool finite;                         // the values are
};

// Work memory for the queries that are in hand.
struct Work {
  const float** rows;
  const float** probabilities;
  const float** line_rows;
  float *scores, *fresh, *maximum, *sum, *keep, *line_weights;
};

static inline const float* row_of(const float* p, int64_t batch, int64_t batch_step, int64_t cell, int64_t row,
                                  int64_t head, int64_t d) {
  return p + batch * batch_step + cell * row + head * d;
}

static inline float dot(const float* a, const float* b, int64_t n) {
  vf s = {}, other = {};
  int64_t c = 0;
  for (; c + 2 * VW <= n; c += 2 * VW) {
    s += load(a + c) * load(b + c);
    other += load(a + c + VW) * load(b + c + VW);
  }
  for (; c + VW <= n; c += VW) s += load(a + c) * load(b + c);
  float r = total(s + other);
  for (; c < n; ++c) r += a[c] * b[c];
  return r;
}

// Scores from..to that must not count become -inf; the padding, too. `of_key`: the row is a key, the columns are queries.
static void hide(const Block& b, int64_t cell, int64_t from, int64_t to, float* s, bool of_key = false) {
  const AttentionJob& j = b.j;
  if (j.rule & RULE_WINDOW) {
    const uint32_t plane = (uint32_t)(j.H * j.W), id = (uint32_t)cell, width = (uint32_t)j.W;
    const float t = (float)(int)(id / plane), y = (float)(int)(id % plane / width), x = (float)(int)(id % width);
    const float rt = (float)j.radius_t, ry = (float)j.radius_y, rx = (float)j.radius_x;
    const bool causal = j.rule & RULE_CAUSAL;
    const float after = causal && !of_key ? 0.f : rt, before = causal && of_key ? 0.f : -rt;
    for (int64_t i = from; i < to; i += VW) {
      const vf dt = load(b.key_t + i) - t, dy = load(b.key_y + i) - y, dx = load(b.key_x + i) - x;
      const vi keep = (vi)(dt <= after) & (vi)(dt >= before) & (vi)(dy <= ry) & (vi)(dy >= -ry) & (vi)(dx <= rx) &
                      (vi)(dx >= -rx);
      store(s + i, keep_if(keep, load(s + i)));
    }
  } else if (j.rule & RULE_CAUSAL) {
    const float t = (float)(int)((uint32_t)cell / (uint32_t)(j.H * j.W));
    for (int64_t i = from; i < to; i += VW) {
      const vf other = load(b.key_t + i);
      store(s + i, keep_if(of_key ? (vi)(other >= t) & (vi)(other < 2e9f) : (vi)(other <= t), load(s + i)));
    }
  }
  if (j.rule & (RULE_NOT_SELF)) {
    for (int64_t i = from; i < to; i += VW) {
      vi key;
      memcpy(&key, b.key_cell + i, sizeof(key));
      store(s + i, keep_if((vi)(key != (int32_t)cell) & (vi)(key >= 0), load(s + i)));
    }
  } else if (!(j.rule & (RULE_WINDOW | RULE_CAUSAL))) {
    for (int64_t i = b.missing ? from : b.keys / VW * VW; i < to; i += VW) {
      vi key;
      memcpy(&key, b.key_cell + i, sizeof(key));
      store(s + i, keep_if((vi)(key >= 0), load(s + i)));
    }
  }
}

// Rows of other frames come from further away than those of the block: they are asked for so many queries ahead.
constexpr int64_t LINE_AHEAD = 8;
static inline void ask_for(const float* row, int64_t width) {
  for (int64_t c = 0; c < width; c += 16) __builtin_prefetch(row + c, 0, 2);
}

// Scores with the same pixel of other frames, into columns padded..padded+extra (a multiple of VW; the rest is -inf).
static void time_line(const Block& b, int64_t cell, int64_t later, const float* q, float* s) {
  const AttentionJob& j = b.j;
  const int64_t plane = j.H * j.W, t = (uint32_t)cell / (uint32_t)plane, pixel = cell - t * plane, ahead = later - cell;
  vi lane;
  memcpy(&lane, LANES, sizeof(lane));
  for (int64_t begin = 0; begin < b.extra; begin += VW) {
    vf line = splat(-__builtin_inff());
    for (int64_t u = begin; u < begin + VW && u < j.T; ++u) {
      if (u == t || ((j.rule & RULE_CAUSAL) && u > t)) continue;
      const int64_t other = u * plane + pixel;
      const float* key = row_of(j.k, b.batch, j.k_batch, other, j.k_row, b.head, j.D);
      if (u > t || other < j.first_query) {  // earlier frames that ask have been worked on just before
        ask_for(key + ahead * j.k_row, j.D);
        ask_for(row_of(j.v, b.batch, j.v_batch, other + ahead, j.v_row, b.head, j.DV), j.DV);
      }
      line = lane == (int32_t)(u - begin) ? splat(dot(q, key, j.D) * j.scale * LOG2_E) : line;
    }
    store(s + b.padded + begin, line);
  }
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug

#include "affinity.inl"

namespace vosplug {
namespace VOSPLUG_ISA {

// s, scores times log2(e), becomes 2^(s - max); returns the maximum of the scores and the sum. All hidden: maximum -inf,
// sum 0. A NaN may escape the maximum, but not the sum.
static void softmax_row(float* s, int64_t n, float* maximum, float* sum) {
  vf m = load(s), other = m;  // two: a maximum waits for the one before it
  int64_t at = VW;
  for (; at + 2 * VW <= n; at += 2 * VW) m = maximum_of(m, load(s + at)), other = maximum_of(other, load(s + at + VW));
  for (; at < n; at += VW) m = maximum_of(m, load(s + at));
  const float top = greatest(maximum_of(m, other)), base = top == -__builtin_inff() ? 0.f : top;
  vf acc = {};
  for (int64_t i = 0; i < n; i += VW) {
    const vf e = power_of_two(load(s + i) - base);
    store(s + i, e);
    acc += e;
  }
  *maximum = top * LN_2;
  *sum = total(acc);
}

// The product with the values where some are infinite or NaN: those that a query does not see must not reach it.
static void weigh_seen(const Block& b, int64_t n, const float* const* probabilities, int64_t from, int64_t count, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    float* to = out + i * b.dv_padded;
    memset(to, 0, sizeof(float) * (size_t)b.dv_padded);
    for (int64_t k = 0; k < count; ++k) {
      const float p = probabilities[i][k];
      if (p == 0.f) continue;
      for (int64_t c = 0; c < b.dv_padded; c += VW) {
        const float* v = b.values + (c / PANEL * b.keys + from + k) * PANEL + c % PANEL;
        store(to + c, load(to + c) + p * load(v));
      }
    }
  }
}

// Values of the same pixel in other frames, and their weights; returns how many count.
static int64_t line_values(const Block& b, int64_t cell, const float* probabilities, Work& w) {
  const AttentionJob& j = b.j;
  const int64_t plane = j.H * j.W, pixel = (uint32_t)cell % (uint32_t)plane;
  int64_t count = 0;
  for (int64_t u = 0; u < j.T; ++u) {
    if (probabilities[u] == 0.f) continue;
    w.line_weights[count] = probabilities[u];
    w.line_rows[count++] = row_of(j.v, b.batch, j.v_batch, u * plane + pixel, j.v_row, b.head, j.DV);
  }
  return count;
}

// Combine with what the cells have so far: everything is relative to the larger maximum.
static void merge(const Block& b, const int32_t* cells, int64_t n, Work& w) {
  const AttentionJob& j = b.j;
  float* states = j.state + (b.batch * j.heads + b.head) * j.queries * 2;
  for (int64_t i = n; i < round_up(n); ++i) w.maximum[i] = 0.f, w.sum[i] = 1.f;
  float old_sum[VW], old_maximum[VW];
  for (int64_t i = 0; i < n; i += VW) {
    vf fresh = splat(1.f), sum = load(w.sum + i), top = load(w.maximum + i), old = {};
    if (!j.first) {
      for (int64_t m = 0; m < VW; ++m) {
        const float* state = states + (int64_t)cells[smaller(i + m, n - 1)] * 2;
        old_maximum[m] = state[0], old_sum[m] = state[1];
      }
      const vf mine = top, before = load(old_maximum), none = splat(-__builtin_inff());
      top = before > mine ? before : mine;
      const vf base = top == none ? (vf){} : top;
      old = exponential(before - base), fresh = exponential(mine - base);
      sum = sum * fresh + load(old_sum) * old;
    }
    const vf share = j.last ? 1.f / sum : splat(1.f);
    store(w.maximum + i, top), store(w.sum + i, sum), store(w.keep + i, old * share), store(w.keep + MOST_QUERIES + i, fresh * share);
  }
  for (int64_t i = 0; i < n; ++i) {
    float* state = states + (int64_t)cells[i] * 2;
    state[0] = j.last ? w.maximum[i] + __builtin_logf(w.sum[i]) : w.maximum[i], state[1] = w.sum[i];
    float* out = j.out + b.batch * j.out_batch + cells[i] * j.out_row + b.head * j.DV;
    const float* fresh = w.fresh + i * b.dv_padded;
    const float old_scale = w.keep[i], new_scale = w.keep[MOST_QUERIES + i];
    const int64_t lines = b.extra ? line_values(b, cells[i], w.scores + i * (b.padded + b.extra) + b.padded, w) : 0;
    for (int64_t c = 0; c < j.DV; c += VW) {
      vf x = load(fresh + c);
      if (c + VW <= j.DV) {
        for (int64_t l = 0; l < lines; ++l) x += w.line_weights[l] * load(w.line_rows[l] + c);
        x *= new_scale;
        store(out + c, j.first ? x : x + load(out + c) * old_scale);
        continue;
      }
      for (int64_t m = c; m < j.DV; ++m) {
        float y = fresh[m];
        for (int64_t l = 0; l < lines; ++l) y += w.line_weights[l] * w.line_rows[l][m];
        out[m] = j.first ? y * new_scale : y * new_scale + out[m] * old_scale;
      }
    }
  }
}

// Rows of the next block are asked for while this one is worked on, `share` cells with every row of scores.
struct Ahead {
  struct Stream {
    const float* base;  // of cell 0
    int64_t row, width;
    bool written;
  };
  Stream streams[8];
  int count;
  const int32_t* cells;  // null: there is no next block
  int64_t cell_count, done, share;

  void add(const float* base, int64_t row, int64_t width, bool written = false) {
    if (base) streams[count++] = Stream{base, row, width, written};
  }
  void step() {
    if (!cells) return;
    const int64_t stop = smaller(done + share, cell_count);
    for (; done < stop; ++done) {
      if (cells[done] < 0) continue;
      for (int i = 0; i < count; ++i) {
        const float* row = streams[i].base + cells[done] * streams[i].row;
        for (int64_t c = 0; c < streams[i].width; c += 16) {
          if (streams[i].written)
            __builtin_prefetch(row + c, 1, 2);
          else
            __builtin_prefetch(row + c, 0, 2);
        }
      }
    }
  }
};

// Where the next block's queries are its keys, and belong to the same batch item and head.
static Ahead look_ahead(const AttentionJob& j, int64_t n, int64_t end) {
  const int64_t L = j.block_keys;
  const bool follows = n + 1 < end && (n + 1) % j.blocks && j.block_queries == L;
  Ahead ahead{};
  ahead.cells = follows ? j.k_index + (n % j.blocks + 1) * L : nullptr;
  ahead.cell_count = L, ahead.share = (L + j.block_queries - 1) / j.block_queries;
  return ahead;
}

// Queries that look at keys from..to, multiples of VW.
static void run_queries(Block& b, const int32_t* cells, int64_t n, int64_t from, int64_t to, Work& w, Ahead& ahead) {
  const AttentionJob& j = b.j;
  const int64_t columns = b.padded + b.extra, plane = j.H * j.W;
  for (int64_t i = 0; i < n; ++i) {
    w.rows[i] = row_of(j.q, b.batch, j.q_batch, cells[i], j.q_row, b.head, j.D);
    w.probabilities[i] = w.scores + i * columns + from;
  }
  product(n, w.rows, j.D, b.keys_t, j.D, from, to, w.scores, columns);
  for (int64_t i = 0; i < n; ++i) {
    float* s = w.scores + i * columns;
    ahead.step();
    hide(b, cells[i], from, to, s);
    if (b.extra) time_line(b, cells[i], cells[smaller(i + LINE_AHEAD, n - 1)], w.rows[i], s);
    if (j.objects) reduce_affinity(b, cells[i], from, to, s);
    softmax_row(s + from, to + b.extra - from, w.maximum + i, w.sum + i);
  }
  const int64_t count = smaller(to, b.keys) - from;
  if (b.finite)
    product(n, w.probabilities, count, b.values + from * PANEL, b.keys, 0, b.dv_padded, w.fresh, b.dv_padded);
  else
    weigh_seen(b, n, w.probabilities, from, count, w.fresh);
  merge(b, cells, n, w);
}

// Where the keys of a block lie. Keys that are no cells are left out where all queries look at all keys.
static void place_keys(Block& b, const int32_t* key_cell) {
  const AttentionJob& j = b.j;
  b.keys = 0;
  for (int64_t i = 0; i < j.block_keys; ++i)
    if (key_cell[i] >= 0 || j.key_span) b.key_cell[b.keys++] = key_cell[i];
  if (!b.keys) b.key_cell[b.keys++] = -1;
  b.padded = round_up(b.keys);
  const bool places = (j.rule & (RULE_WINDOW | RULE_CAUSAL)) || j.objects;
  const uint32_t plane = (uint32_t)(j.H * j.W), width = (uint32_t)j.W;
  b.missing = false;
  for (int64_t i = 0; i < b.padded; ++i) {
    const int32_t cell = i < b.keys ? b.key_cell[i] : -1;
    b.key_cell[i] = cell;
    b.missing |= cell < 0 && i < b.keys;
    if (!places) continue;
    const uint32_t id = (uint32_t)cell;
    b.key_t[i] = cell < 0 ? 3e9f : (float)(int)(id / plane);
    b.key_y[i] = cell < 0 ? 3e9f : (float)(int)(id % plane / width);
    b.key_x[i] = cell < 0 ? 3e9f : (float)(int)(id % width);
    b.key_label[i] = cell < 0 || !j.labels ? -1 : j.labels[b.batch * j.cells + cell];
  }
}

// Rows by pointers in panels, [panel][row][PANEL]; returns whether all values are finite.
static bool pack_rows(int64_t n, const float* const* rows, int64_t width, int64_t padded, float* panels) {
  vf doubt = {};
  float other = 0.f;
  for (int64_t i = 0; i < n; ++i) {
    int64_t c = 0;
    for (; c + VW <= width; c += VW) {
      const vf v = load(rows[i] + c);
      doubt += v * 0.f;
      store(panels + (c / PANEL * n + i) * PANEL + c % PANEL, v);
    }
    for (; c < padded; ++c) {
      const float v = c < width ? rows[i][c] : 0.f;
      other += v * 0.f;
      panels[(c / PANEL * n + i) * PANEL + c % PANEL] = v;
    }
  }
  return total(doubt) + other == 0.f;
}

// Pointers to the rows of the keys in a tensor whose cell 0 is at `base`; missing keys and padding read zeros.
static void point_at(const Block& b, const float* base, int64_t row, const float* nothing, const float** rows) {
  for (int64_t i = 0; i < b.padded; ++i) rows[i] = b.key_cell[i] < 0 ? nothing : base + b.key_cell[i] * row;
}

// Queries that are worked on together.
static int64_t group_of(const AttentionJob& j, int64_t columns) {
  if (j.group_queries) return j.group_queries;
  const int64_t fit = SCORE_BYTES / (int64_t)sizeof(float) / columns / VOSPLUG_MR * VOSPLUG_MR;
  return fit < LEAST_QUERIES ? LEAST_QUERIES : smaller(fit, MOST_QUERIES);
}

// The next queries of a block, at most MOST_QUERIES of one group, and the keys from..to they look at.
struct Group {
  int32_t cells[MOST_QUERIES];
  int64_t count, from, to;

  bool next(const AttentionJob& j, int64_t keys, const int32_t* q_index, int64_t group, int64_t& position) {
    for (count = 0; position < j.block_queries && !count;) {
      const int64_t part = position / group;
      const int64_t stop = smaller(smaller((part + 1) * group, position + MOST_QUERIES), j.block_queries);
      for (; position < stop; ++position)
        if (q_index[position] >= 0) cells[count++] = q_index[position];
      from = part * j.key_step;
      to = round_up(smaller(j.key_span ? from + j.key_span : keys, keys));
      from = from / VW * VW;
    }
    return count > 0;
  }
};

static void attention_blocks(const AttentionJob& j, int64_t begin, int64_t end) {
  const int64_t L = j.block_keys, padded = round_up(L), dvp = round_up(j.DV), widest = j.D > dvp ? j.D : dvp;
  const int64_t extra = (j.rule & RULE_TIME_LINE) ? round_up(j.T) : 0, columns = padded + extra;
  const int64_t group = group_of(j, columns);
  float* keys_t = (float*)scratch(0, sizeof(float) * (size_t)(j.D * panels_of(padded) * PANEL));
  float* values = (float*)scratch(1, sizeof(float) * (size_t)(L * panels_of(dvp) * PANEL));
  float* small = (float*)scratch(3, sizeof(float) * (size_t)(6 * padded + MOST_QUERIES * dvp + 4 * MOST_QUERIES + extra));
  float *key_t = small, *key_y = key_t + padded, *key_x = key_y + padded;
  int32_t *key_label = (int32_t*)(key_x + padded), *key_id = key_label + padded, *key_seen = key_id + padded;
  const float** rows = (const float**)scratch(4, sizeof(float*) * (size_t)(padded + 2 * MOST_QUERIES + extra));
  float* fresh = small + 6 * padded;
  float* maximum = fresh + MOST_QUERIES * dvp;
  float* scores = (float*)scratch(2, sizeof(float) * (size_t)(smaller(group, MOST_QUERIES) * columns));
  Work w{rows + padded, rows + padded + MOST_QUERIES, rows + padded + 2 * MOST_QUERIES, scores, fresh, maximum,
         maximum + MOST_QUERIES, maximum + 2 * MOST_QUERIES, maximum + 4 * MOST_QUERIES};
  const float* nothing = (const float*)memset(scratch(5, sizeof(float) * (size_t)(widest + VW)), 0,
                                              sizeof(float) * (size_t)(widest + VW));
  Group queries;
  for (int64_t n = begin; n < end; ++n) {
    const int64_t block = n % j.blocks, head = n / j.blocks % j.heads, batch = n / j.blocks / j.heads;
    const int32_t* key_cell = j.k_index + block * L;
    const int32_t* q_index = j.q_index + block * j.block_queries;
    Block b{j, batch, head, key_id, L, padded, extra, keys_t, values, dvp, key_y, key_x, key_t, key_label,
            key_seen, -1, false, false, true};
    place_keys(b, key_cell);
    point_at(b, row_of(j.k, batch, j.k_batch, 0, j.k_row, head, j.D), j.k_row, nothing, rows);
    transpose_to_panels(b.padded, rows, j.D, j.scale * LOG2_E, keys_t);
    point_at(b, row_of(j.v, batch, j.v_batch, 0, j.v_row, head, j.DV), j.v_row, nothing, rows);
    b.finite = pack_rows(b.keys, rows, j.DV, dvp, values);
    Ahead ahead = look_ahead(j, n, end);
    ahead.add(row_of(j.k, batch, j.k_batch, 0, j.k_row, head, j.D), j.k_row, j.D);
    ahead.add(row_of(j.v, batch, j.v_batch, 0, j.v_row, head, j.DV), j.v_row, j.DV);
    if (j.q != j.k) ahead.add(row_of(j.q, batch, j.q_batch, 0, j.q_row, head, j.D), j.q_row, j.D);
    ahead.add(j.out + batch * j.out_batch + head * j.DV, j.out_row, j.DV, true);
    for (int64_t position = 0; queries.next(j, b.keys, q_index, group, position);)
      run_queries(b, queries.cells, queries.count, queries.from, queries.to, w, ahead);
  }
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
