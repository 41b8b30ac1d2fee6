# The commands of this repository; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2
# Seeds of the fault suite and of the attack suite, seconds for each fuzz target, and take-overs of leadership, of one `make soak`.
SEEDS := 20
ATTACK_SEEDS := 500
FUZZ_SECONDS := 60
TAKEOVERS := 100
# What `make bench` measures, and how often; tests/bench/src/main.rs has more flags, which BENCH_FLAGS takes.
SCENARIOS := quiet,burst,ends,history
TASKS := 1000,10000
REPEATS := 3
BENCH_FLAGS :=
TOOLS := target/tools
GO_MODULES := tests/controlplane tests/simulator/sdk/go tests/waiting

.PHONY: help
help: ## lists these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## shows the operator at work on this machine, in about half a minute once everything is built
	@tests/demo/run

.PHONY: recording
recording: ## records the demo's waiting anew into docs/wait.svg, which the README shows
	mkdir -p docs
	IMAGETASK_RECORDING=docs/wait.svg tests/demo/run

.PHONY: test
test: lint controlplane waiting chart sdk-clients releases ## everything that CI runs
	cargo build --release --package imagetask-operator
	cargo test --workspace
	for module in tests/controlplane tests/waiting; do (cd $$module && go test -count=1 ./...) || exit 1; done
	tests/demo/run

.PHONY: test-matrix
test-matrix: controlplane waiting releases ## the integration tests on the oldest supported Kubernetes and one in the middle; long
	cargo build --release --package imagetask-operator
	tests/matrix/run

.PHONY: soak
soak: controlplane fuzzer ## long runs: many seeds of the attack and fault suites, deliberate breaks, many take-overs, the fuzz targets on nightly Rust
	IMAGETASK_ATTACK_SEEDS=$(ATTACK_SEEDS) cargo test --profile soak --test attack
	tests/attack/break
	IMAGETASK_FAULTS_SEEDS=$(SEEDS) cargo test --test faults -- --nocapture
	IMAGETASK_TAKEOVERS=$(TAKEOVERS) cargo test --test it takeovers::there_are_never_two_writers -- --nocapture
	for target in answer view; do \
		mkdir -p fuzz/target/corpus/$$target; \
		PATH=$$PWD/$(TOOLS)/bin:$$PATH cargo +nightly fuzz run $$target fuzz/target/corpus/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=8192 || exit 1; \
	done

# Two builds: in one, cargo would give the operator features of the bench's dependencies.
.PHONY: bench
bench: controlplane ## measures the operator beside the textbook controller, on a machine that does nothing else
	cargo build --release --package imagetask-operator
	cargo build --release --package bench
	target/release/bench --scenarios $(SCENARIOS) --tasks $(TASKS) --repeats $(REPEATS) $(BENCH_FLAGS)

.PHONY: bench-check
bench-check: SCENARIOS := quiet
bench-check: TASKS := 10000
bench-check: REPEATS := 5
bench-check: controlplane ## compares the operator with that of the commit BASE; about 15 minutes once both are built
	BASE=$(BASE) tests/bench/check --scenarios $(SCENARIOS) --tasks $(TASKS) --repeats $(REPEATS) $(BENCH_FLAGS)

.PHONY: bench-micro
bench-micro: ## measures signing a request for 100 tasks and decoding their answer
	cargo bench --package bench

.PHONY: fuzzer
fuzzer: ## installs cargo-fuzz under target/tools
	@[[ $$($(TOOLS)/bin/cargo-fuzz --version 2>/dev/null) == "cargo-fuzz $(CARGO_FUZZ_VERSION)" ]] || \
		cargo install --locked --root $(TOOLS) --version $(CARGO_FUZZ_VERSION) cargo-fuzz

.PHONY: lint
lint: tools ## formats, lints, licences and duplicates; part of test
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@unformatted=$$(gofmt -l $(GO_MODULES)); [[ -z $$unformatted ]] || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	for module in $(GO_MODULES); do (cd $$module && go vet ./...) || exit 1; done
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

.PHONY: crds
crds: ## writes the CRD, also the chart's, from the types in src/api
	crd=$$(cargo run --quiet -- crd); echo "$$crd" | tee crds/imagetasks.yaml > charts/imagetask-operator/files/imagetasks.yaml

.PHONY: controlplane
controlplane: ## builds the API server and etcd of the tests and the demo; about 10 minutes the first time
	tests/controlplane/build

.PHONY: image
image: ## builds the operator's image as an OCI layout in target/image, without a container engine
	packaging/image

.PHONY: release
release: waiting ## makes a release into target/dist: make release IMAGE=registry.example.com/imagetask-operator
	packaging/release

.PHONY: releases
releases: waiting ## makes the two releases that the tests install, upgrade and roll back; about 7 minutes the first time
	tests/release/build

.PHONY: waiting
waiting: ## builds helm 4 and 3, kstatus, Flux's wait and Argo CD's Lua for the tests, and a candidate; about 5 minutes the first time
	tests/waiting/build

.PHONY: chart
chart: chart-tools ## checks the chart as it is rendered, and its alerts; part of test
	tests/chart/check

.PHONY: chart-docs
chart-docs: chart-tools ## writes the chart's README from its values
	target/controlplane/bin/helm-docs --chart-search-root charts --log-level warning

.PHONY: chart-tools
chart-tools: ## builds helm-unittest, helm-docs and promtool, which check the chart; about 4 minutes the first time
	tests/chart/build

.PHONY: sdk-clients
sdk-clients: ## fetches the official Python and Go SDKs that the simulator is tested with
	tests/simulator/sdk/prepare

# Unoptimised: it runs for seconds, and its optimised build takes minutes.
.PHONY: tools
tools: ## installs cargo-deny under target/tools
	@[[ $$($(TOOLS)/bin/cargo-deny --version 2>/dev/null) == "cargo-deny $(CARGO_DENY_VERSION)" ]] || \
		cargo install --debug --locked --root $(TOOLS) --version $(CARGO_DENY_VERSION) cargo-deny
