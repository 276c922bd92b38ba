# `make demo` shows what ropewalk does; `make test` checks that it works.
# Both create .venv themselves, with the tested versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: demo test checks tests setup lint lock docs docs-site bench gpu-rehearsal wheel clean

demo: .venv/ready-demo
	$(BIN)/ropewalk demo

# Both at once: the checks run on one core while the tests start.
test: .venv/ready-dev
	$(MAKE) --no-print-directory -j 2 checks tests

checks: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/write_constraints.py --check
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/performance.py --check
	$(BIN)/python docs/verified.py --check

tests: .venv/ready-dev
	$(BIN)/python -m pytest -n 3 --dist loadscope

setup: .venv/ready-dev

# Fixes what ruff can fix, then checks types.
lint: .venv/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# Updates uv.lock to what pyproject.toml asks for, and constraints.txt with it.
lock: .venv/ready-dev
	$(BIN)/uv lock
	$(BIN)/python scripts/write_constraints.py

# The generated pages of docs/.
docs: .venv/ready-dev
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/performance.py
	$(BIN)/python docs/verified.py

# The documentation site, in docs/_build/html; a warning is an error.
docs-site: .venv/ready-dev
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --builder html docs docs/_build/html

bench: .venv/ready-dev
	$(BIN)/python bench

# What a rented GPU will do, on the CPU with tiny models.
gpu-rehearsal: .venv/ready-dev
	$(BIN)/python -m pytest -q tests/training/test_gpu_scripts.py tests/training/test_fast_step.py

# Builds the wheel and tries it in an empty environment without PyTorch.
wheel: .venv/ready-dev
	$(BIN)/python scripts/check_wheel.py

# uv installs several times faster than pip. PyTorch comes first, as its CPU build: with pip where an index has it,
# otherwise with uv, which knows PyTorch's own index. What is installed later leaves it as it is.
.venv/bin/uv:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --constraint constraints.txt uv

.venv/ready-torch: | .venv/bin/uv
	$(PIP) 'torch==$(TORCH)+cpu' || $(UV) --torch-backend=cpu torch==$(TORCH)
	touch $@

.venv/ready-demo: .venv/ready-torch pyproject.toml constraints.txt | .venv/bin/uv
	$(UV) --editable '.[train,pictures]'
	touch $@

.venv/ready-dev: .venv/ready-torch pyproject.toml constraints.txt | .venv/bin/uv
	$(UV) --editable '.[all]' --group dev
	touch $@

clean:
	rm -rf .venv demo runs dist docs/_build
