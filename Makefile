# kvhelm: `make help` lists what there is. Needs Python 3.11 or newer and Go 1.26; every target does
# its own set-up.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
export KVHELM_DEMO_STOP := make demo-down
# Most of a cluster test is waiting: more workers than cores.
WORKERS ?= 4

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Look at it
.PHONY: demo demo-down
demo: $(INSTALLED) ## A local cluster, the operator, and a pool on its way to Ready
	@$(BIN)/kvhelm demo

demo-down: $(INSTALLED) ## Stop the demo and remove every trace of it
	@$(BIN)/kvhelm local down --name demo

##@ Work on it
.PHONY: setup generate format check test test-all bench
setup: $(INSTALLED) ## The Python environment in .venv (the other targets do it by themselves)

generate: $(INSTALLED) ## Write what follows from the models: schemas, CRD, chart values, tables
	@$(BIN)/python -m kvhelm.generate

format: $(INSTALLED) ## Format the Python code and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

check: $(INSTALLED) ## The quick checks: all that needs no cluster and no helm, side by side
	@$(MAKE) --no-print-directory --jobs 3 --keep-going --output-sync=target static unit
	@echo "==> all good; make test runs the rest"

test: $(INSTALLED) ## Everything: checks, chart, cluster, package, documentation, real nodes
	@echo "==> static checks"
	@$(MAKE) --no-print-directory --jobs 3 --keep-going --output-sync=target static
	@echo "==> the control plane's programs (built the first time: about 14 minutes on two cores)"
	@$(BIN)/kvhelm local tools --runtime containerd >/dev/null || $(BIN)/kvhelm local tools >/dev/null
	@echo "==> all tests but those on real nodes"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --ignore=tests/e2e
	@echo "==> real nodes, with the machine to themselves"
	@$(BIN)/python -m pytest tests/e2e

test-all: export KVHELM_KILL_AT_EVERY_REQUEST := 1
test-all: test ## The same, with the operator killed at every request, not at the writes alone

bench: $(INSTALLED) ## Measure: 200 pools installed, idle, restarted, changed
	@$(BIN)/python -m bench --json bench/results/latest.local.json

# The parts of `check`; each is silent or says what to do.
.PHONY: static unit format-check lint types layers generated
static: format-check lint types layers generated

format-check: $(INSTALLED)
	@$(BIN)/ruff format --quiet --check . && echo "==> format" || { echo "not formatted: make format"; exit 1; }

lint: $(INSTALLED)
	@$(BIN)/ruff check --quiet . && echo "==> lint"

types: $(INSTALLED)
	@$(BIN)/mypy --no-error-summary && echo "==> types"

layers: $(INSTALLED)
	@said=$$($(BIN)/lint-imports 2>&1) && echo "==> layers" || { echo "$$said"; exit 1; }

generated: $(INSTALLED)
	@$(BIN)/python -m kvhelm.generate --check && echo "==> generated files"

unit: $(INSTALLED)
	@$(BIN)/python -m pytest -q tests/unit

##@ Ship it
.PHONY: build lock clean
build: $(INSTALLED) ## The wheel and the sdist, in dist/
	@$(BIN)/python -m build --no-isolation

lock: $(INSTALLED) ## Pin the newest versions that pyproject.toml allows
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --no-header --upgrade --quiet -o requirements.lock

clean: demo-down ## Remove the demo, .venv and what tools leave; built programs stay in the cache
	@rm -rf .venv dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock pyproject.toml
	@echo "==> Python environment in .venv, pinned by requirements.lock (about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kvhelm needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=python3.11 or the like.")'
	@$(PYTHON) -m venv .venv || { echo "python -m venv failed: on Debian and Ubuntu, install the package python3-venv"; exit 1; }
	@$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock \
	  | awk '/^(Collecting|Installing)/ {printf "."; fflush()} END {print ""}'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
