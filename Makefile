# The verbs of this checkout. Each does all of its own set-up; `make` alone lists them.
#
# Rules: one virtual environment and one set of build flags, so that cargo and maturin never rebuild
# each other's work; never two cargo builds at once; quiet unless something is wrong.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Where `make wheel` puts wheels.
DIST ?= dist

# How many lives `make soak` simulates.
LIVES ?= 10000000

# The interpreter that the virtual environment is made from; make PYTHON=… chooses another.
PYTHON ?= $(shell scripts/find-python)

export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(VIRTUAL_ENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONHOME PYTHONPATH

tools := $(VIRTUAL_ENV)/.tools
wheel_tools := $(VIRTUAL_ENV)/.wheel-tools
installed := $(VIRTUAL_ENV)/.installed
bench_env := $(CURDIR)/target/bench-env
peer_envs := $(CURDIR)/target/bench-peers
# Tests that mostly wait, and measure nothing: they run beside the others of their tier.
waiting := tests/python/conformance tests/wire tests/ruler \
    $(addprefix tests/python/integration/test_,\
    dynamodb.py kinesis.py queues.py queue_lives.py sqs.py)
waiting_long := tests/wire tests/python/integration/test_sqs.py
# Those of the slow tier that measure, or need every core: nothing runs beside them.
alone := tests/python/budgets tests/python/memory $(addprefix tests/python/integration/test_,\
    api_fuzz.py wheel.py kills.py hell.py orphans.py)
patience := --timeout 400 -o faulthandler_timeout=380
# How many interleaved rounds `make bench` takes the median of.
ROUNDS ?= 7

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(tools) ## make .venv with the pinned tools (PYTHON=… chooses the interpreter)

$(tools): requirements-dev.txt
	@if [ -z "$(PYTHON)" ]; then exit 1; fi
	@echo "setup: .venv from $(PYTHON)" >&2
	@if ! [ -x $(VIRTUAL_ENV)/bin/python ]; then "$(PYTHON)" -m venv $(VIRTUAL_ENV); fi
	@$(VIRTUAL_ENV)/bin/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	@$(VIRTUAL_ENV)/bin/python scripts/cargo-env > $(VIRTUAL_ENV)/cargo.toml
	@touch $@

$(wheel_tools): requirements-wheel.txt $(tools)
	@$(VIRTUAL_ENV)/bin/python -m pip install --quiet --require-hashes -r requirements-wheel.txt
	@touch $@

.PHONY: build
build: $(installed) ## build the extension in place; .venv then imports the checkout
	@scripts/quietly maturin develop --skip-install

# The package's metadata and the `penstock` command; afterwards `build` only compiles.
$(installed): pyproject.toml Cargo.toml rust/penstock-python/Cargo.toml $(tools)
	@scripts/need-cargo
	@echo "build: the package into .venv (minutes the first time)" >&2
	@scripts/quietly python -m pip install --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: build ## run the main job on the embedded stream: one poison record among healthy ones
	@penstock demo

.PHONY: test
test: build ## everything that is quick: Rust tests, 2,000 simulated lives, Python and wire tests
	cargo test --workspace --locked --quiet
	@scripts/beside "not slow" "$(waiting)" ""

.PHONY: test-slow
test-slow: build ## what CI runs after `make test`: many kills, every server, 20,000 lives, damaged answers
	PENSTOCK_LIVES=20000 cargo test --workspace --test swarm --locked --quiet
	PENSTOCK_FUZZ_SECONDS=60 cargo test --workspace --tests --locked --quiet damaged_
	cargo test --workspace --test command_line --locked --quiet
	@scripts/beside slow "$(waiting_long)" "$(alone)" $(patience)
	pytest -m slow $(patience) $(alone)

.PHONY: conformance
conformance: build ## the cases of tests/conformance against engine and Python: a table by feature
	@rm -rf target/conformance && mkdir -p target/conformance
	@PENSTOCK_CONFORMANCE=$(CURDIR)/target/conformance \
	    scripts/quietly cargo test -p penstock-sim --test conformance --locked --quiet || true
	@PENSTOCK_CONFORMANCE=$(CURDIR)/target/conformance \
	    scripts/quietly pytest -q tests/python/conformance || true
	@python -m tests.python.conformance.table target/conformance

.PHONY: soak
soak: $(tools) ## for a release: LIVES=… simulated lives, hours of them
	PENSTOCK_LIVES=$(LIVES) cargo test -p penstock-sim --test swarm --release --locked

.PHONY: lint
lint: build ## formatting, clippy, ruff, mypy --strict and the stubs of the extension
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	ruff check --quiet
	ruff format --check --quiet
	mypy
	stubtest penstock._penstock --mypy-config-file pyproject.toml

.PHONY: format
format: $(tools) ## write every file the way `make lint` wants it
	cargo fmt --all
	ruff check --quiet --fix-only
	ruff format --quiet

# The wheel in an environment of its own, and the programs that benches run.
.PHONY: bench-env
bench-env: wheel
	@if ! [ -x $(bench_env)/bin/python ]; then python -m venv $(bench_env); fi
	@scripts/quietly $(bench_env)/bin/python -m pip install -r requirements-dev.txt
	@scripts/quietly $(bench_env)/bin/python -m pip install -r benches/requirements.txt
	@scripts/quietly $(bench_env)/bin/python -m pip install --no-deps --force-reinstall \
	    --no-index --find-links $(DIST) penstock
	cargo build --release -p penstock-servers -p penstock-bound -p penstock-benches --locked --quiet

.PHONY: bench
bench: bench-env ## what delivery costs, beside the bound and its peers, with the wheel; ten minutes
	$(bench_env)/bin/python -m benches.load.page $(ROUNDS) > $(bench_env)/page.md
	cp $(bench_env)/page.md docs/performance.md
	@cat docs/performance.md

.PHONY: bench-peers
bench-peers: bench-env ## the same beside LocalStack, KCL and async-kinesis, installed apart; half an hour
	@scripts/peer-envs $(peer_envs)
	$(bench_env)/bin/python -m benches.load.peers $(peer_envs) $(ROUNDS) > $(bench_env)/peers.md
	cp $(bench_env)/peers.md docs/peers.md
	@cat docs/peers.md

.PHONY: bench-parts
bench-parts: bench-env ## the parts by themselves, timed by criterion and pytest-benchmark
	cargo bench -p penstock-benches --locked --quiet
	$(bench_env)/bin/python -m pytest benches/python -q -p no:cacheprovider \
	    --benchmark-group-by=group,param --benchmark-columns=min,median,iqr,rounds

.PHONY: wheel
wheel: $(wheel_tools) ## an optimised manylinux wheel for this interpreter, in dist/ (DIST=…)
	@scripts/need-cargo
	maturin build --quiet --profile dist --strip --zig --compatibility manylinux2014 \
	    --interpreter $(VIRTUAL_ENV)/bin/python --out $(DIST)
	@ls -l $(DIST)

.PHONY: clean
clean: ## remove what the other verbs made
	rm -rf target .venv dist .mypy_cache .ruff_cache .pytest_cache python/penstock/*.so
