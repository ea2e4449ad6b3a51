# make demo   sets everything up and runs the sentiment recipe to a printed answer, a report and a server command
# make test   sets everything up and passes every test
# make help   the rest

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export HF_HUB_OFFLINE ?= 1
SHELL := /bin/bash

.PHONY: help setup demo demo-full test unit properties lint types docs bench stress clean

help:
	@sed -n 's/^# make /make /p' Makefile
	@echo "make unit   the fast tests only;  make properties, make lint, make types, make docs, make bench, make stress, make clean"

setup: $(STAMP)

# The pins make the same environment everywhere; an installed torch of that version is kept.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here; install Python 3.11 or newer, or: make PYTHON=/path/to/python3"; exit 5; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; use: make PYTHON=python3.11"; exit 5; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "python's venv module is missing; on Debian: apt-get install python3-venv"; exit 5; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned environment into $(VENV) (once; some minutes)"
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[all,dev]' \
	  || { echo "the packages could not be installed: check the network or proxy (HTTPS_PROXY, PIP_INDEX_URL), then run make again"; exit 5; }
	@touch $@

demo: setup
	@rm -rf demo && $(BIN)/breakeven init demo --recipe sentiment
	@cd demo && PATH="$(abspath $(BIN)):$$PATH" breakeven run

# All rows, a LoRA candidate and ten minutes of training; then the Chinese recipe, all 35,000 rows. Plan for an hour on two cores.
demo-full: setup
	@rm -rf demo-full demo-zh
	@$(BIN)/breakeven init demo-full --recipe sentiment
	@sed -i.bak -e 's/^  limit: 6000 .*/  limit: null/' -e 's/^  budget: .*/  budget: {minutes: 10}/' \
	  -e 's/^    - {name: encoder,.*/&\n    - {name: lora, model: minilm-l6, adapt: lora, epochs: 3}/' demo-full/breakeven.yaml && rm demo-full/*.bak
	@cd demo-full && time PATH="$(abspath $(BIN)):$$PATH" breakeven run
	@$(BIN)/breakeven init demo-zh --recipe sentiment-zh
	@cd demo-zh && time PATH="$(abspath $(BIN)):$$PATH" breakeven run

# Tests share the cores, the slow ones a module at a time; those judged by what the machine can do run alone.
test: lint types unit
	@$(BIN)/python -m pytest -m "slow and not alone" -n 2 --dist loadfile
	@$(BIN)/python -m pytest -m "slow and alone"

unit: setup
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

lint: setup
	@$(BIN)/ruff check src tests bench && $(BIN)/ruff format --check -q src tests bench

types: setup
	@$(BIN)/mypy

docs: setup
	@$(BIN)/python docs/generate.py

# serve_encoder.py is left out: it takes a package and a file of texts (see its --help).
bench: setup
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[all,dev,bench]'
	@for one in $(filter-out bench/serve_encoder.py,$(wildcard bench/*.py)); do echo "== $$one"; $(BIN)/python $$one || exit 1; done

# Property tests over a thousand examples each, on as many cores as there are.
properties: setup
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal --hypothesis-profile thorough

# The proofs of docs/reliability.md at full length: plan for half an hour; figures go to stress.json. STRESS=overload make stress runs
# only those whose names match (see tests/stress/README.md for minutes). schemathesis has an environment of its own.
stress: setup
	@test -x $(VENV)-stress/bin/schemathesis || { $(PYTHON) -m venv $(VENV)-stress && $(VENV)-stress/bin/python -m pip install -q 'schemathesis>=4.32,<5'; }
	@SCHEMATHESIS=$(abspath $(VENV)-stress/bin/schemathesis) $(BIN)/python -m pytest tests/stress -m stress -s $(if $(STRESS),-k "$(STRESS)")

clean:
	@rm -rf $(VENV) $(VENV)-stress demo demo-full demo-zh build dist .pytest_cache .mypy_cache .ruff_cache
