# Two commands: `make demo` shows what ropewalk does, `make test` checks that it does it.
# Both set up .venv by themselves; the versions are the tested ones in constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
TORCH := 2.13.0

.PHONY: demo test setup lint docs bench clean

demo: .venv/ready-demo
	$(BIN)/ropewalk demo

test: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/performance.py --check
	$(BIN)/python -m pytest -n 2 --dist loadscope

setup: .venv/ready-dev

lint: .venv/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

docs: .venv/ready-dev
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/performance.py

bench: .venv/ready-dev
	$(BIN)/python bench

# The CPU build of torch: from an index that has one, else through uv, which knows where to find it.
.venv/ready-torch:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check 'torch==$(TORCH)+cpu' \
	  || { $(BIN)/pip install --quiet uv && $(BIN)/uv pip install --python $(BIN)/python --torch-backend=cpu torch==$(TORCH); }
	touch $@

.venv/ready-demo: .venv/ready-torch pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[view]'
	touch $@

.venv/ready-dev: .venv/ready-torch pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[view,data,zh,hf,study,board,export,bench,dev]'
	touch $@

clean:
	rm -rf .venv demo runs
