// Lists of the sites to compute, and of the tiles with such a site: found, or checked where they are given.
#include <torch/headeronly/util/Exception.h>

#include <cstring>

#include "conv.h"
#include "scratch.h"

namespace vosplug {
namespace {

enum Slot { SLOT_SITES = 5, SLOT_TILES, SLOT_BITS };  // work memory of the calling thread; see conv.cpp

bool is_list(const View& t, ScalarType type) { return t.type == type && t.contiguous; }

// Appends nothing and allocates nothing: writes active sites in rising order, returns how many. -1: a value above 2.
int64_t find_sites(const uint8_t* policy, int64_t n, int32_t* sites) {
  constexpr uint64_t ones = 0x0101010101010101u;
  int64_t count = 0, i = 0;
  uint64_t bad = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t u;
    std::memcpy(&u, policy + i, 8);
    bad |= (u & (0xfc * ones)) | ((u >> 1) & u & ones);
    if (!(u & (2 * ones))) continue;
    for (int b = 0; b < 8; ++b) {
      sites[count] = (int32_t)(i + b);
      count += policy[i + b] == 2;
    }
  }
  for (; i < n; ++i) {
    bad |= policy[i] > 2;
    sites[count] = (int32_t)i;
    count += policy[i] == 2;
  }
  return bad ? -1 : count;
}
}  // namespace

// How many sites are active; -1: a value above 2.
int64_t count_sites(const uint8_t* policy, int64_t n) {
  int64_t active = 0, bad = 0;
  for (int64_t i = 0; i < n; ++i) active += policy[i] == 2, bad += policy[i] > 2;
  return bad ? -1 : active;
}

namespace {

// 2x2 tiles with an active pixel; bit 2*dy+dx of `bits` tells which.
int64_t find_tiles(const uint8_t* policy, int64_t B, int64_t H, int64_t W, int32_t* tiles, uint8_t* bits) {
  const int64_t th = (H + 1) / 2, tw = (W + 1) / 2;
  int64_t count = 0;
  for (int64_t b = 0; b < B; ++b)
    for (int64_t ty = 0; ty < th; ++ty) {
      const uint8_t* top = policy + (b * H + ty * 2) * W;
      const uint8_t* low = ty * 2 + 1 < H ? top + W : nullptr;
      for (int64_t x = 0; x < W;) {
        if (x + 8 <= W) {
          uint64_t u, l = 0;
          std::memcpy(&u, top + x, 8);
          if (low) std::memcpy(&l, low + x, 8);
          if (!((u | l) & 0x0202020202020202u)) {
            x += 8;
            continue;
          }
        }
        for (int64_t stop = x + 8 < W ? x + 8 : W; x < stop; x += 2) {
          const bool right = x + 1 < W;
          const int active = (top[x] == 2) | (right && top[x + 1] == 2) << 1 | (low && low[x] == 2) << 2 |
                             (low && right && low[x + 1] == 2) << 3;
          tiles[count] = (int32_t)((b * th + ty) * tw + x / 2);
          bits[count] = (uint8_t)active;
          count += active != 0;
        }
      }
    }
  return count;
}
}  // namespace

void check_policy(const View& policy) {
  STD_TORCH_CHECK(policy.type == ScalarType::Byte && policy.dim == 3 && policy.contiguous,
                  "policy: expected a contiguous uint8 tensor of shape (B, H_out, W_out)");
  STD_TORCH_CHECK(policy.count < (int64_t(1) << 31), "policy: expected fewer than 2^31 sites, got ", policy.count);
}
void check_values(int64_t count) {
  STD_TORCH_CHECK(count >= 0, "policy: expected values 0 (zero), 1 (reuse) and 2 (compute), got a larger one");
}

void find_sites(const View& policy, Sites& s) {
  int32_t* list = (int32_t*)scratch(SLOT_SITES, (policy.count + 8) * 4);
  s.count = find_sites(policy.as<uint8_t>(), policy.count, list);
  check_values(s.count);
  s.sites = list;
}
void find_tiles(const View& policy, Sites& s) {
  const int64_t B = policy.size[0], H = policy.size[1], W = policy.size[2];
  const int64_t most = B * ((H + 1) / 2) * ((W + 1) / 2) + 8;
  int32_t* list = (int32_t*)scratch(SLOT_TILES, most * 4);
  uint8_t* active = (uint8_t*)scratch(SLOT_BITS, most);
  s.tile_count = find_tiles(policy.as<uint8_t>(), B, H, W, list, active);
  s.tiles = list, s.bits = active;
}

Sites sites_of(const SiteLists& lists, bool want_tiles) {
  Sites s;
  if (lists.sites) {
    STD_TORCH_CHECK(is_list(lists.sites, ScalarType::Int), "sites: expected int32, as active_sites gives them");
    s.sites = lists.sites.as<int32_t>(), s.count = lists.sites.count;
  } else {
    find_sites(lists.policy, s);
  }
  if (!want_tiles) return s;
  if (lists.tiles) {
    STD_TORCH_CHECK(is_list(lists.tiles, ScalarType::Int) && is_list(lists.bits, ScalarType::Byte) &&
                        lists.bits.count == lists.tiles.count,
                    "tiles, bits: expected int32 and uint8 of one length, as active_tiles gives them");
    s.tiles = lists.tiles.as<int32_t>(), s.bits = lists.bits.as<uint8_t>(), s.tile_count = lists.tiles.count;
  } else {
    find_tiles(lists.policy, s);
  }
  return s;
}

}  // namespace vosplug
