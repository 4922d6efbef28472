// Vectors of 16 bytes, which every processor of today has. Include after every other header.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "types.h"

#define VOSPLUG_ISA generic
#define VOSPLUG_BYTES 16
#define VOSPLUG_NV 2
#define VOSPLUG_MR 4
#define VOSPLUG_DOT_BF16 0
#include "isa.h"
