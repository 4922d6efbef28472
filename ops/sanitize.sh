#!/bin/sh
# Tests of the operators on a build with address and undefined-behaviour sanitizers (make test-asan).
# Afterwards the usual build is put back.
set -e
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python}"
"$PYTHON" ops/build.py --asan --jobs "${JOBS:-1}"
trap '"$PYTHON" ops/build.py --jobs "${JOBS:-1}"' EXIT
compiler="${CXX:-g++}"
export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so) $("$compiler" -print-file-name=libstdc++.so.6)"
# Python and torch keep memory until the process ends: leaks are not looked for.
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1" UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1" OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
"$PYTHON" -m pytest -q -p no:cacheprovider tests/ops "$@"
