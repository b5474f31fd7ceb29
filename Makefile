# make demo   all of it once: data, training, evaluation, compression, export, verification, live recognition
# make test   lint, types and every test
# Both make their environment in .venv first, from nothing but git, make and Python 3.10 to 3.13.

PYTHON ?= python3
WORKERS ?= 3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TENSORRT := $(VENV)/trt

# Small graphs run best on one thread each; the tests are spread over processes instead, one more than a small machine has
# processors: those that flash a booted system mostly wait for it.
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test tests lint bench docs install tensorrt-bindings ansible clean

demo: $(READY)
	OMP_NUM_THREADS=$$(nproc) $(BIN)/edgeskel demo $(if $(DATA),--data "$(DATA)")

# The checks of the code run beside the tests, of which many wait for a device: both together take little longer than the tests.
test: $(READY)
	$(MAKE) --no-print-directory --jobs 2 lint tests

tests: tensorrt-bindings ansible
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/python -m tests.verifytypes
	$(BIN)/python docs/api.py build/api

# Every benchmark in full; the results are kept under benchmarks/results and shown in docs/benchmarks.md.
bench: $(READY)
	set -e; for file in benchmarks/[a-z]*.py; do name=$$(basename $$file .py); \
	  grep -q 'main("' $$file || continue; \
	  echo "== $$name"; $(BIN)/python -m benchmarks.$$name --json; done
	$(BIN)/python -m benchmarks.tables

docs: $(READY)
	$(BIN)/python -m benchmarks.tables
	$(BIN)/python -m targets.page
	$(BIN)/python docs/api.py build/api

install: $(READY)

# torch comes first and exactly: a range would also admit newer releases, with gigabytes of GPU libraries behind them. Where there is no
# NVIDIA driver it is the CPU build, if the package index carries that.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and "edgeskel needs Python 3.10 to 3.13, this is " + sys.version.split()[0] + "; set PYTHON=")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24" "setuptools>=77"
	test -e /proc/driver/nvidia/version || $(BIN)/python -m pip install --quiet "torch==2.13.0+cpu" \
	  || echo "the package index carries no +cpu build of torch: the usual one is taken" >&2
	$(BIN)/python -m pip install --quiet "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --editable ".[all,dev]"
	touch $@

# The real TensorRT bindings without TensorRT: tests check every name that the engine builder uses against them. Where no
# wheel exists for this Python or processor, those tests skip.
tensorrt-bindings: $(TENSORRT)/10.3.0 $(TENSORRT)/10.13.3 $(TENSORRT)/11.4.0

$(TENSORRT)/10.3.0: WHEEL := tensorrt_cu12_bindings==10.3.0
$(TENSORRT)/10.13.3: WHEEL := tensorrt_cu12_bindings==10.13.3.9.post1
$(TENSORRT)/11.4.0: WHEEL := tensorrt_cu13_bindings==11.4.0.106
$(TENSORRT)/%: | $(READY)
	@rm -rf $@.part
	$(BIN)/python -m pip install --quiet --no-deps --target $@.part "$(WHEEL)" && mv $@.part $@ \
	  || echo "no $(WHEEL) for this machine" >&2

# The engine of the fleet's role, for its tests: a tool in an environment of its own, no part of edgeskel.
ansible: $(VENV)/ansible/.ready

$(VENV)/ansible/.ready: | $(READY)
	$(PYTHON) -m venv $(VENV)/ansible
	$(VENV)/ansible/bin/pip install --quiet "ansible-core>=2.15"
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info
