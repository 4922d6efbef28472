// AVX2 and FMA. Include after every other header: from here to the end of the file the compiler may use it.
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "types.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define VOSPLUG_ISA avx2
#define VOSPLUG_BYTES 32
#define VOSPLUG_NV 2
#define VOSPLUG_MR 6
#define VOSPLUG_DOT_BF16 0
#include "isa.h"
