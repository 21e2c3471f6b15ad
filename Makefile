# Everything that is done with this project, by name. `make help` lists it.

SHELL         := /bin/bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# One set of flags for everything that links Kubernetes: another value of any of these compiles it a second time,
# which takes minutes. kiwerk-modelserver and kiwerk-nvml alone are built with cgo (they link no Kubernetes).
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath

KUBERNETES_VERSION := $(shell sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\).*|\1|p' go.mod)
KUBERNETES_MINOR   := $(word 2,$(subst ., ,$(KUBERNETES_VERSION)))
KUBERNETES_BUILT   := $(shell sed -n 's|.*"Time":"\([^"]*\)".*|\1|p' "$$(go env GOMODCACHE 2>/dev/null)/cache/download/k8s.io/kubernetes/@v/$(KUBERNETES_VERSION).info" 2>/dev/null)
K8S_VERSION_PKG    := k8s.io/component-base/version
K8S_LDFLAGS        := -s -w \
  -X $(K8S_VERSION_PKG).gitVersion=$(KUBERNETES_VERSION) \
  -X $(K8S_VERSION_PKG).gitMajor=1 \
  -X $(K8S_VERSION_PKG).gitMinor=$(KUBERNETES_MINOR) \
  -X $(K8S_VERSION_PKG).gitTreeState=clean \
  -X $(K8S_VERSION_PKG).gitCommit=unknown \
  -X $(K8S_VERSION_PKG).buildDate=$(or $(KUBERNETES_BUILT),1970-01-01T00:00:00Z)

VERSION      := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
MODULE       := github.com/kiwerk/kiwerk
LDFLAGS       = $(K8S_LDFLAGS) -X $(MODULE)/internal/buildinfo.version=$(VERSION)
# The agent has to be small: functions begin at multiples of 16 bytes as C compilers put them, not of Go's 32.
AGENT_LDFLAGS = $(LDFLAGS) -funcalign=16
# Tests carry no version of Kiwerk: it changes with every commit and would link them all again.
TEST_LDFLAGS  = $(K8S_LDFLAGS)

# The C header of ONNX Runtime; nothing else of this module is used.
ORT_HEADER = $(shell go list -m -f '{{.Dir}}' github.com/yalue/onnxruntime_go 2>/dev/null)
WITH_CGO   = CGO_ENABLED=1 CGO_CFLAGS="-O2 -g0 -Wno-deprecated-declarations -I$(ORT_HEADER)"

# Tests that talk to an API server mostly wait for it, so more of them than there are cores go on side by side.
WAITING := 8

# Tests run without vet: the linters have it, and over Kubernetes it looks at 1,400 packages.
# Which packages are tested where. Each line of the list is a package and whether its tests start the built control plane.
KWTEST       := $(MODULE)/internal/kwtest
PACKAGES      = $(shell CGO_ENABLED=1 go list -f '{{$$p := .ImportPath}}{{$$p}}{{range .TestImports}}{{if eq . "$(KWTEST)"}} kwtest:{{$$p}}{{end}}{{end}}{{range .XTestImports}}{{if eq . "$(KWTEST)"}} kwtest:{{$$p}}{{end}}{{end}}' ./...)
below         = $(filter $(1:%=$(MODULE)/%) $(1:%=$(MODULE)/%/%),$(PKGS))
PKGS          = $(filter-out kwtest:%,$(PACKAGES))
CLUSTER_PKGS  = $(filter-out $(CGO_PKGS),$(call below,internal/cluster internal/local cmd/kiwerk))
SYSTEM_PKGS   = $(call below,conformance bench)
CGO_PKGS      = $(call below,internal/modelserver cmd/kiwerk-modelserver internal/cluster/devices/nvml/bridge cmd/kiwerk-nvml)
KUBE_PKGS     = $(filter-out $(CLUSTER_PKGS) $(SYSTEM_PKGS) $(CGO_PKGS),$(sort $(patsubst kwtest:%,%,$(filter kwtest:%,$(PACKAGES))) $(KWTEST)))
UNIT_PKGS     = $(filter-out $(CLUSTER_PKGS) $(SYSTEM_PKGS) $(CGO_PKGS) $(KUBE_PKGS),$(PKGS))

##@ Use

.PHONY: demo
demo: setup build ## Set up, build and play the quality-inspection day: data, training, drift, retraining, promotion
	exec bin/kiwerk demo quality-inspection $(DEMO_FLAGS)

.PHONY: build
build: setup-system setup-onnxruntime ## Build the programs into bin/
	@mkdir -p bin
	$(WITH_CGO) go build -ldflags '-s -w -X $(MODULE)/internal/buildinfo.version=$(VERSION)' -o bin/ ./cmd/kiwerk-modelserver ./cmd/kiwerk-nvml
	go build -ldflags '$(AGENT_LDFLAGS)' -o bin/ ./cmd/kiwerk-agent
	go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/kiwerk-nvidia-smi ./cmd/kiwerk-operator ./cmd/kiwerk

.PHONY: setup
setup: setup-system setup-python setup-onnxruntime ## Install what is needed: Python environment, ONNX Runtime, Go modules

.PHONY: setup-system setup-python setup-onnxruntime
setup-system:
	@scripts/setup-system.sh
setup-python: setup-system
	@scripts/setup-python.sh
setup-onnxruntime: setup-system
	@scripts/setup-onnxruntime.sh

##@ Check

.PHONY: test
test: setup build lint verify test-unit test-kube test-cluster test-system ## Everything that CI runs: set-up, lint, verify, all tests

.PHONY: test-unit
test-unit: setup-python setup-onnxruntime ## Tests of the packages that link no Kubernetes (a minute at most when warm)
	$(WITH_CGO) go test -vet=off -ldflags '-s -w' $(CGO_PKGS)
	go test -vet=off -ldflags '-s -w' $(UNIT_PKGS)

.PHONY: test-kube
test-kube: bin/kiwerk ## Tests of the controllers, against the API server of the built program
	go test -vet=off -ldflags '-s -w' -timeout 15m -parallel $(WAITING) $(KUBE_PKGS)

bin/kiwerk:
	@$(MAKE) build

.PHONY: test-cluster
test-cluster: setup-python build ## Tests of the embedded cluster; as root both halves (root and an ordinary user)
	go test -vet=off -ldflags '$(TEST_LDFLAGS)' -timeout 20m -parallel 8 $(CLUSTER_PKGS)
	@[ "$$(id -u)" = 0 ] || echo 'Only the half for ordinary users ran. The other half: sudo make test-cluster'

.PHONY: test-system
test-system: setup build ## The built programs from outside: demo, examples, stock clients of this release
	go test -vet=off -ldflags '-s -w' -timeout 20m -p 2 $(SYSTEM_PKGS)

.PHONY: conformance conformance-mlflow
conformance: test-system conformance-mlflow ## Real upstream clients against a running Kiwerk, the older ones and the large frameworks too (20 minutes, 8 GB)

conformance-mlflow: setup-python build ## MLflow's clients of three minors, autologging of XGBoost, LightGBM, Keras, PyTorch, a comparison with mlflow server (docs/conformance/mlflow.txt)
	scripts/setup-conformance-python.sh mlflow-3.16 mlflow-3.15 frameworks torch
	KIWERK_CONFORMANCE_MLFLOW='stock stock-postgresql mlflow-3.16 mlflow-3.15 frameworks torch' go test -vet=off -count=1 -v -timeout 40m -run TestMLflowClient ./conformance/mlflow
	KIWERK_DIFFERENTIAL=1 go test -vet=off -count=1 ./conformance/mlflow/differential

.PHONY: conformance-azure
conformance-azure: ## The artifact store of Azure, with the account's key and with an identity, against Azurite, which needs Node.js (not part of test)
	mkdir -p .cache/azurite && cp tools/azurite/package*.json .cache/azurite/
	cd .cache/azurite && npm ci --ignore-scripts --no-audit --no-fund
	go test -vet=off -count=1 -v -run TestAzure ./internal/blob

.PHONY: soak
soak: setup-system build ## Many writers, kill -9 and restarts of the database under load, for a quarter of an hour (docs/conformance/soak.txt; a short form is in test)
	go test -vet=off -count=1 -timeout 40m ./conformance/soak -long -report $(CURDIR)/docs/conformance/soak.txt

.PHONY: conformance-kubernetes
conformance-kubernetes: build ## Kubernetes' own conformance suite on the local cluster: ACCOUNT=root|user PART=1/8 ARGS=… (hours; not part of test)
	CONFORMANCE_LDFLAGS='$(TEST_LDFLAGS)' go run ./conformance/kubernetes --part '$(PART)' $(if $(filter user,$(ACCOUNT)),--user kiwerk-test-ids) $(ARGS)

.PHONY: lint
lint: bin/tools/golangci-lint ## Linters and formatters, with the rules of .golangci.yml
	bin/tools/golangci-lint run --allow-serial-runners --timeout 15m ./...

.PHONY: verify
verify: ## Generated files are current, scripts parse, modules and locks match
	@scripts/verify.sh

.PHONY: fuzz
fuzz: ## Every fuzz test for FUZZTIME (default 20s)
	@scripts/fuzz.sh $(or $(FUZZTIME),20s)

.PHONY: bench
bench: setup build ## Start-up, idle, jobs, containers and tracking against peers, as text (docs/benchmarks.md)
	scripts/setup-bench.sh
	go run ./bench/up
	go run ./bench/node
	go run ./bench/tracking

##@ Develop

.PHONY: generate
generate: bin/tools/controller-gen ## Deep copies and CRDs
	PATH="$(CURDIR)/bin/tools:$$PATH" go generate ./api/... ./internal/...

.PHONY: format
format: bin/tools/golangci-lint ## Format the Go code
	bin/tools/golangci-lint fmt ./...

.PHONY: lock
lock: ## Make requirements.txt again from requirements.in
	@scripts/lock-python.sh

.PHONY: clean
clean: ## Remove what was built; .venv and caches stay
	rm -rf bin dist

bin/tools/%: tools/go.mod tools/go.sum
	@mkdir -p bin/tools
	cd tools && go build -o ../bin/tools/ tool
	@touch $@

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
