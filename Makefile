# The one entry for people and for CI. `make help` lists what there is.

SHELL := /bin/sh
BIN := target/tools/bin
PROGRAMS := $(addprefix $(BIN)/,etcd kube-apiserver kube-controller-manager kubectl)
# Those that judge metrics, alerts and the dashboard; no folder of ready-made programs holds them.
MONITORING := $(addprefix $(BIN)/,promtool prometheus)
# Tests wait more than they work.
CARGO_TEST := RUST_TEST_THREADS=8 cargo test --workspace --all-targets --quiet

.DEFAULT_GOAL := help
.PHONY: help tools build demo test bench soak format lint control-plane crds deny clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Ready-made programs need no building.
ifdef KUBEBUILDER_ASSETS
KUBECTL := $(KUBEBUILDER_ASSETS)/kubectl
else
KUBECTL := $(BIN)/kubectl
NEEDED := $(PROGRAMS)
endif

tools: $(NEEDED) $(MONITORING) ## Builds the real programs that are missing: etcd, the control plane, kubectl, Prometheus
	@echo "make tools: the programs are in $(or $(KUBEBUILDER_ASSETS),$(BIN))"

$(BIN)/etcd: tests/tools/etcd/go.mod tests/tools/etcd/go.sum
	@tests/tools/build tests/tools/etcd go.etcd.io/etcd/server/v3 $@

# One after the other: they share most of their packages.
$(BIN)/kube-%: tests/tools/kubernetes/go.mod tests/tools/kubernetes/go.sum
	@tests/tools/build tests/tools/kubernetes k8s.io/kubernetes/cmd/kube-$* $@

$(BIN)/kubectl: tests/tools/kubernetes/go.mod tests/tools/kubernetes/go.sum
	@tests/tools/build tests/tools/kubernetes k8s.io/kubernetes/cmd/kubectl $@

# One after the other too.
$(BIN)/prometheus: $(BIN)/promtool
$(BIN)/promtool $(BIN)/prometheus: tests/tools/prometheus/go.mod tests/tools/prometheus/go.sum
	@tests/tools/build tests/tools/prometheus github.com/prometheus/prometheus/cmd/$(@F) $@

build: ## Builds the operator for release
	@ACR_ATTACH_REVISION=$$(git rev-parse --short=12 HEAD 2>/dev/null) \
		cargo build --release --bin acr-attach

demo: $(NEEDED) build ## Shows it at work on loopback; ARGS=--once ends by itself
	@cargo build -p demo
	@target/debug/demo --operator target/release/acr-attach --kubectl $(KUBECTL) $(ARGS)

test: tools format lint ## Checks format, lints and generated files, and runs all tests
	@cargo build --quiet -p control-plane
	@target/debug/control-plane run --crd crds/registryattachments.yaml -- env $(CARGO_TEST)
	@cargo test --workspace --doc --quiet

bench: tools ## Measures, and prints ratios and counts; judges nothing
	@cargo build --quiet -p control-plane
	@cargo bench --quiet -p acr-attach --no-run
	@target/debug/control-plane run --crd crds/registryattachments.yaml -- cargo bench --quiet -p acr-attach

soak: tools ## Runs the tests that take minutes, one after the other
	@cargo build --quiet -p control-plane
	@target/debug/control-plane run --crd crds/registryattachments.yaml -- env RUST_TEST_THREADS=1 \
		cargo test -p acr-attach --test integration --quiet -- --ignored --nocapture

format: ## Checks the format
	@cargo fmt --all --check

lint: ## Checks the lints
	@cargo clippy --workspace --all-targets --quiet -- -D warnings

control-plane: tools ## Keeps a control plane up for trying things out, until Ctrl-C
	@cargo build --quiet -p control-plane
	@target/debug/control-plane run --crd crds/registryattachments.yaml

crds: ## Writes the definition of the custom resource to crds/
	@cargo run --quiet -- crd > crds/registryattachments.yaml.new
	@mv crds/registryattachments.yaml.new crds/registryattachments.yaml

deny: ## Checks licences, sources and advisories of dependencies (needs cargo-deny and the network)
	@cargo deny check

clean: ## Removes what was built
	@cargo clean
