// AVX-512. Include after every other header: from here to the end of the file the compiler may use it.
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "types.h"

#if VOSPLUG_EMULATE_AVX512
#pragma GCC target("avx2,fma,f16c")
#include "avx512_emulated.h"
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
#endif

#define VOSPLUG_ISA avx512
#define VOSPLUG_BYTES 64
#define VOSPLUG_NV 4
#define VOSPLUG_MR 6
#define VOSPLUG_DOT_BF16 0
#include "isa.h"
