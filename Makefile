# The one entry for people and for CI. `make help` lists what there is.

SHELL := /bin/sh
BIN := target/tools/bin
# The program is static, so that it runs in an image that holds nothing else.
TARGET := $(shell uname -m)-unknown-linux-musl
OPERATOR := target/$(TARGET)/release/acr-attach
# A release sets this to its commit, for metric acr_attach_build_info. Every other value builds it anew.
REVISION ?=
PROGRAMS := $(addprefix $(BIN)/,kube-apiserver kube-controller-manager kubectl etcd)
# Those that the folder of ready-made programs lacks, if one is named: setup-envtest brings no
# kube-controller-manager.
READY_MADE := $(if $(KUBEBUILDER_ASSETS),$(wildcard $(PROGRAMS:$(BIN)/%=$(KUBEBUILDER_ASSETS)/%)))
NEEDED := $(filter-out $(addprefix $(BIN)/,$(notdir $(READY_MADE))),$(PROGRAMS))
# Those that no folder of ready-made programs holds.
CHART_PROGRAMS := $(addprefix $(BIN)/,helm helm-docs)
JUDGES := $(addprefix $(BIN)/,gitops-flux gitops-argocd)
# Judges how pull secrets are read, by the kubelet's own code.
KEYRING := $(BIN)/keyring
RECORDINGS := $(CURDIR)/target/gitops
# Those that judge metrics, alerts and the dashboard; no folder of ready-made programs holds them.
MONITORING := $(addprefix $(BIN)/,promtool prometheus)
# Definitions of others, by which the API server judges what the chart makes for them.
DEFINITIONS := target/tools/crds/monitoring.yaml
# What a node runs. No folder of ready-made programs holds all of these.
NODE_PROGRAMS := $(addprefix $(BIN)/,kube-scheduler kube-proxy kubelet containerd containerd-shim-runc-v2 ctr registry acr-credential-provider)
# What it takes from the distribution: commands, and Debian's packages for them.
NODE_PACKAGES := unshare:util-linux mount:mount ip:iproute2 iptables:iptables runc:runc dnsmasq:dnsmasq-base /usr/lib/cni/bridge:containernetworking-plugins musl-gcc:musl-tools buildah:buildah
# Tests wait more than they work.
CARGO_TEST := RUST_TEST_THREADS=8 cargo test --workspace --all-targets --quiet

.DEFAULT_GOAL := help
.PHONY: help tools node-tools gitops-tools build image sbom demo demo-steps test behaviour e2e gitops bench soak format lint control-plane crds chart deny advisories clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: $(NEEDED) $(CHART_PROGRAMS) $(MONITORING) $(DEFINITIONS) $(KEYRING) ## Builds the real programs that are missing: etcd, the control plane, kubectl, helm, Prometheus
	@echo "make tools: the programs are in $(BIN)$(if $(READY_MADE), and $(KUBEBUILDER_ASSETS))"

$(BIN)/etcd: tests/tools/etcd/go.mod tests/tools/etcd/go.sum
	@tests/tools/build tests/tools/etcd go.etcd.io/etcd/server/v3 $@

# One after the other: they share most of their packages.
$(BIN)/kube-%: tests/tools/kubernetes/go.mod tests/tools/kubernetes/go.sum
	@tests/tools/build tests/tools/kubernetes k8s.io/kubernetes/cmd/kube-$* $@

$(BIN)/kubectl: tests/tools/kubernetes/go.mod tests/tools/kubernetes/go.sum
	@tests/tools/build tests/tools/kubernetes k8s.io/kubernetes/cmd/kubectl $@

$(KEYRING): tests/tools/kubernetes/go.mod tests/tools/kubernetes/go.sum $(wildcard tests/tools/kubernetes/keyring/*.go)
	@tests/tools/build tests/tools/kubernetes ./keyring $@

$(BIN)/helm: tests/tools/helm/go.mod tests/tools/helm/go.sum
	@tests/tools/build tests/tools/helm helm.sh/helm/v4/cmd/helm $@

$(BIN)/helm-docs: tests/tools/helm-docs/go.mod tests/tools/helm-docs/go.sum
	@tests/tools/build tests/tools/helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs $@

# One after the other too.
$(BIN)/kubelet: tests/tools/kubernetes/go.mod tests/tools/kubernetes/go.sum
	@tests/tools/build tests/tools/kubernetes k8s.io/kubernetes/cmd/kubelet $@

$(BIN)/containerd $(BIN)/containerd-shim-runc-v2 $(BIN)/ctr: tests/tools/containerd/go.mod tests/tools/containerd/go.sum
	@tests/tools/build tests/tools/containerd github.com/containerd/containerd/v2/cmd/$(@F) $@

$(BIN)/registry: tests/tools/registry/go.mod tests/tools/registry/go.sum
	@tests/tools/build tests/tools/registry github.com/distribution/distribution/v3/cmd/registry $@

$(BIN)/acr-credential-provider: tests/tools/acr-credential-provider/go.mod tests/tools/acr-credential-provider/go.sum
	@tests/tools/build tests/tools/acr-credential-provider sigs.k8s.io/cloud-provider-azure/cmd/acr-credential-provider $@

node-tools: $(PROGRAMS) $(NODE_PROGRAMS) $(BIN)/helm ## Builds what a node runs: kubelet, containerd, a registry, Microsoft's credential provider
	@echo "make node-tools: the programs are in $(BIN)"

gitops-tools: $(JUDGES) ## Builds what judges attachments by Flux's and Argo CD's own code

$(BIN)/gitops-%: tests/gitops/build $(wildcard tests/gitops/*/*.go tests/gitops/*/go.*)
	@tests/gitops/build $* $@

# One after the other too.
$(BIN)/prometheus: $(BIN)/promtool
$(BIN)/promtool $(BIN)/prometheus: tests/tools/prometheus/go.mod tests/tools/prometheus/go.sum
	@tests/tools/build tests/tools/prometheus github.com/prometheus/prometheus/cmd/$(@F) $@

$(DEFINITIONS): tests/tools/definitions tests/tools/prometheus-operator/go.mod tests/tools/prometheus-operator/go.sum
	@tests/tools/definitions $@

# Both are programs of the Rust world, built once.
$(BIN)/cargo-%:
	@cargo install --quiet --locked --root target/tools --version $(VERSION) cargo-$*

$(BIN)/cargo-auditable: VERSION := 0.7.7
$(BIN)/cargo-cyclonedx: VERSION := 0.5.9
$(BIN)/cargo-deny: VERSION := 0.20.2

build: $(BIN)/cargo-auditable ## Builds the operator for release: static, with the list of its crates inside
	@tests/tools/packages musl-gcc:musl-tools
	@rustup --quiet target add $(TARGET)
	@PATH="$(CURDIR)/$(BIN):$$PATH" ACR_ATTACH_REVISION=$(REVISION) \
		cargo auditable build --release --locked --target $(TARGET) --bin acr-attach

image: build ## Builds the image from that program, into target/image/oci
	@tests/tools/packages buildah:buildah
	@tests/tools/image $(OPERATOR) target/image

sbom: $(BIN)/cargo-cyclonedx ## Writes what the operator is made of, as CycloneDX, to target/acr-attach.cdx.json
	@PATH="$(CURDIR)/$(BIN):$$PATH" tests/tools/sbom $(TARGET) target/acr-attach.cdx.json

demo: ## Shows it at work on loopback; ARGS=--once ends by itself
	@$(MAKE) --no-print-directory --jobs=2 BEGAN=$$(date +%s) STEPS="crates $(STALE)" demo-steps
	@target/demo/demo $(ARGS)

# Two builds at a time: neither Go nor Rust keeps both cores of a small machine busy all the time.
STALE = $(foreach it,$(NEEDED),$(shell $(MAKE) -q $(it) || echo $(notdir $(it))))
# Of another name, so that `make --dry-run` does not run it.
make = $(MAKE)
STEP = @tests/tools/step "$(STEPS)" $(BEGAN)
demo-steps: $(STEPS:%=demo-%)
demo-crates:
	$(STEP) crates cargo build --quiet --locked --profile demo -p acr-attach -p demo --bin acr-attach --bin demo
demo-etcd demo-kube-apiserver demo-kube-controller-manager demo-kubectl:
	$(STEP) $(@:demo-%=%) $(make) $(@:demo-%=$(BIN)/%)
# One after the other: they share most of their packages.
ifneq ($(filter kube-apiserver,$(STEPS)),)
demo-kube-controller-manager demo-kubectl: demo-kube-apiserver
endif
ifneq ($(filter kube-controller-manager,$(STEPS)),)
demo-kubectl: demo-kube-controller-manager
endif

# What the operator asked in all tests is compared with the rules of the chart at the end.
test: tools gitops-tools image format lint ## Checks format, lints and generated files, and runs all tests; STRESS=1: three times on busy cores
	@tests/tools/packages jq:jq
	@cargo build --quiet --workspace --all-targets
	@$(if $(STRESS),tests/tools/stress 3) $(MAKE) --no-print-directory behaviour
	@cargo test --workspace --doc --quiet

behaviour:
	@rm -rf $(RECORDINGS)
	@target/debug/control-plane run --crd crds/registryattachments.yaml -- \
		sh -c 'GITOPS_RECORDINGS=$(RECORDINGS) $(CARGO_TEST) && target/debug/rights deploy/base/acr-attach.yaml'
	@$(MAKE) --no-print-directory gitops

gitops: $(JUDGES) ## Judges every version of an attachment that the tests have recorded
	@$(BIN)/gitops-flux judge $(RECORDINGS) --whole
	@target/debug/control-plane run --crd crds/registryattachments.yaml -- \
		$(BIN)/gitops-argocd judge deploy/argocd $(RECORDINGS)

# What the machine lacks is said before anything is built. The programs of the control plane are those
# that are pinned here.
e2e: export PATH := $(PATH):/usr/sbin:/sbin
e2e: ## Pulls for real: kubelet, containerd, a registry, the operator in pods (Linux, root)
	@tests/node/needs
	@tests/tools/packages $(NODE_PACKAGES)
	@$(MAKE) --no-print-directory node-tools image
	@tests/node/images target/node/images
	@cargo build --quiet -p node
	@target/debug/node
	@RUST_TEST_THREADS=1 cargo test --quiet -p node --test ends -- --ignored

bench: tools image ## Measures, and prints ratios and counts; judges nothing
	@cargo build --quiet -p control-plane
	@cargo bench --quiet -p acr-attach --no-run
	@target/debug/control-plane run --crd crds/registryattachments.yaml -- \
		env ACR_ATTACH_PROGRAM=$(CURDIR)/$(OPERATOR) cargo bench --quiet -p acr-attach

soak: tools gitops-tools ## Runs the tests that take minutes, one after the other
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

chart: $(CHART_PROGRAMS) ## Writes what is generated of the chart, and deploy/base from it
	@cp crds/registryattachments.yaml charts/acr-attach/files/registryattachments.yaml
	@cp charts/acr-attach/values.yaml charts/acr-attach/files/values.yaml
	@$(BIN)/helm-docs --log-level warning --chart-search-root charts --sort-values-order file
	@deploy/render $(BIN)/helm > deploy/base/acr-attach.yaml.new
	@mv deploy/base/acr-attach.yaml.new deploy/base/acr-attach.yaml

deny: $(BIN)/cargo-deny ## Checks licences, sources and bans of dependencies
	@PATH="$(CURDIR)/$(BIN):$$PATH" cargo deny --log-level error check bans licenses sources

advisories: $(BIN)/cargo-deny ## Checks dependencies against the advisory database (needs the network)
	@PATH="$(CURDIR)/$(BIN):$$PATH" cargo deny check advisories

clean: ## Removes what was built
	@cargo clean
