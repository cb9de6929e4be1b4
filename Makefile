# topgraft: `make` lists what there is.

DATA ?= data
LISTEN ?= 127.0.0.1:8080
# The weights are the same whatever the data folder is.
WEIGHTS ?= data/weights/vgg16.safetensors
BIN := target/release/topgraft
FETCH = $(BIN) weights fetch --weights $(WEIGHTS)
PYTHON ?= python3
CLIENTS := target/clients
# Tests of units share a process, since loading libtorch takes longer than most of them. Tests of the program have one each by nextest; plain
# `cargo test` does as well where it isn't installed.
UNITS := cargo test --release --locked --lib
PROGRAM := $(shell cargo nextest --version >/dev/null 2>&1 && echo "cargo nextest run" || echo "cargo test") --release --locked --test it

.DEFAULT_GOAL := help
.PHONY: help setup build weights browser serve demo test bench bench-serve bench-page sizing screenshots audit soak contract fuzz lint deps deploy-check docker-check clean

help: ## list the targets
	@echo "make TARGET [VARIABLE=value]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## lay libtorch down in .libtorch/ (CUDA=1 for the GPU build)
	@scripts/setup.sh

build: setup ## compile the binary, target/release/topgraft
	cargo build --release --locked

weights: build ## get the ImageNet weights, checked by SHA-256
	@$(FETCH)

serve: weights ## serve the API on LISTEN=127.0.0.1:8080 with DATA=data
	$(BIN) serve --listen $(LISTEN) --data-dir $(DATA) --weights $(WEIGHTS)

demo: weights ## the whole path on real pictures; DATASET=path for pictures of yours, RECIPE='{…}' for another recipe
	@$(PYTHON) scripts/demo/demo.py --binary $(BIN) --weights $(WEIGHTS) $(if $(DATASET),--dataset '$(DATASET)') $(if $(RECIPE),--recipe '$(RECIPE)')

# The official clients that the tests ask with, in a folder that cargo leaves alone.
$(CLIENTS)/installed: tests/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

# A browser, and axe-core beside the clients; where there is none, that is said, and the page isn't tested.
browser:
	@scripts/browser.sh $(CLIENTS)/axe

# What tests need beside themselves.
test: export TOPGRAFT_TEST_AXE = $(abspath $(CLIENTS)/axe/axe.min.js)
test: export TOPGRAFT_TEST_PYTHON = $(abspath $(CLIENTS)/bin/python)
test: export TOPGRAFT_TEST_WEIGHTS = $(abspath $(WEIGHTS))
# The tests' own build of the binary gets the weights: dependencies of tests turn on features of what both share, so `build` would
# compile most of it a second time.
test: setup $(CLIENTS)/installed browser ## run every test
	cargo test --release --locked --lib --test it --no-run
	@$(FETCH)
	scripts/postgres.sh $(UNITS)
	scripts/postgres.sh $(PROGRAM)

bench: weights ## time each stage beside the machine's limits; DATASET=path, WHOLE=1 for a whole run, PEER=script BODY=onnx for a peer
	cargo bench --locked --bench pipeline -- --weights $(abspath $(WEIGHTS)) $(if $(DATASET),--dataset '$(abspath $(DATASET))') $(if $(WHOLE),--whole)
	$(if $(PEER),$(PYTHON) scripts/bench/peer.py '$(PEER)' --dataset '$(DATASET)' --body '$(BODY)')

bench-serve: weights ## time predictions over HTTP beside the engine alone; ONLY=http,models,… RAW=script BODY=onnx for other engines
	$(PYTHON) scripts/bench/serve.py --binary $(BIN) --weights $(abspath $(WEIGHTS)) $(if $(ONLY),--only '$(ONLY)') $(if $(RAW),--raw '$(RAW)' --body '$(BODY)')

bench-page: weights ## time the page, and scroll through 20,000 pictures (needs Pillow, selenium and Chromium)
	$(PYTHON) scripts/bench/page.py --binary $(BIN) --weights $(abspath $(WEIGHTS))

sizing: ## what docs/sizing.md is made of: hold the simulation against theory, then print the tables; ONLY=servers,models,… for some
	$(if $(ONLY),,$(PYTHON) -B benches/sizing/simulate.py --check)
	$(PYTHON) -B benches/sizing/simulate.py $(if $(ONLY),--only '$(ONLY)')

screenshots: weights ## take pictures of every page for docs/images, DATASET=path for other pictures (needs selenium and Chromium)
	$(PYTHON) scripts/screenshots.py --binary $(BIN) --weights $(abspath $(WEIGHTS)) $(if $(DATASET),--dataset '$(DATASET)')

audit: weights ## spoil a data set and say what an audit finds of that, DATASET=archive.zip (needs Pillow)
	$(PYTHON) scripts/bench/audit.py '$(DATASET)' --binary $(BIN) --weights $(abspath $(WEIGHTS))

soak: weights ## kill workers and servers at random, KILLS=100 times; every job must end as if it had been left alone
	$(PYTHON) scripts/soak.py --binary $(BIN) --weights $(abspath $(WEIGHTS)) $(if $(KILLS),--kills $(KILLS))

contract: weights ## hold the API's description against the server, for SECONDS=300 (needs Pillow and schemathesis)
	$(PYTHON) scripts/contract.py --binary $(BIN) --weights $(abspath $(WEIGHTS)) $(if $(SECONDS),--seconds $(SECONDS))

deps: ## dependencies: none unused, licences and sources as deny.toml has them, no known advisory
	scripts/deps.sh

deploy-check: ## check the images', Compose's and Kubernetes' files, without an engine or a cluster
	scripts/deploy.sh

docker-check: ## build the image, start Compose's profiles and run the README's tour against each (needs a Docker engine)
	scripts/docker.sh

fuzz: setup ## send mutated bytes to each reader of foreign files; TARGET=archive, picture, weights or recipe for one, SECONDS=60 each
	@for target in $(or $(TARGET),archive picture weights recipe); do \
		TOPGRAFT_FUZZ_SEEDS=$(CURDIR)/fuzz/corpus/$$target LD_LIBRARY_PATH=$(CURDIR)/.libtorch/lib \
			cargo +nightly fuzz run --sanitizer none $$target -- \
			-max_total_time=$(or $(SECONDS),60) -rss_limit_mb=2048 -timeout=20 || exit 1; \
	done

lint: setup ## formatting and clippy, warnings as errors
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings

clean: ## remove what was built, downloaded and demonstrated; data/ stays
	rm -rf target .libtorch demo fuzz/target fuzz/corpus fuzz/artifacts
