# What a developer types. "make help" lists it; README.md and CONTRIBUTING.md say more.
#
# ARGS hands arguments on: make run ARGS="--http 0.0.0.0:8080", make bench ARGS="--run mqtt".

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS   += --no-print-directory

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# No VCS stamp: the version is handed in, and a checkout owned by somebody else builds as well.
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
STEP    := tools/step
CHECKER := .cache/bin/staticcheck

# End-to-end tests start the real program, one package at a time, so that nothing else takes the cores they measure.
E2E     := ^cityhub/cmd/
# Packages with goroutines of their own run once more under the race detector, in short mode; the end-to-end tests do not.
RACE    := ^cityhub/(ingest|streams|twin|internal)(/|$$)
NO_RACE := ^cityhub/internal/(deptest|bench)(/|$$)

# "make check" vets everything with all analyzers; go test need not do some of it again for every way of building.
GOTEST  := go test -vet=off

VIEWER_SOURCES := $(shell find viewer \( -name node_modules -o -path viewer/dist -o -path viewer/e2e \) -prune -o -type f ! -name '*.go' ! -name '*.test.ts' -print 2>/dev/null)

.PHONY: help run build test check bench generate clean test-viewer test-go test-race test-e2e FORCE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build and start a hub with simulated sample terminals
	@echo "Starting cityhub. Open http://127.0.0.1:8080 in a browser; the operator's link is printed below at the first start. Ctrl-C ends it."
	@exec bin/cityhub serve --sample $(ARGS)

build: bin/cityhub ## build the viewer and bin/cityhub

bin/cityhub: viewer/dist/index.html FORCE
	@mkdir -p bin
	$(GOBUILD) -o $@ ./cmd/cityhub

# The built page is its own stamp: it is newer than its sources, or is built again. Vite empties the folder, and git keeps it.
viewer/dist/index.html: viewer/node_modules/.stamp $(VIEWER_SOURCES)
	npm --prefix viewer run build
	@touch viewer/dist/.gitkeep $@

viewer/node_modules/.stamp: viewer/package.json viewer/package-lock.json
	npm --prefix viewer ci --no-audit --no-fund
	@touch $@

# What judges vector tiles: the readers and the validator of those who draw them.
TILE_JUDGES := spatial/tiles/testdata/js/node_modules/.stamp
$(TILE_JUDGES): spatial/tiles/testdata/js/package.json spatial/tiles/testdata/js/package-lock.json
	npm --prefix spatial/tiles/testdata/js ci --no-audit --no-fund
	@touch $@

test: check test-viewer test-go test-race test-e2e ## everything: static checks, unit, race and end-to-end tests
	@echo; echo "make test: all passed"

check: $(CHECKER) viewer/dist/index.html ## the fast static part: format, vet, staticcheck, tidy, generated files
	@$(STEP) "gofmt" tools/gofmt-check
	@$(STEP) "go mod tidy" go mod tidy -diff
	@$(STEP) "go mod tidy (tools)" go -C tools mod tidy -diff
	@$(STEP) "go vet" go vet ./...
	@$(STEP) "staticcheck" $(CHECKER) ./...
	@$(STEP) "generated files are current" tools/unchanged $(MAKE) generate
	@$(STEP) "viewer types" npm --prefix viewer run check

# Pinned with its checksums in tools/go.mod, apart from the product's dependencies.
$(CHECKER): tools/go.mod tools/go.sum
	@mkdir -p $(@D)
	@$(STEP) "build staticcheck" go -C tools build -buildvcs=false -o $(CURDIR)/$@ honnef.co/go/tools/cmd/staticcheck
	@touch $@

generate: viewer/node_modules/.stamp ## write the generated files again
	go generate ./...
	npm --prefix viewer run --if-present generate

test-viewer: viewer/node_modules/.stamp ## the viewer's unit tests
	@$(STEP) "viewer unit tests" npm --prefix viewer run test

test-go: viewer/dist/index.html $(TILE_JUDGES) ## all Go tests but the end-to-end ones
	@pkgs=$$(go list ./... | grep -Ev '$(E2E)'); $(STEP) "go test" $(GOTEST) -timeout 10m $$pkgs

test-race: ## the packages with goroutines once more, under the race detector
	@if ! command -v $${CC:-gcc} >/dev/null; then \
	  echo "the race detector needs a C compiler, and $${CC:-gcc} is not installed" >&2; \
	  if [ "$${CI:-}" = true ]; then exit 1; fi; echo "race tests skipped"; exit 0; fi; \
	pkgs=$$(go list ./... | grep -E '$(RACE)' | grep -Ev '$(NO_RACE)'); \
	CGO_ENABLED=1 $(STEP) "go test -race -short" $(GOTEST) -race -short -timeout 10m $$pkgs

test-e2e: bin/cityhub ## the real program, Mosquitto's clients, Paho and a browser against it
	@pkgs=$$(go list ./... | grep -E '$(E2E)'); CITYHUB_TEST_BINARY=$(CURDIR)/bin/cityhub $(STEP) "end-to-end tests" $(GOTEST) -p 1 -count=1 -timeout 15m $$pkgs
	@$(STEP) "viewer end-to-end tests" npm --prefix viewer run --if-present e2e

bench: build ## measure and print the table of docs/BENCHMARKS.md
	go run ./internal/bench --binary bin/cityhub $(ARGS)

clean: ## remove what the targets above built (data stay)
	rm -rf bin .cache viewer/node_modules spatial/tiles/testdata/js/node_modules
	find viewer/dist -mindepth 1 ! -name .gitkeep -delete
