# stackgate.k3s: `make` alone prints what there is to make.
#
# Variables that may be given on the command line, as in `make deploy INVENTORY=inventories/k3s ARGS='--limit wesago-staging'`:
INVENTORY ?= inventories/local
# Further arguments for ansible-playbook (up, deploy, status, drill, destroy), pytest (unit, manifests, acceptance) or the benchmarks.
ARGS ?=
# The molecule scenario; empty: all of them, one after the other.
SCENARIO ?=
# The interpreter that the Python environment is made with; empty: the first of python3, python3.13 ... that is 3.11 or newer.
PYTHON ?=
# Everything that can be fetched or built again is kept here. May be deleted at any time.
STACKGATE_CACHE ?= $(HOME)/.cache/stackgate

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
# The targets of a line depend on each other in their order.
.NOTPARALLEL:
.DEFAULT_GOAL := help

REQUIREMENTS := $(wildcard requirements*.txt)
VENV := $(STACKGATE_CACHE)/venv/$(shell cat $(sort $(REQUIREMENTS)) | sha256sum | cut -c 1-16)
BIN := $(VENV)/bin
PLAYBOOK := $(BIN)/ansible-playbook
PYTEST := $(BIN)/python -m pytest
REPORTS := tests/output/junit
# Such as 3.11; read when it is needed, which is after the environment was made.
PYTHON_VERSION = $(shell $(BIN)/python -c 'import platform; print(".".join(platform.python_version_tuple()[:2]))')

export PYTHON STACKGATE_CACHE
# kubectl of the embedded cluster comes last: one of your own is preferred.
export PATH := $(BIN):$(PATH):$(STACKGATE_CACHE)/bin
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Progress reaches a pipe or a CI log line by line.
export PYTHONUNBUFFERED := 1

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
	  /^## / { printf "\n%s\n", substr($$0, 4) } \
	  /^[a-z][a-z-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

## Use it

.PHONY: up
up: venv ## cluster, images and Wesago, from nothing to a running forum; prints where it is and how to log in
	@$(MAKE) cluster ARGS=
	@$(MAKE) deploy
	@$(MAKE) addresses

.PHONY: deploy
deploy: venv ## deliver the stacks of INVENTORY (default: inventories/local), stage by stage
	$(PLAYBOOK) site.yml -i $(INVENTORY) $(ARGS)

.PHONY: addresses
addresses: venv ## print where the stacks of INVENTORY answer and how to log in
	@ANSIBLE_CALLBACK_RESULT_FORMAT=yaml $(PLAYBOOK) playbooks/addresses.yml -i $(INVENTORY) $(if $(filter addresses,$(MAKECMDGOALS)),$(ARGS))

.PHONY: status
status: venv ## what every gate sees now; changes nothing
	$(PLAYBOOK) playbooks/status.yml -i $(INVENTORY) $(ARGS)

.PHONY: drill
drill: venv ## break a store's leader on purpose (asks first) and measure: ARGS='--tags redis -e drill_faults=node,network' (docs/drills.md)
	$(PLAYBOOK) playbooks/drill.yml -i $(INVENTORY) $(ARGS)

.PHONY: destroy
destroy: venv ## take an instance down (asks for its name); volumes stay, unless ARGS='-e destroy_volumes=true'
	$(PLAYBOOK) playbooks/destroy.yml -i $(INVENTORY) $(ARGS)

## The embedded cluster

.PHONY: cluster
cluster: venv ## a real three-node Kubernetes on this machine (root); builds its programs the first time
	$(PLAYBOOK) playbooks/local_cluster.yml -i inventories/local $(ARGS)

.PHONY: cluster-down
cluster-down: venv ## stop it and remove every trace of it but its caches
	$(PLAYBOOK) playbooks/local_cluster.yml -i inventories/local -e local_cluster_state=absent $(ARGS)

.PHONY: node-off node-on node-cut node-heal
node-off: venv ## power a node off, as if its plug were pulled: make node-off NODE=node2
node-on: venv ## power it on again
node-cut: venv ## cut a node off the network
node-heal: venv ## and connect it again
node-off node-on node-cut node-heal:
	@: $${NODE:?names the node, as in make $@ NODE=node2}
	$(PLAYBOOK) playbooks/local_cluster.yml -i inventories/local -e local_cluster_state=$(subst -,_,$@) -e local_cluster_node=$(NODE)

## Test it

.PHONY: test
test: lint sanity unit manifests integration molecule build ## everything that must pass before a change is taken in

.PHONY: lint
lint: venv ## ansible-lint (profile production), yamllint, ruff, mypy; changelog and generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline --nocolor
	$(BIN)/antsibull-changelog lint
	$(BIN)/python scripts/docs.py --check

.PHONY: sanity
sanity: venv ## ansible-test sanity
	scripts/ansible_test.sh sanity --python $(PYTHON_VERSION) $(ARGS)

.PHONY: unit
unit: venv ## ansible-test units, and the tests of the project's own tools and rules
	scripts/ansible_test.sh units --python $(PYTHON_VERSION) $(ARGS)
	$(PYTEST) tests/project --junit-xml=$(REPORTS)/project.xml

.PHONY: manifests
manifests: venv ## render every template and check it against the Kubernetes API's schemas
	$(PYTEST) tests/manifests --junit-xml=$(REPORTS)/manifests.xml $(ARGS)

.PHONY: integration
integration: venv ## the modules against stores that run as processes on this machine: a MongoDB double (or STACKGATE_MONGOD), MinIO
	@# They wait for timers more than they compute: three at a time on two cores, but no two of a group (tests/integration/conftest.py).
	@# What fails is run again with nothing beside it, and only then counts: real servers miss their own time-outs on a busy machine.
	$(PYTEST) tests/integration -n 3 --junit-xml=$(REPORTS)/integration.xml $(ARGS) \
	  || $(PYTEST) tests/integration --last-failed --last-failed-no-failures none --junit-xml=$(REPORTS)/integration-again.xml $(ARGS)

.PHONY: molecule
molecule: venv ## deliver to the embedded cluster: converge, idempotence, verify (SCENARIO=default: a whole stack; mongodb ...)
	$(BIN)/molecule test $(if $(SCENARIO),--scenario-name $(SCENARIO),--all)

.PHONY: acceptance
acceptance: venv browser ## what a user would try, faults included, against the running `make up` (slow)
	$(PYTEST) tests/acceptance --junit-xml=$(REPORTS)/acceptance.xml $(ARGS)

.PHONY: browser
browser: ## Chromium and its driver for the screenshots, from the distribution, when they are missing
	@scripts/browser.sh

.PHONY: coverage
coverage: venv ## which ids of tests/acceptance/requirements.yml the last test runs have proved, and which not
	$(BIN)/python scripts/coverage.py $(ARGS)

.PHONY: bench
bench: venv ## the benchmarks of benchmarks/README.md; results go to benchmarks/results/
	$(BIN)/python benchmarks/run.py $(ARGS)

## Build it

.PHONY: venv
venv: ## the Python environment, shared by all checkouts with the same requirements; .venv points at it
	@scripts/venv.sh $(VENV) .venv

.PHONY: build
build: venv ## the collection's archive, installed into an empty directory and tried from there
	scripts/build.sh

.PHONY: docs
docs: venv ## write the generated pages of docs/ again
	$(BIN)/python scripts/docs.py

.PHONY: clean
clean: ## remove what tests and builds left in the checkout; the caches stay
	rm -rf .ansible .mypy_cache .pytest_cache .ruff_cache .venv tests/output stackgate-k3s-*.tar.gz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
