#!/bin/sh
# Tests of the operators on a build made for that: `asan`, with address and undefined-behaviour sanitizers, or `avx512`,
# the kernels of AVX-512 emulated. Further arguments are pytest's. Afterwards the usual build is put back.
set -e
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python}"
variant="$1"
shift
"$PYTHON" ops/build.py --variant "$variant" --jobs "${JOBS:-1}"
trap '"$PYTHON" ops/build.py --jobs "${JOBS:-1}"' EXIT
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
if [ "$variant" = asan ]; then
  compiler="${CXX:-g++}"
  export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so) $("$compiler" -print-file-name=libstdc++.so.6)"
  # Python and torch keep memory until the process ends: leaks are not looked for.
  export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1" UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
fi
"$PYTHON" -m pytest -q -p no:cacheprovider tests/ops "$@"
