// Object affinity (SST, Eq. 4): the largest score per object among the cells of earlier frames. Included by attention.inl.
namespace vosplug {
namespace VOSPLUG_ISA {

// Which objects the keys are of for a query of frame t: those of frames that are not earlier are of none.
static void see_earlier(Block& b, int64_t t) {
  if (b.seen_from == t) return;
  vi any = {};
  for (int64_t i = 0; i < b.padded; i += VW) {
    vi label;
    memcpy(&label, b.key_label + i, sizeof(label));
    const vi earlier = (vi)(load(b.key_t + i) < (float)t), seen = (earlier & label) | ~earlier;
    memcpy(b.key_seen + i, &seen, sizeof(seen));
    any |= (vi)(seen >= 0);
  }
  b.seen_from = t, b.sees_earlier = false;
  for (int64_t i = 0; i < VW; ++i) b.sees_earlier |= any[i] != 0;
}

// A score of an object that is above what is there, and the key that has it.
static inline void keep_best(const AttentionJob& j, int64_t place, float score, int32_t key) {
  j.affinity[place] = score * LN_2, j.where[place] = key;
}

// The largest scores of a few objects, from `first` on, among the keys that are of them.
constexpr int64_t TOGETHER = 4;
static void best_keys(const Block& b, int64_t place, int64_t first, int64_t from, int64_t to, const float* s) {
  const AttentionJob& j = b.j;
  vf best[TOGETHER];
  vi column[TOGETHER], lane;
  memcpy(&lane, LANES, sizeof(lane));
  for (int64_t o = 0; o < TOGETHER; ++o) {
    const bool exists = first + o < j.objects;
    best[o] = splat(exists ? j.affinity[place + o * j.affinities] * LOG2_E : __builtin_inff());
    column[o] = splat_int(-1);
  }
  for (int64_t i = from; i < to; i += VW) {
    vi seen;
    memcpy(&seen, b.key_seen + i, sizeof(seen));
    const vf score = load(s + i);
    const vi here = lane + (int32_t)i;
    for (int64_t o = 0; o < TOGETHER; ++o) {
      const vi more = (vi)(seen == (int32_t)(first + o)) & (vi)(score > best[o]);
      best[o] = (vf)((more & (vi)score) | (~more & (vi)best[o]));
      column[o] = (more & here) | (~more & column[o]);
    }
  }
  for (int64_t o = 0; o < smaller(TOGETHER, j.objects - first); ++o) {
    const float top = greatest(best[o]);
    if (!(top > j.affinity[place + o * j.affinities] * LOG2_E)) continue;
    int64_t i = 0;
    while (best[o][i] != top || column[o][i] < 0) ++i;
    keep_best(j, place + o * j.affinities, top, b.key_cell[column[o][i]]);
  }
}

// Largest score per object among earlier frames (SST, Eq. 4), and the key that has it; only what is above what is there.
static void reduce_affinity(Block& b, int64_t cell, int64_t from, int64_t to, const float* s) {
  const AttentionJob& j = b.j;
  const int64_t plane = j.H * j.W, t = (uint32_t)cell / (uint32_t)plane;
  if (cell < j.first_affinity || t == 0) return;
  const int64_t place = (b.batch * j.heads + b.head) * j.objects * j.affinities + cell;
  if (!(j.rule & RULE_TIME_LINE)) {
    see_earlier(b, t);
    for (int64_t o = 0; o < j.objects && b.sees_earlier; o += TOGETHER)
      best_keys(b, place + o * j.affinities, o, from, to, s);
    return;
  }
  for (int64_t u = 0; u < t; ++u) {  // all other keys of such a block are of the same frame
    const int64_t other = u * plane + cell - t * plane;
    const int32_t label = j.labels[b.batch * j.cells + other];
    if (label < 0 || label >= j.objects) continue;
    const int64_t own = place + label * j.affinities;
    if (s[b.padded + u] > j.affinity[own] * LOG2_E) keep_best(j, own, s[b.padded + u], (int32_t)other);
  }
}

// The gradient of affinity: each largest score takes the whole of its own. Ranges of (batch, head).
static void affinity_backward(const AffinityBackwardJob& a, int64_t begin, int64_t end) {
  const AttentionJob& j = a.forward;
  for (int64_t n = begin; n < end; ++n) {
    const int64_t batch = n / j.heads, head = n % j.heads;
    for (int64_t i = 0; i < j.objects * j.affinities; ++i) {
      const int32_t key = a.where[n * j.objects * j.affinities + i];
      if (key < 0) continue;
      const float slope = a.grad[n * j.objects * j.affinities + i] * j.scale;
      const int64_t cell = j.first_affinity + i % j.affinities;
      const float* q = row_of(j.q, batch, j.q_batch, cell, j.q_row, head, j.D);
      const float* k = row_of(j.k, batch, j.k_batch, key, j.k_row, head, j.D);
      float* to_q = a.grad_q + (q - j.q);
      float* to_k = a.grad_k + (k - j.k);
      int64_t c = 0;
      for (; c + VW <= j.D; c += VW) {
        store(to_q + c, load(to_q + c) + slope * load(k + c));
        store(to_k + c, load(to_k + c) + slope * load(q + c));
      }
      for (; c < j.D; ++c) to_q[c] += slope * k[c], to_k[c] += slope * q[c];
    }
  }
}

}  // namespace VOSPLUG_ISA
}  // namespace vosplug
