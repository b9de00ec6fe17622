# Every target makes its own virtual environment in .venv first; PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= ../shared/data/psf_reference

.PHONY: demo test mutations reliability lint docs bench plain compare clean

demo: .venv/installed
	$(BIN)/dluxshera demo

# Tests compile far more than they compute: with hardly any optimisation they take half the time. XLA ends a process
# that names a flag it does not know; where this one does not know them, tests are slower. Compiled functions are kept
# between tests, their workers and runs.
QUICK := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false
test: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/.pytest_cache/jax
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0.1
test: .venv/installed
	@if XLA_FLAGS="$(QUICK)" $(BIN)/python -c "import jax; jax.devices()" 2>/dev/null; then export XLA_FLAGS="$(QUICK)"; \
	else echo "This XLA does not know $(QUICK): tests compile as users do, and take longer."; fi; \
	$(BIN)/python -m pytest -n 2 && $(BIN)/python -m pytest -n 2 --float32

mutations: .venv/installed
	$(BIN)/python tests/mutation_check.py

# Kills, failing calls, damage, races and a busy reader, in full counts; then the large forms of tests.
reliability: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/.pytest_cache/jax
reliability: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0.1
reliability: .venv/installed
	cd tests && PYTHONPATH=. ../$(BIN)/python -m reliability
	$(BIN)/python -m pytest -n 2 --full -m full

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/installed-docs
	$(BIN)/mkdocs build --strict

# Costs, scaling, precision and limits on this machine. DEVICE=gpu for the same table on one.
DEVICE ?= cpu
bench: .venv/installed
	$(BIN)/python benchmarks/table.py --device $(DEVICE) --output docs/tables/benchmarks.md

# Beside the same telescope written the plain way, and how many wavelengths it needs.
plain: .venv/installed
	$(BIN)/python benchmarks/speed.py $(DATA)
	$(BIN)/python benchmarks/wavelengths.py

# Images and speed beside dLux, HCIPy and POPPY.
compare: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[compare]'
	$(BIN)/python benchmarks/validation.py
	$(BIN)/python benchmarks/peer_speed.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dluxshera needs Python 3.11 or later; run make with PYTHON=python3.12, say." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv demo site .pytest_cache .ruff_cache .hypothesis
