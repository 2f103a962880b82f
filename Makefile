# Everything a person types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
export UV_PROJECT_ENVIRONMENT := .venv

.PHONY: help
help: ## list every target with one line
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## make .venv from uv.lock (fetches uv first where there is none)
	@$(PYTHON) tests/setup.py

.PHONY: demo
demo: setup ## a real cluster, five customers, a night's run, and a table of expected against actual counts
	@.venv/bin/python -m demo

.PHONY: test
test: setup ## everything, failing fast: lint and types, unit, stores, chart, cluster
	@.venv/bin/python tests/run.py lint unit stores chart cluster

.PHONY: lint unit stores chart cluster
lint: setup ## ruff, mypy --strict, import rules, generated files up to date
	@.venv/bin/python tests/run.py lint
unit: setup ## unit tests
	@.venv/bin/python tests/run.py unit
stores: setup ## tests on real PostgreSQL 15, 17 and 18, SeaweedFS, MinIO and Valkey
	@.venv/bin/python tests/run.py stores
chart: setup ## Helm chart tests
	@.venv/bin/python tests/run.py chart
cluster: setup ## tests on a real Kubernetes (CLUSTER=current: your current context)
	@.venv/bin/python tests/run.py cluster

.PHONY: bench
bench: setup ## benchmarks: this product beside other ways to do the same, in one run, as a table
	@.venv/bin/python -m tests.benchmarks

.PHONY: soak
soak: setup ## the reference model against the engine over a million simulated tenant-days: hours (MODEL_TENANT_DAYS, MODEL_SEED)
	@MODEL_TENANT_DAYS=$${MODEL_TENANT_DAYS:-1000000} MODEL_SEED=$${MODEL_SEED:-$$RANDOM} .venv/bin/python -m pytest -q -o log_cli=true -o log_cli_level=INFO tests/stores/model

.PHONY: generate
generate: setup ## write the generated files anew: CRDs, chart CRDs, reference pages
	@.venv/bin/python -m tenant_retention.api.v1alpha1.generate
	@.venv/bin/python -m docs.generate

.PHONY: cluster-up cluster-down images
cluster-up: ## start the embedded one-node Kubernetes and import the images
	@$(PYTHON) -m devcluster up
cluster-down: ## end the embedded Kubernetes and leave nothing behind
	@$(PYTHON) -m devcluster down
images: ## build the images that are out of date and import them
	@$(PYTHON) -m devcluster images
