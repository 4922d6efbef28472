# vosplug: everything from a fresh clone with Python 3.10+ and a C++ compiler. `make help` lists the targets.
#
# Variables: PYTHON (interpreter to start from), VENV (environment to make), TORCH (which torch to install), TORCH_INDEX
# (index that torch alone comes from: one of builds for the CPU, or for a version of CUDA), PIP_ARGS (for every package),
# WHEELS (folder of extra wheels), JOBS (test processes).

PYTHON  ?= python3
VENV    ?= .venv
TORCH   ?= torch==2.13.0
WHEELS  ?= $(wildcard ../shared/wheels)
JOBS    ?= 2
PIP_ARGS ?=
TORCH_INDEX ?=

PY  := $(VENV)/bin/python
PIP  = $(PY) -m pip --disable-pip-version-check -qq install $(PIP_ARGS) $(if $(WHEELS),--find-links "$(WHEELS)")
# torch comes from its own index if one is named; without a GPU its build for the CPU is taken where there is one.
PIP_TORCH = $(PIP) $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)")
OPS := $(shell find ops -type f \( -name '*.py' -o -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.cuh' \
         -o -name '*.inl' \) 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env env-mm demo test test-gpu test-asan test-avx512 lint bench clean-env

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

env: $(VENV)/.stamp-env  ## environment for VOS: torch, vosplug (editable) with its operators, test tools

env-mm: $(VENV)/.stamp-mm  ## env, and mmcv and mmdet for configs with mmdet's parts (compiles mmcv for ten minutes where WHEELS has none)

demo: env  ## synthetic videos, baselines, the model of vosplug, a short training, overlay videos
	@$(PY) tools/run_demo.py

test: env  ## the test suite, without tests marked slow or gpu
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(JOBS) --dist worksteal

test-gpu: env  ## the tests that need a CUDA device
	@$(PY) -m pytest -q -m gpu

test-asan: env  ## the operators' tests under address and undefined-behaviour sanitizers
	@PYTHON="$(PY)" JOBS=$(JOBS) sh ops/test_variant.sh asan

test-avx512: env  ## the operators' tests on emulated AVX-512 kernels, for processors without
	@PYTHON="$(PY)" JOBS=$(JOBS) sh ops/test_variant.sh avx512 -k "not cuda and not build and not benchmark"

lint: env  ## ruff
	@$(PY) -m ruff check .

bench: env  ## speed of a model, and of the operators
	@$(PY) tools/benchmark.py $(BENCH_CONFIG)
	@if [ -f tools/benchmark_ops.py ]; then $(PY) tools/benchmark_ops.py; fi
BENCH_CONFIG ?= stcn_r50

clean-env:  ## remove the environment
	rm -rf "$(VENV)"

# The interpreter, build tools and torch. Debian's python3 may lack venv's pip: then the system's pip is used to put one in.
$(VENV)/.stamp-torch: requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: vosplug needs Python 3.10 or newer, and $(PYTHON) is older; set PYTHON=..." >&2; exit 1; }
	@echo "environment: $(VENV) ($$($(PYTHON) -V)), $(TORCH)"
	@$(PYTHON) -m venv "$(VENV)" >/dev/null 2>&1 \
	  || { $(PYTHON) -m venv --clear --without-pip "$(VENV)" && $(PYTHON) -m pip -q --python "$(PY)" install pip; } \
	  || { echo "error: cannot make $(VENV): install the system's package python3-venv (or python3-pip)" >&2; exit 1; }
	@$(PY) -m pip --disable-pip-version-check -qq install $(PIP_ARGS) --upgrade pip
	@$(PIP) -r requirements/build.txt
	@case "$(TORCH)" in *+*|*[!0-9.]) false;; *==*) ! command -v nvidia-smi >/dev/null 2>&1;; *) false;; esac \
	  && $(PIP_TORCH) "$(TORCH)+cpu" 2>/dev/null || $(PIP_TORCH) "$(TORCH)"
	@touch $@

$(VENV)/.stamp-env: $(VENV)/.stamp-torch setup.py pyproject.toml \
    requirements/runtime.txt requirements/optional.txt requirements/tests.txt requirements/pretrained.txt $(OPS)
	@echo "environment: vosplug and its requirements"
	@$(PIP) -r requirements/runtime.txt -r requirements/optional.txt -r requirements/tests.txt -r requirements/pretrained.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

# mmdet brings the OpenCV build that needs libGL; both builds own the folder cv2, and the one installed last is used.
$(VENV)/.stamp-mm: $(VENV)/.stamp-env requirements/mm.txt
	@echo "environment: mmcv and mmdet (ten minutes where mmcv has to be compiled)"
	@$(PIP) --no-build-isolation -r requirements/mm.txt -r requirements/runtime.txt
	@version=$$($(PY) -m pip --disable-pip-version-check show opencv-python-headless | sed -n 's/^Version: //p') && \
	  $(PIP) --force-reinstall --no-deps "opencv-python-headless==$$version"
	@touch $@
