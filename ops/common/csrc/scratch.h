// Work memory that a thread keeps between calls, so that a call in steady state allocates nothing.
#pragma once
#include <stddef.h>

namespace vosplug {

// At least `bytes` bytes, 64-byte aligned, valid until this thread asks for the same slot again. Aborts the process
// with a message when memory is exhausted (an exception cannot cross the threads of torch's parallel_for).
void* scratch(int slot, size_t bytes);

}  // namespace vosplug
