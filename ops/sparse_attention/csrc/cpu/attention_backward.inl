// Gradients by blocks: scores are made anew from the saved log-sum-exp. Two kinds of passes, in which rows of a block meet
// its columns: rows are queries and columns keys (gradient of the queries), or the other way round (gradients of keys and
// values). Scores are computed twice, but each row belongs to one block of a pass: no thread waits for another, and the
// sums have one order.
namespace vosplug {
namespace VOSPLUG_ISA {

struct Matrix {
  const float* base;  // of cell 0
  int64_t row, width, padded;
  const float* at(int64_t cell) const { return base + cell * row; }
};

// Rows meet columns in two products: scores (row_score x column_score) and the gradient of the probabilities
// (row_value x column_value).
struct BackwardBlock {
  Block block;
  bool of_keys;
  Matrix row_score, row_value, column_score, column_value;
  const float *lse, *delta;                    // of the queries, by cell
  float *score_t, *value_t, *score, *value;    // columns in panels, transposed and as they are; `value` for keys only
  float *column_lse, *column_delta;            // of_keys
  float *grad_score, *grad_value;              // of cell 0: gradient of the rows
  int64_t grad_score_row, grad_value_row;
};

struct BackwardWork {
  const float **score_rows, **value_rows, **weights, **slopes;
  float *scores, *of_weights, *fresh;
};

// Scores and their gradients with the same pixel of other frames.
static void time_line_backward(const BackwardBlock& w, int64_t cell, const float* score_row, const float* value_row,
                               float* s, float* d) {
  const AttentionJob& j = w.block.j;
  const int64_t plane = j.H * j.W, t = (uint32_t)cell / (uint32_t)plane, pixel = cell - t * plane;
  for (int64_t u = 0; u < w.block.extra; ++u) {
    s[u] = 0.f, d[u] = 0.f;
    const bool hidden = (j.rule & RULE_CAUSAL) && (w.of_keys ? u < t : u > t);
    if (u >= j.T || u == t || hidden || (w.of_keys && u * plane < j.first_query)) continue;
    const int64_t other = u * plane + pixel, query = w.of_keys ? other : cell;
    const float score = j.scale * dot(score_row, w.column_score.at(other), j.D) - w.lse[query];
    const float p = exponential(splat(score))[0];
    s[u] = p;
    d[u] = p * (dot(value_row, w.column_value.at(other), j.DV) - w.delta[query]) * j.scale;
  }
}

// s: scores -> probabilities; d: gradients of the probabilities -> of the scores, times the scale.
static void slopes_of_row(const BackwardBlock& w, int64_t cell, int64_t from, int64_t to, float* s, float* d) {
  const vf scale = splat(w.block.j.scale), lse = splat(w.lse[cell]), delta = splat(w.delta[cell]);
  for (int64_t i = from; i < to; i += VW) {
    const vf p = exponential(load(s + i) - (w.of_keys ? load(w.column_lse + i) : lse));
    const vf slope = p * (load(d + i) - (w.of_keys ? load(w.column_delta + i) : delta)) * scale;
    const vi hidden = (vi)(p == (vf){});
    store(s + i, p);
    store(d + i, (vf)(~hidden & (vi)slope));
  }
}

static void add_rows(const BackwardBlock& w, const int32_t* cells, int64_t n, const float* fresh, const Matrix& like,
                     float* base, int64_t row) {
  for (int64_t i = 0; i < n; ++i) {
    float* to = base + cells[i] * row;
    const float* from = fresh + i * like.padded;
    int64_t c = 0;
    for (; c + VW <= like.width; c += VW) store(to + c, w.block.j.first ? load(from + c) : load(to + c) + load(from + c));
    for (; c < like.width; ++c) to[c] = w.block.j.first ? from[c] : to[c] + from[c];
  }
}

// fresh = weights (rows x columns from..) x columns, and what the time line adds.
static void weigh(const BackwardBlock& w, const Group& g, const float* const* weights, const float* weight_rows,
                  const float* panels, const Matrix& columns, float* fresh) {
  const Block& b = w.block;
  const AttentionJob& j = b.j;
  const int64_t stride = b.padded + b.extra, plane = j.H * j.W;
  product(g.count, weights, smaller(g.to, b.keys) - g.from, panels + g.from * PANEL, b.keys, 0, columns.padded, fresh,
          columns.padded);
  for (int64_t i = 0; i < g.count && b.extra; ++i) {
    const int64_t pixel = (uint32_t)g.cells[i] % (uint32_t)plane;
    for (int64_t u = 0; u < j.T; ++u) {
      const float p = weight_rows[i * stride + b.padded + u];
      if (p == 0.f) continue;
      const float* v = columns.at(u * plane + pixel);
      float* f = fresh + i * columns.padded;
      int64_t c = 0;
      for (; c + VW <= columns.width; c += VW) store(f + c, load(f + c) + p * load(v + c));
      for (; c < columns.width; ++c) f[c] += p * v[c];
    }
  }
}

static void backward_group(const BackwardBlock& w, const Group& g, BackwardWork& work, Ahead& ahead) {
  const Block& b = w.block;
  const int64_t stride = b.padded + b.extra;
  for (int64_t i = 0; i < g.count; ++i) {
    work.score_rows[i] = w.row_score.at(g.cells[i]), work.value_rows[i] = w.row_value.at(g.cells[i]);
    work.weights[i] = work.scores + i * stride + g.from, work.slopes[i] = work.of_weights + i * stride + g.from;
  }
  product(g.count, work.score_rows, b.j.D, w.score_t, b.j.D, g.from, g.to, work.scores, stride);
  product(g.count, work.value_rows, b.j.DV, w.value_t, b.j.DV, g.from, g.to, work.of_weights, stride);
  for (int64_t i = 0; i < g.count; ++i) {
    float *s = work.scores + i * stride, *d = work.of_weights + i * stride;
    ahead.step();
    hide(b, g.cells[i], g.from, g.to, s, w.of_keys);
    slopes_of_row(w, g.cells[i], g.from, g.to, s, d);
    if (b.extra) time_line_backward(w, g.cells[i], work.score_rows[i], work.value_rows[i], s + b.padded, d + b.padded);
  }
  weigh(w, g, work.slopes, work.of_weights, w.score, w.column_score, work.fresh);
  add_rows(w, g.cells, g.count, work.fresh, w.column_score, w.grad_score, w.grad_score_row);
  if (!w.of_keys) return;
  weigh(w, g, work.weights, work.scores, w.value, w.column_value, work.fresh);
  add_rows(w, g.cells, g.count, work.fresh, w.column_value, w.grad_value, w.grad_value_row);
}

static void attention_backward(const AttentionBackwardJob& a, int64_t begin, int64_t end) {
  const AttentionJob& j = a.forward;
  const int64_t L = j.block_keys, padded = round_up(L), dp = round_up(j.D), dvp = round_up(j.DV);
  const int64_t extra = (j.rule & RULE_TIME_LINE) ? round_up(j.T) : 0, columns = padded + extra;
  const int64_t group = group_of(j, 2 * columns), most = smaller(group, MOST_QUERIES), widest = dp > dvp ? dp : dvp;
  const auto floats = [](int slot, int64_t n) { return (float*)scratch(slot, sizeof(float) * (size_t)n); };
  float* panels = floats(0, panels_of(padded) * PANEL * (j.D + j.DV));
  float* plain = floats(1, L * PANEL * (panels_of(dp) + panels_of(dvp)));
  float* scores = floats(2, 2 * most * columns);
  float* small = floats(3, 7 * padded + MOST_QUERIES * widest);
  const float** rows = (const float**)scratch(4, sizeof(float*) * (size_t)(padded + 4 * MOST_QUERIES));
  const float* nothing = (const float*)memset(floats(5, widest + VW), 0, sizeof(float) * (size_t)(widest + VW));
  const float** lists = rows + padded;
  BackwardWork work{lists, lists + MOST_QUERIES, lists + 2 * MOST_QUERIES, lists + 3 * MOST_QUERIES,
                    scores, scores + most * columns, small + 7 * padded};
  Group queries;
  for (int64_t n = begin; n < end; ++n) {
    const int64_t block = n % j.blocks, head = n / j.blocks % j.heads, batch = n / j.blocks / j.heads;
    const Block b{j, batch, head, (int32_t*)(small + 4 * padded), L, padded, extra, nullptr, nullptr, dvp, small,
                  small + padded, small + 2 * padded, (int32_t*)(small + 3 * padded), nullptr, -1, false, false, true};
    const Matrix q{row_of(j.q, batch, j.q_batch, 0, j.q_row, head, j.D), j.q_row, j.D, dp};
    const Matrix k{row_of(j.k, batch, j.k_batch, 0, j.k_row, head, j.D), j.k_row, j.D, dp};
    const Matrix v{row_of(j.v, batch, j.v_batch, 0, j.v_row, head, j.DV), j.v_row, j.DV, dvp};
    const Matrix grad{row_of(a.grad, batch, j.out_batch, 0, j.out_row, head, j.DV), j.out_row, j.DV, dvp};
    const int64_t copy = (batch * j.heads + head) * j.queries;
    float* to_score = (a.of_keys ? a.grad_k + batch * j.k_batch : a.grad_q + batch * j.q_batch) + head * j.D;
    float* to_value = a.of_keys ? a.grad_v + batch * j.v_batch + head * j.DV : nullptr;
    BackwardBlock w{b, a.of_keys, a.of_keys ? k : q, a.of_keys ? v : grad, a.of_keys ? q : k, a.of_keys ? grad : v,
                    a.lse + copy, a.delta + copy, panels, panels + panels_of(padded) * PANEL * j.D, plain,
                    plain + L * PANEL * panels_of(dp), small + 5 * padded, small + 6 * padded, to_score, to_value,
                    j.q_row, j.v_row};
    place_keys(w.block, j.k_index + block * L);
    point_at(w.block, w.column_score.base, w.column_score.row, nothing, rows);
    transpose_to_panels(w.block.padded, rows, j.D, j.scale, w.score_t);
    pack_rows(w.block.keys, rows, j.D, dp, w.score);
    point_at(w.block, w.column_value.base, w.column_value.row, nothing, rows);
    transpose_to_panels(w.block.padded, rows, j.DV, 1.f, w.value_t);
    if (a.of_keys) pack_rows(w.block.keys, rows, j.DV, dvp, w.value);
    for (int64_t i = 0; i < w.block.padded && a.of_keys; ++i) {
      const int32_t cell = w.block.key_cell[i];
      w.column_lse[i] = cell < 0 ? 0.f : w.lse[cell], w.column_delta[i] = cell < 0 ? 0.f : w.delta[cell];
    }
    Ahead ahead = look_ahead(j, n, end);
    const Matrix all[4] = {q, k, v, grad};
    for (const Matrix& m : all) ahead.add(m.base, m.row, m.width);
    ahead.add(to_score, j.q_row, j.D, true);
    if (to_value) ahead.add(to_value, j.v_row, j.DV, true);
    for (int64_t position = 0; queries.next(j, w.block.keys, j.q_index + block * j.block_queries, group, position);)
      backward_group(w, queries, work, ahead);
  }
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
