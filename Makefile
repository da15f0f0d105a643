# Every target prepares the machine itself: on a fresh Debian, `make run` and `make test` need nothing but make.
.DEFAULT_GOAL := help
# Two lanes of `make test` go side by side; all else is done in the order in which it is named.
ifndef LANES
.NOTPARALLEL:
endif
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

BIN := .venv/bin
# Some development machines are containers and have a /.dockerenv; the product refuses development settings in those.
export CLAUDE_MEM_DOCKER := 0
PYTEST := $(BIN)/python -m pytest
# Types that were checked once are not checked again in the next clone.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/claude-mem
export MYPY_CACHE_DIR ?= $(CACHE)/mypy
# Several processes share a tier's tests; each starts the services that its tests ask for, and who is done first takes over
# what others have left. More than four would wait for the disk.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal
# `make test` measures coverage over the tiers that do not kill what they test; a tier on its own just runs.
MEASURED := --cov --cov-append --cov-report= --cov-fail-under=0

.PHONY: help
help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup setup-test
setup:
	@hack/setup run
# Who has prepared the machine already says PREPARED=1.
setup-test:
	@$(if $(PREPARED),:,hack/setup test)

.PHONY: run demo
run: setup ## Start the server, replay a recorded coding session into it, search it, and keep serving.
	@$(BIN)/python -m hack.demo --serve
demo: setup ## The same, ending with an exit code.
	@$(BIN)/python -m hack.demo

.PHONY: test lane-here lane-contained
test: setup-test ## Run every tier, with coverage of those that run in this process.
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target PREPARED=1 LANES=2 lane-here lane-contained
# What keeps processors busy, and beside it what mostly waits for containers.
lane-here:
	@$(MAKE) --no-print-directory --keep-going LANES= lint test-measured test-browser
lane-contained:
	@$(MAKE) --no-print-directory --keep-going LANES= test-containers test-chaos test-cluster

.PHONY: test-measured
test-measured: setup-test
	@$(BIN)/coverage erase
	@$(MAKE) --no-print-directory --keep-going test-unit test-services PARALLEL="$(PARALLEL) $(MEASURED)"
	@$(MAKE) --no-print-directory coverage

.PHONY: lint test-unit test-services coverage
lint: setup-test ## Check style, formatting, types and layers.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
test-unit: setup-test ## Run the tests that need neither network nor database.
	$(PYTEST) $(PARALLEL) tests/unit
test-services: setup-test ## Run the tests against a real PostgreSQL and a real Valkey.
	$(PYTEST) $(PARALLEL) tests/services
.PHONY: test-browser
test-browser: setup-test ## Use the viewer in a real Chromium, with its accessibility checked.
	$(PYTEST) -n 2 --dist worksteal tests/browser
.PHONY: images test-containers
images: ## Build the container images (Docker, or Podman where there is none).
	@hack/containers/build
test-containers: setup-test images ## Run the tests against the compose file's whole stack.
	@hack/containers/within $(PYTEST) tests/containers

# Not part of `make test`: it builds other people's programs, and nothing of ours depends on them.
.PHONY: test-addons
test-addons: setup-test ## Run the tests with what others add to a cluster: cert-manager, Prometheus and its adapter.
	@hack/cluster/programs control-plane >/dev/null
	@hack/cluster/programs client >/dev/null
	@hack/cluster/addons >/dev/null
	$(PYTEST) tests/addons

.PHONY: cluster-up cluster-down cluster-demo test-cluster
cluster-up: ## Start a local Kubernetes cluster by kind (Docker, or Podman where there is none).
	@hack/cluster/cluster up
cluster-down: ## Leave nothing of it.
	@hack/cluster/cluster down
cluster-demo: setup-test images ## Install the operator on a local cluster, bring a memory up, and have it remember something; STRICT=1 fails where that takes too long.
	@hack/cluster/cluster up
	@hack/cluster/cluster load claude-mem-runtime:local claude-mem-operator:local
	@hack/cluster/cluster exec $(BIN)/python -m hack.cluster_demo $(if $(STRICT),--strict)
test-cluster: setup-test images ## Run the tests on Kubernetes: a control plane without nodes, and kind.
	@hack/cluster/programs control-plane >/dev/null
	@hack/cluster/definitions >/dev/null
	@hack/cluster/cluster setup
	@hack/cluster/cluster exec $(PYTEST) -n 2 --dist loadscope tests/cluster

coverage: setup-test
	$(BIN)/coverage report

.PHONY: chaos test-chaos
chaos: setup-test ## Kill everything in turn under 5,000 events and a failing provider; about four minutes.
	@$(BIN)/python -m hack.chaos $(if $(SEED),--seed $(SEED))
test-chaos: setup-test ## The same with 300 events, in about a minute.
	$(PYTEST) tests/chaos

.PHONY: bench-ingest bench-worker bench-search bench-retrieval bench-operator
bench-ingest: setup-test ## Measure ingest against bare asyncpg on a real PostgreSQL.
	@$(BIN)/python -m hack.bench_ingest
bench-worker: setup-test ## Measure a worker against bare calls of the same SDK on real PostgreSQL and Valkey.
	@$(BIN)/python -m hack.bench_worker
bench-search: setup-test ## Measure search over 50,000 memories, and what the index costs a write.
	@$(BIN)/python -m hack.bench_search
bench-retrieval: setup-test ## Measure how often search finds what answers a question; DATA is a directory of sessions and questions, VECTORS=1 compares with semantic search, LIMIT is the size of pages.
	@$(BIN)/python -m hack.bench_retrieval $(if $(VECTORS),--vectors) $(if $(LIMIT),--limit $(LIMIT)) $(or $(DATA),$(error DATA is not set: give a directory with sessions.json and questions.json))
bench-operator: setup-test ## Measure the operator with RESOURCES=100 resources, then for IDLE=600 seconds in which nothing happens; STRICT=1 for reactions too.
	@$(BIN)/python -m hack.bench_operator $(if $(RESOURCES),--resources $(RESOURCES)) $(if $(IDLE),--idle $(IDLE)) $(if $(STRICT),--strict)

.PHONY: bench-admission
bench-admission: setup-test ## Measure the webhook over TLS, at RATE=100 reviews a second and at as many as it answers.
	@$(BIN)/python -m hack.bench_admission $(if $(RATE),--rate $(RATE))

.PHONY: lock check-lock audit docs
lock: ## Pin and hash the requirements again from pyproject.toml.
	hack/lock
check-lock: ## Check that the pinned requirements are what pyproject.toml asks for (needs the package index).
	hack/lock --check
audit: setup-test ## Look the pinned requirements up among known vulnerabilities (needs the network).
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement requirements/dev.txt
docs: setup-test ## Generate the reference pages and the CRD again.
	$(BIN)/python hack/generate_environment_reference.py
	$(BIN)/python hack/generate_cli_reference.py
	$(BIN)/python hack/generate_openapi.py
	$(BIN)/python hack/generate_metrics_reference.py
	$(BIN)/python -m hack.generate_crds
	$(BIN)/python -m hack.generate_charts
	$(BIN)/python hack/generate_operator_reference.py
.PHONY: install-manifest
install-manifest: docs ## Render the one-file installation again, config/install.yaml (needs Helm).
	@hack/install-manifest >config/install.yaml.new
	@mv config/install.yaml.new config/install.yaml

.PHONY: clean
clean: ## Remove what the other targets made in this checkout.
	rm -rf .venv .run .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find runtime operator tests hack -name __pycache__ -type d -prune -exec rm -rf {} +
