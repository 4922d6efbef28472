#include "scratch.h"

#include <cstdio>
#include <cstdlib>

namespace vosplug {
namespace {

struct Arena {
  static constexpr int slots = 15;
  void* memory[slots] = {};
  size_t size[slots] = {};
  ~Arena() {
    for (void* block : memory) std::free(block);
  }
};
thread_local Arena arena;

}  // namespace

void* scratch(int slot, size_t bytes) {
  if (arena.size[slot] < bytes) {
    std::free(arena.memory[slot]);
    size_t rounded = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    arena.memory[slot] = std::aligned_alloc(64, rounded);
    if (!arena.memory[slot]) {
      std::fprintf(stderr, "vosplug.ops: out of memory (%zu bytes of work memory)\n", rounded);
      std::abort();
    }
    arena.size[slot] = rounded;
  }
  return arena.memory[slot];
}

}  // namespace vosplug
