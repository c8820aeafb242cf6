# `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
# What the protos must not break for.
BASE ?= $(shell git rev-parse --verify --quiet origin/main >/dev/null && echo origin/main || echo main)
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help env run demo test check lint types imports contract migrations format docs migration lock bench bench-onsale bench-sales soak clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

env: $(BIN)/.complete ## Make the environment and generate the stubs
	@$(BIN)/python protos/generate.py

$(BIN)/.complete: requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Tessera needs Python 3.11 or newer: install it, or name it with 'make PYTHON=…'."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tessera needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another with 'make PYTHON=…'."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "Python's venv module is missing: install it (on Debian and Ubuntu: apt install python3-venv)."; exit 1; }
	@echo "Making the environment in .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@mkdir -p build/stubs
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: env ## Run everything on this machine, until Ctrl-C
	@exec $(BIN)/python -m deploy.local

demo: env ## Play a sale over REST (in a second terminal, beside `make run`)
	@$(BIN)/python -m deploy.local.demo

test: env ## Run all tests
	@$(BIN)/pytest -n $(WORKERS) --dist loadscope

check: env lint types imports contract migrations ## Lint, types, import rules, protos and migrations

lint:
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .

types:
	@$(BIN)/mypy .

imports:
	@$(BIN)/lint-imports

contract:
	@$(BIN)/buf lint build/image.binpb --config buf.yaml
	@$(BIN)/python protos/generate.py --image-of $(BASE) build/base.binpb
	@$(BIN)/buf breaking build/image.binpb --against build/base.binpb --config buf.yaml
	@$(BIN)/python protos/describe.py --check

migrations:
	@$(BIN)/python -m deploy.local.migrations check

format: env ## Format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

docs: env ## Write docs/messages.md from the protos
	@$(BIN)/python protos/describe.py

migration: env ## Write a migration: make migration service=ticket_service message="seats"
	@$(BIN)/python -m deploy.local.migrations revision "$(service)" "$(message)"

lock: ## Lock the dependencies of pyproject.toml anew, with hashes
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --upgrade --python-version 3.11 pyproject.toml -o requirements/run.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --upgrade --python-version 3.11 --group dev pyproject.toml -o requirements/dev.txt

bench: env ## Measure holds, start-up, memory and CPU
	@$(BIN)/python -m benchmarks

bench-onsale: env ## Measure the minute an event goes on sale, against the plain design
	@$(BIN)/python -m benchmarks.onsale

bench-sales: env ## Measure sales from the hold to the mail, and what each costs
	@$(BIN)/python -m benchmarks.sales

soak: env ## Prove that no payment is lost or charged twice, whatever goes wrong; about ten minutes
	@$(BIN)/python -m benchmarks.soak

clean: ## Remove the environment and what was generated; data under var/ stays
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
