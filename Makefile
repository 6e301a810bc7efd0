# Liandiao: what a person types. Everything works in a path with spaces, as root and as a user.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
DEMO ?= yes
export MAKE_TARGET = $(MAKECMDGOALS)

.PHONY: help setup venv-run check test test-fast run verify chaos mutants bench migrate schemas lint fmt lock fuzz

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: ## Make .venv and install everything, tests and checks included
	@sh deploy/venv.sh dev

venv-run:
	@sh deploy/venv.sh run

run: venv-run ## Start everything here and play one case (DEMO=no: no play); Ctrl-C stops it
	@exec $(PY) -m services stack $(if $(filter no,$(DEMO)),--no-play)

test: setup ## All tests: fast ones first, then PostgreSQL and Kafka, then the whole stack
	@$(PY) -m tests

test-fast: setup ## Tests that need no server (seconds)
	@$(PY) -m pytest -q -m "not postgres and not kafka and not stack"

check: setup ## Format, lint, types, import rules, fast tests: what a change must pass
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PY) -m pytest -q -m "not postgres and not kafka and not stack"

lint: setup ## Format check and lint only
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .

fmt: setup ## Format and fix what can be fixed
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

migrate: venv-run ## Bring the databases named in the environment to the newest schema
	@$(PY) -m services migrate upgrade

schemas: venv-run ## Write docs/contracts from the code
	@$(PY) -m services schemas

verify: venv-run ## Check from outside that the stack here kept every promise (docs/verify.md)
	@$(PY) -m services verify

chaos: setup ## Load and random faults for MINUTES=n (SEED=n repeats a run), then verify
	@$(PY) -m tests.chaos --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED))

bench: setup ## Measure this machine (half an hour; parts: python -m bench --help) and write docs/performance.md
	@$(PY) -m bench

mutants: setup ## Seed faults in a copy of the tree; each must be caught by its crash test
	@$(PY) -m tests.mutants

lock: ## Make both lock files again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q requirements.in -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -c requirements.lock requirements-dev.in -o requirements-dev.lock

fuzz: setup ## Thousands of requests made from the OpenAPI documents against a running stack (half an hour)
	@LIANDIAO_CRASH=long LIANDIAO_FUZZ=200 $(PY) -m pytest -q -s tests/e2e/test_whatever_is_sent.py
