// One block: scores of a few queries at a time, softmax, product with the values, merge with what other blocks gave the
// same cells (online softmax). Nothing larger than a few rows of scores exists.
namespace vosplug {
namespace VOSPLUG_ISA {

constexpr int QUERIES = 24;

static inline int64_t round_up(int64_t n) { return (n + VW - 1) / VW * VW; }

struct Block {
  const AttentionJob& j;
  int64_t batch, head;
  const int32_t* key_cell;
  int64_t keys, padded, extra;         // keys in the block, columns of a score row, keys of the time line
  const float *keys_t, *values;        // (D, padded), (keys, dv_padded)
  int64_t dv_padded;
  const float *key_y, *key_x, *key_t;  // coordinates; far away for missing keys
  const int32_t* key_label;
  bool missing;  // some keys are no cells
};

static inline const float* row_of(const float* p, int64_t batch, int64_t batch_step, int64_t cell, int64_t row,
                                  int64_t head, int64_t d) {
  return p + batch * batch_step + cell * row + head * d;
}

static inline float dot(const float* a, const float* b, int64_t n) {
  vf s = {};
  int64_t c = 0;
  for (; c + VW <= n; c += VW) s += load(a + c) * load(b + c);
  float r = total(s);
  for (; c < n; ++c) r += a[c] * b[c];
  return r;
}

// Scores that must not count become -inf; the padding, too.
static void hide(const Block& b, int64_t cell, float* s) {
  const AttentionJob& j = b.j;
  const float none = -__builtin_inff();
  const uint32_t plane = (uint32_t)(j.H * j.W), id = (uint32_t)cell, width = (uint32_t)j.W;
  const float t = (float)(int)(id / plane), y = (float)(int)(id % plane / width), x = (float)(int)(id % width);
  if (j.rule & RULE_WINDOW) {
    const float rt = (float)j.radius_t, ry = (float)j.radius_y, rx = (float)j.radius_x;
    const float behind = (j.rule & RULE_CAUSAL) ? 0.f : rt;
    for (int64_t i = 0; i < b.padded; i += VW) {
      const vf dt = load(b.key_t + i) - t, dy = load(b.key_y + i) - y, dx = load(b.key_x + i) - x;
      const vi keep = (vi)(dt <= behind) & (vi)(dt >= -rt) & (vi)(dy <= ry) & (vi)(dy >= -ry) & (vi)(dx <= rx) &
                      (vi)(dx >= -rx);
      store(s + i, (vf)((keep & (vi)load(s + i)) | (~keep & (vi)splat(none))));
    }
  } else if (j.rule & RULE_CAUSAL) {
    for (int64_t i = 0; i < b.padded; i += VW) {
      const vi keep = (vi)(load(b.key_t + i) <= t);
      store(s + i, (vf)((keep & (vi)load(s + i)) | (~keep & (vi)splat(none))));
    }
  } else if (b.missing) {
    for (int64_t i = 0; i < b.keys; ++i)
      if (b.key_cell[i] < 0) s[i] = none;
  }
  for (int64_t i = b.keys; i < b.padded; ++i) s[i] = none;
  if (j.rule & RULE_NOT_SELF)
    for (int64_t i = 0; i < b.padded; i += VW) {
      vi id;
      memcpy(&id, b.key_cell + i, sizeof(id));
      const vi self = id == (int32_t)cell;
      store(s + i, (vf)((~self & (vi)load(s + i)) | (self & (vi)splat(none))));
    }
}

// Scores with the same pixel of other frames, into columns padded..padded+extra (a multiple of VW; the rest is -inf).
static void time_line(const Block& b, int64_t cell, const float* q, float* s) {
  const AttentionJob& j = b.j;
  const int64_t plane = j.H * j.W, t = (uint32_t)cell / (uint32_t)plane, pixel = cell - t * plane;
  for (int64_t u = 0; u < b.extra; ++u) {
    const bool see = u < j.T && u != t && !((j.rule & RULE_CAUSAL) && u > t);
    s[b.padded + u] = !see ? -__builtin_inff()
        : j.scale * dot(q, row_of(j.k, b.batch, j.k_batch, u * plane + pixel, j.k_row, b.head, j.D), j.D);
  }
}

// Largest score per object among earlier frames (SST, Eq. 4).
static void reduce_affinity(const Block& b, int64_t cell, const float* s) {
  const AttentionJob& j = b.j;
  const int64_t plane = j.H * j.W, t = cell / plane;
  for (int64_t o = 0; o < j.objects; ++o) {
    float* to = j.affinity + ((b.batch * j.heads + b.head) * j.objects + o) * j.cells + cell;
    vf best = splat(*to);
    if (!(j.rule & RULE_TIME_LINE) && t > 0) {
      for (int64_t i = 0; i < b.padded; i += VW) {
        vi label;
        memcpy(&label, b.key_label + i, sizeof(label));
        const vi mine = (vi)(label == (int32_t)o) & (vi)(load(b.key_t + i) < (float)t);
        best = larger(best, (vf)(mine & (vi)load(s + i)));
      }
    }
    float m = largest(best);
    for (int64_t u = 0; u < t && (j.rule & RULE_TIME_LINE); ++u)
      if (j.labels[b.batch * j.cells + u * plane + cell % plane] == o && s[b.padded + u] > m) m = s[b.padded + u];
    *to = m;
  }
}

// s becomes e^(s - max); returns maximum and sum. All hidden: maximum -inf, sum 0.
static void softmax_row(float* s, int64_t n, float* maximum, float* sum) {
  vf m = load(s);
  for (int64_t i = VW; i < n; i += VW) m = larger(m, load(s + i));
  const float top = largest(m);
  *maximum = top;
  *sum = 0.f;
  if (top == -__builtin_inff()) {
    for (int64_t i = 0; i < n; ++i) s[i] = 0.f;
    return;
  }
  vf acc = {};
  for (int64_t i = 0; i < n; i += VW) {
    const vf x = load(s + i);
    const vi hidden = (vi)(x == -__builtin_inff());
    const vf e = (vf)(~hidden & (vi)exponential(x - top));
    store(s + i, e);
    acc += e;
  }
  *sum = total(acc);
}

// Combine with what the cell has so far: everything is relative to the larger maximum.
static void merge(const Block& b, int64_t cell, const float* fresh, float maximum, float sum) {
  const AttentionJob& j = b.j;
  float* out = j.out + b.batch * j.out_batch + cell * j.out_row + b.head * j.DV;
  float* state = j.state + ((b.batch * j.heads + b.head) * j.cells + cell) * 2;
  float old_scale = 0.f, new_scale = 1.f;
  if (!j.first) {
    const float old_max = state[0], top = old_max > maximum ? old_max : maximum;
    old_scale = old_max == -__builtin_inff() ? 0.f : __builtin_expf(old_max - top);
    new_scale = maximum == -__builtin_inff() ? 0.f : __builtin_expf(maximum - top);
    sum = sum * new_scale + state[1] * old_scale;
    maximum = top;
  }
  state[0] = maximum, state[1] = sum;
  if (j.last) {
    state[0] = maximum + __builtin_logf(sum);
    const float inverse = 1.f / sum;
    old_scale *= inverse, new_scale *= inverse;
  }
  int64_t c = 0;
  if (j.first) {
    for (; c + VW <= j.DV; c += VW) store(out + c, load(fresh + c) * new_scale);
    for (; c < j.DV; ++c) out[c] = fresh[c] * new_scale;
  } else {
    for (; c + VW <= j.DV; c += VW) store(out + c, load(fresh + c) * new_scale + load(out + c) * old_scale);
    for (; c < j.DV; ++c) out[c] = fresh[c] * new_scale + out[c] * old_scale;
  }
}

// Rows of the next block are asked for while this one is worked on, `share` of them with every query.
struct Ahead {
  const AttentionJob& j;
  const int32_t* cells;  // null: there is no next block
  int64_t batch, head, done, share;

  void step() {
    if (!cells) return;
    const int64_t stop = done + share < j.block_keys ? done + share : j.block_keys;
    for (; done < stop; ++done) {
      if (cells[done] < 0) continue;
      const float* k = row_of(j.k, batch, j.k_batch, cells[done], j.k_row, head, j.D);
      const float* v = row_of(j.v, batch, j.v_batch, cells[done], j.v_row, head, j.DV);
      for (int64_t c = 0; c < j.D; c += 16) __builtin_prefetch(k + c, 0, 2);
      for (int64_t c = 0; c < j.DV; c += 16) __builtin_prefetch(v + c, 0, 2);
      if (j.q != j.k) {
        const float* q = row_of(j.q, batch, j.q_batch, cells[done], j.q_row, head, j.D);
        for (int64_t c = 0; c < j.D; c += 16) __builtin_prefetch(q + c, 0, 2);
      }
      if (!j.first) {
        const float* o = j.out + batch * j.out_batch + cells[done] * j.out_row + head * j.DV;
        for (int64_t c = 0; c < j.DV; c += 16) __builtin_prefetch(o + c, 1, 2);
      }
    }
  }
};

static void run_queries(const Block& b, const int32_t* cells, int64_t n, float* scores, float* fresh, float* scaled,
                        Ahead& ahead) {
  const AttentionJob& j = b.j;
  const int64_t columns = b.padded + b.extra, plane = j.H * j.W;
  const float* rows[QUERIES];
  const float* probabilities[QUERIES];
  float maximum[QUERIES], sum[QUERIES];
  int64_t d_padded = round_up(j.D);
  for (int64_t i = 0; i < n; ++i) {
    const float* q = row_of(j.q, b.batch, j.q_batch, cells[i], j.q_row, b.head, j.D);
    rows[i] = q, probabilities[i] = scores + i * columns;
    if (j.scale == 1.f) continue;
    float* copy = scaled + i * d_padded;
    for (int64_t c = 0; c < j.D; ++c) copy[c] = q[c] * j.scale;
    rows[i] = copy;
  }
  product(n, rows, j.D, b.keys_t, b.padded, b.padded, scores, columns);
  for (int64_t i = 0; i < n; ++i) {
    float* s = scores + i * columns;
    ahead.step();
    hide(b, cells[i], s);
    if (b.extra) time_line(b, cells[i], row_of(j.q, b.batch, j.q_batch, cells[i], j.q_row, b.head, j.D), s);
    if (j.objects) reduce_affinity(b, cells[i], s);
    softmax_row(s, columns, maximum + i, sum + i);
  }
  product(n, probabilities, b.keys, b.values, b.dv_padded, b.dv_padded, fresh, b.dv_padded);
  for (int64_t i = 0; i < n; ++i) {
    float* f = fresh + i * b.dv_padded;
    const int64_t pixel = (uint32_t)cells[i] % (uint32_t)plane;
    for (int64_t u = 0; u < b.extra && u < j.T; ++u) {
      const float p = scores[i * columns + b.padded + u];
      if (p == 0.f) continue;
      const float* v = row_of(j.v, b.batch, j.v_batch, u * plane + pixel, j.v_row, b.head, j.DV);
      int64_t c = 0;
      for (; c + VW <= j.DV; c += VW) store(f + c, load(f + c) + p * load(v + c));
      for (; c < j.DV; ++c) f[c] += p * v[c];
    }
    merge(b, cells[i], f, maximum[i], sum[i]);
  }
}

static void attention_blocks(const AttentionJob& j, int64_t begin, int64_t end) {
  const int64_t L = j.block_keys, padded = round_up(L), dvp = round_up(j.DV), plane = j.H * j.W;
  const int64_t extra = (j.rule & RULE_TIME_LINE) ? round_up(j.T) : 0, columns = padded + extra;
  float* keys_t = (float*)scratch(0, sizeof(float) * (size_t)(j.D * padded + VW));
  float* values = (float*)scratch(1, sizeof(float) * (size_t)(L * dvp + VW));
  float* scores = (float*)scratch(2, sizeof(float) * (size_t)(QUERIES * columns + VW));
  float* small = (float*)scratch(3, sizeof(float) * (size_t)(5 * padded + QUERIES * (dvp + round_up(j.D)) + 4 * VW));
  float *key_t = small, *key_y = key_t + padded, *key_x = key_y + padded;
  int32_t *key_label = (int32_t*)(key_x + padded), *key_id = key_label + padded;
  float *fresh = small + 5 * padded, *scaled = fresh + QUERIES * dvp;
  const float** rows = (const float**)scratch(4, sizeof(float*) * (size_t)(L + 1));
  const float* nothing = (const float*)memset(scratch(5, sizeof(float) * (size_t)(j.D + VW)), 0, sizeof(float) * j.D);
  int32_t queries[QUERIES];
  for (int64_t n = begin; n < end; ++n) {
    const int64_t block = n % j.blocks, head = n / j.blocks % j.heads, batch = n / j.blocks / j.heads;
    const int32_t* key_cell = j.k_index + block * L;
    bool missing = false;
    for (int64_t i = 0; i < padded; ++i) {
      const int64_t cell = i < L ? key_cell[i] : -1;
      key_id[i] = (int32_t)cell;
      if (j.rule & (RULE_WINDOW | RULE_CAUSAL) || j.objects) {
        const uint32_t id = (uint32_t)cell, size = (uint32_t)plane, width = (uint32_t)j.W;
        key_t[i] = cell < 0 ? 3e9f : (float)(int)(id / size);
        key_y[i] = cell < 0 ? 3e9f : (float)(int)(id % size / width);
        key_x[i] = cell < 0 ? 3e9f : (float)(int)(id % width);
      }
      key_label[i] = cell < 0 || !j.labels ? -1 : j.labels[batch * j.cells + cell];
      if (i >= L) continue;
      missing |= cell < 0;
      rows[i] = cell < 0 ? nothing : row_of(j.k, batch, j.k_batch, cell, j.k_row, head, j.D);
      float* v = values + i * dvp;
      if (cell < 0)
        memset(v, 0, sizeof(float) * dvp);
      else {
        memcpy(v, row_of(j.v, batch, j.v_batch, cell, j.v_row, head, j.DV), sizeof(float) * j.DV);
        for (int64_t c = j.DV; c < dvp; ++c) v[c] = 0.f;
      }
    }
    transpose_rows(L, rows, j.D, keys_t, padded);
    const Block b{j, batch, head, key_id, L, padded, extra, keys_t, values, dvp, key_y, key_x, key_t, key_label, missing};
    const int32_t* q_index = j.q_index + block * j.block_queries;
    // The next block belongs to the same batch item and head, and its queries are its keys.
    const bool follows = n + 1 < end && (n + 1) % j.blocks && j.block_queries == L;
    Ahead ahead{j, follows ? key_cell + L : nullptr, batch, head, 0, (L + j.block_queries - 1) / j.block_queries};
    int64_t count = 0;
    for (int64_t i = 0; i < j.block_queries; ++i) {
      if (q_index[i] >= 0) queries[count++] = q_index[i];
      if (count == QUERIES || (i + 1 == j.block_queries && count)) {
        run_queries(b, queries, count, scores, fresh, scaled, ahead);
        count = 0;
      }
    }
  }
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
