# One target per thing a person does. Everything rests on `make setup`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := 0.13.9
# Only one that is named for this call: the KUBECONFIG of a shell may be the one of a cluster in production.
NAMED := $(if $(filter command line,$(origin KUBECONFIG)),WINDROW_KUBECONFIG='$(KUBECONFIG)')

.PHONY: run test test-cluster cluster cluster-down e2e setup lock lint types bench bench-peers bench-operator bench-metrics lock-image lock-checkov lock-peers \
	chaos drill demo clean

run: setup ## the main job: the platform with the demo replaying real arrivals through it
	$(BIN)/windrow demo

test: setup ## everything that must hold: format, lint, types, layers, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PYTEST)

test-cluster: setup ## what is tested on a real API server, its programs built once into the user's cache folder
	$(BIN)/python -m tests.cluster.parts
	$(BIN)/pytest tests/cluster $(PYTEST)

cluster: setup ## a Kubernetes cluster of one node, with the images that `helm install` needs; KUBECONFIG=path uses that one
	@$(NAMED) $(BIN)/python -m deploy.cluster up
	@$(NAMED) $(BIN)/python -m deploy.cluster images

cluster-down: setup ## ends it; nothing of it is left
	@$(NAMED) $(BIN)/python -m deploy.cluster down

e2e: setup ## everything on a real cluster, from `helm install` to uninstall; writes build/e2e.json and fails on a miss
	@$(NAMED) $(BIN)/python -m tests.e2e

setup: $(VENV)/.ready ## .venv from the lock file

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --only-binary :all: --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q services tasks operator
	touch $@

lock: ## resolve the newest versions anew, for every supported Python, wheels only
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --only-binary :all: --generate-hashes \
		--no-header --all-extras --group dev --group build pyproject.toml -o requirements.lock
	$(MAKE) lock-image

LOCK_PART := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: --generate-hashes --no-header \
	--constraint requirements.lock
lock-checkov: ## what reviews the charts, resolved anew
	cd tests/cluster/checkov && ../../../$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		checkov.in -o checkov.lock

lock-image: ## the parts of the lock file that the image is made from: what it holds, and what builds it
	$(LOCK_PART) --extra server --extra operator --extra init pyproject.toml -o deploy/image.lock
	$(LOCK_PART) --group pyproject.toml:build -o deploy/build.lock

bench: setup ## bare Celery and Windrow turn by turn; writes build/bench.json
	$(BIN)/python -m benchmarks

bench-peers: setup ## other task queues beside Celery and Windrow; writes build/peers.json
	$(BIN)/python -m benchmarks.peers

bench-operator: setup ## the operator on a real API server; writes build/bench-operator.json
	$(BIN)/python -m benchmarks.operator

bench-metrics: setup ## what scrapes take, and what metrics, logs and records cost; writes build/metrics.json
	$(BIN)/python -m benchmarks.metrics

chaos: setup ## every fault on real processes under load; writes build/chaos.json and fails on a miss
	$(BIN)/python -m tests.chaos

drill: setup ## every alert caused for real, on a real Prometheus and Alertmanager; writes build/drill.json and fails on a miss
	$(BIN)/python -m tests.drill

lock-peers: setup ## their pinned lists, resolved anew; arq needs an older redis-py than the others
	cd benchmarks/peers && for name in requirements arq; do ../../$(BIN)/uv pip compile --quiet --upgrade --universal \
		--python-version 3.11 --only-binary :all: --generate-hashes --no-header $$name.in -o $$name.lock; done

clean: ## what make made
	rm -rf $(VENV) build .windrow
