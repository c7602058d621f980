# Two commands are all a newcomer needs: `make drill` and `make test`. Both set up what is missing first.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first Python on the path that we support; `make setup PYTHON=python3.13` picks another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo "$$p" && break; done)
# Further arguments, as in `make drill ARGS="--tenants 240"`.
ARGS ?=
# Where services run: `make drill HOST=containers`. Some shells export the machine's name under this name.
HOST ?= local
ifeq ($(origin HOST),environment)
ifeq ($(filter $(HOST),local containers),)
HOST := local
endif
endif
# In containers only what runs on services is tested again, and nothing is linted twice.
# Pure tests share the processors. Those on services have them for themselves: a starved drill proves nothing.
PURE_TESTS_local := chaos_tests/offline chaos_tests/tidy chaos_tests/planted --ignore=chaos_tests/planted/test_live.py
LIVE_TESTS_local := chaos_tests/live chaos_tests/planted/test_live.py
LIVE_TESTS_containers := chaos_tests/live
TESTED_AFTER_local := lint
TESTED_AFTER_containers := images

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## make .venv from the lock and fetch the programs of the stack (done once)
	@$(BIN)/python -m harness.stack.programs

$(STAMP): requirements.lock pyproject.toml
	@[ "$$(uname -sm)" = "Linux x86_64" ] || { echo "make: this is $$(uname -sm); cure: use an x86-64 Linux machine" >&2; exit 64; }
	@[ -n "$(PYTHON)" ] || { echo "make: no Python 3.11 to 3.14 on the path; cure: install python3 and python3-venv" >&2; exit 64; }
	@echo "setup: .venv from requirements.lock ($$($(PYTHON) --version))"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "make: cure: install python3-venv" >&2; exit 64; }
	@began=$$SECONDS; install="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; \
		$$install --require-hashes --only-binary :all: --requirement requirements.lock; \
		$$install --no-deps --no-build-isolation --editable .; \
		echo "setup: .venv ready, $$(du -sh $(VENV) | cut -f1), $$((SECONDS - began)) s"
	@touch $@

.PHONY: images
images: setup ## build the images of the containers host (needs Docker; docker/ensure-engine starts one)
	@$(BIN)/python -m harness.stack.make_images

.PHONY: drill
drill: setup ## break tenants on real services and prove each one restorable
	@$(BIN)/restoreproof drill --host $(HOST) $(ARGS)

.PHONY: test
test: setup $(TESTED_AFTER_$(HOST)) ## lint, types and every suite; with HOST=containers the live ones there
	@status=0; pytest="$(BIN)/python -m pytest $(ARGS)"; \
		[ -z "$(PURE_TESTS_$(HOST))" ] || $$pytest -n 2 --dist worksteal $(PURE_TESTS_$(HOST)) || status=$$?; \
		$$pytest --restoreproof-host $(HOST) $(LIVE_TESTS_$(HOST)) || status=$$?; exit $$status

.PHONY: bench
bench: setup ## measure start-up, drills and memory against their limits
	@$(BIN)/python -m chaos_tests.bench --host $(HOST) $(ARGS)

.PHONY: power
power: setup ## measure on the simulator which planted defects are caught
	@$(BIN)/restoreproof power $(ARGS)

.PHONY: power-full
power-full: setup ## the same on real services; takes hours, goes on where it was stopped
	@$(BIN)/restoreproof power --host local --out runs/power-full $(ARGS)

.PHONY: mutants
mutants: setup ## change the judge's own source in every small way: its tests must notice
	@[ -x $(VENV)/mutants/bin/mutmut ] || { $(BIN)/python -m venv $(VENV)/mutants \
		&& $(VENV)/mutants/bin/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1; }
	@$(BIN)/python -m chaos_tests.bench mutants $(ARGS)

.PHONY: soak
soak: setup ## twenty quick drills without a defect: all must be proven
	@$(BIN)/restoreproof drill --host $(HOST) --profile quick --plans 20 $(ARGS)

.PHONY: lint
lint: $(STAMP) ## ruff, mypy --strict, the import contracts, and the workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/zizmor --offline --quiet .github/workflows

.PHONY: lock
lock: ## resolve requirements.lock anew (needs uv)
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock

.PHONY: clean
clean: ## remove .venv, caches and run folders of this checkout (the programs stay in the user cache)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist runs
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
