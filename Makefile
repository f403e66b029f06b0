# `make demo` and `make test` need only Python 3.11+, git and make.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# The first Python that runs and is new enough. A pyenv shim may exist without running: .python-version, which Heroku
# reads, may name a version that is not installed.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 \
	$${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.1[1-4]*/bin/python /usr/bin/python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# With compiled modules, every process that the tests start is ready in half the time.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(VENV)/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "credit-granter needs Python 3.11 or newer; found none on the PATH" >&2; exit 1; }
	@echo "Installing into $(VENV) (once; about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes --only-binary :all: --requirement constraints.txt
	@$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.PHONY: install
install: $(VENV)/installed  ## install into .venv

.PHONY: demo
demo: $(VENV)/installed  ## run the main job with real processes and a stand-in for Polar
	@$(BIN)/credits demo

.PHONY: test
test: $(VENV)/installed  ## run every test except those that take minutes
	@$(BIN)/python -m pytest -n 4 --dist worksteal -m "not heavy"

.PHONY: test-heavy
test-heavy: $(VENV)/installed  ## run the tests that take minutes, and property tests with all their examples
	@.ci/apt-packages
	@THOROUGH_TESTS=1 CHAOS_SEEDS=$${CHAOS_SEEDS:-3} $(BIN)/python -m pytest -n 3 --dist worksteal -m "heavy or property"

.PHONY: check
check: $(VENV)/installed  ## check format, lint, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/installed  ## format, and fix what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: test-all
test-all:  ## run every test on each Python from 3.11 to 3.14 that is installed (on the PATH or in pyenv)
	@for v in 3.11 3.12 3.13 3.14; do \
		python=$$(for p in python$$v $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$v.*/bin/python; do \
			$$p -c '' 2>/dev/null && echo $$p && break; done); \
		test -n "$$python" || { missing="$$missing $$v"; continue; }; \
		echo "== Python $$v"; \
		$(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$$v || exit 1; done; \
	test -z "$$missing" || echo "not installed, so not tried: Python$$missing"

.PHONY: docs
docs: $(VENV)/installed  ## write docs/cli.md from the commands
	@$(BIN)/python -m app.cli.reference > docs/cli.md.new && mv docs/cli.md.new docs/cli.md

.PHONY: screenshots
screenshots: $(VENV)/installed  ## take the screenshots of docs/desk.md, with Debian's Chromium
	@.ci/apt-packages
	@$(BIN)/python -m tests.support.desk_screenshots > /dev/null

.PHONY: lock
lock:  ## update constraints.txt and requirements.txt to the newest allowed versions, with hashes
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/pip install --quiet --disable-pip-version-check 'uv<1'
	@{ echo '# Written by `make lock`: what CI and the Makefile install, on every platform and Python.'; \
		.venv-lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --extra dev \
			--generate-hashes --no-header --no-annotate pyproject.toml; } > .venv-lock/constraints.txt
	@mv .venv-lock/constraints.txt constraints.txt
	@{ echo '# Written by `make lock`: constraints.txt without what only developers need, for the image and for Heroku.'; \
		echo hatchling | .venv-lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
			--constraint constraints.txt --generate-hashes --no-header --no-annotate pyproject.toml -; } > .venv-lock/requirements.txt
	@mv .venv-lock/requirements.txt requirements.txt && rm -rf .venv-lock

.PHONY: search
search: $(VENV)/installed  ## look for faults with new random examples in the property tests and models: half an hour
	@NEW_EXAMPLES=1 THOROUGH_TESTS=1 MODEL_EXAMPLES=$${MODEL_EXAMPLES:-1000} \
		$(BIN)/python -m pytest -n 2 -m property tests/chaos tests/unit tests/integration --timeout 0

.PHONY: chaos
chaos: $(VENV)/installed  ## run 1,000 simulations of 500 steps, and 20 storms of 2,000 orders on real processes: two or three hours
	@SIMULATION_SEEDS=$${SIMULATION_SEEDS:-1000} SIMULATION_STEPS=$${SIMULATION_STEPS:-500} \
		$(BIN)/python -m pytest tests/chaos/test_simulation.py -s --timeout 0
	@CHAOS_SEEDS=$${CHAOS_SEEDS:-20} CHAOS_ORDERS=$${CHAOS_ORDERS:-2000} $(BIN)/python -m pytest tests/chaos/test_storm.py -s --timeout 0
	@CHAOS_SEEDS=$${CHAOS_SEEDS:-5} CHAOS_ORDERS=$${CHAOS_ORDERS:-500} $(BIN)/python -m pytest tests/chaos/test_lost_storm.py -s --timeout 0
	@INSTALMENTS=50000 $(BIN)/python -m pytest tests/chaos/test_midnight.py -s --timeout 0

.PHONY: bench
bench: $(VENV)/installed  ## run all benchmarks and write docs/performance.md (ten minutes)
	@$(BIN)/python -m bench --write

.PHONY: bench-check
bench-check: $(VENV)/installed  ## measure again, and fail if a ratio is worse by more than a tenth (SUBJECTS="drain api")
	@$(BIN)/python -m bench --check $(SUBJECTS)

.PHONY: audit
audit:  ## look for known vulnerabilities in the locked packages
	@rm -rf .venv-audit && $(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit<3'
	@.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement constraints.txt
	@rm -rf .venv-audit

.PHONY: dist
dist: $(VENV)/installed  ## build a wheel and an sdist in dist/
	@rm -rf dist && $(BIN)/python -m hatchling build

ENGINE ?= $(shell command -v docker || command -v podman)
# Podman writes a HEALTHCHECK only into images of Docker's format.
IMAGE_FORMAT = $(if $(findstring podman,$(ENGINE)),--format docker)

.PHONY: image
image:  ## build the container image, with docker or podman (ENGINE=podman)
	@test -n "$(ENGINE)" || { echo "neither docker nor podman is on the PATH" >&2; exit 1; }
	@version=$$(sed -n 's/^VERSION = "\(.*\)"/\1/p' config/version.py); \
	$(ENGINE) build $(IMAGE_FORMAT) --file Containerfile --build-arg VERSION=$$version \
		--tag credit-granter:$$version --tag credit-granter:latest .

.PHONY: release
release: $(VENV)/installed  ## check, build and tag a version: make release VERSION=0.2.0 (publishes nothing)
	@VENV=$(VENV) .ci/release "$(VERSION)"

.PHONY: clean
clean:  ## remove what was installed and built
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
