# The targets a person uses are listed by "make help".

# A Go fetched by "make deps" where the system's is too old; see .ci/deps.
export PATH := $(CURDIR)/bin/toolchain/bin:$(PATH)
# Distributions switch off that go fetches the version go.mod asks for.
export GOTOOLCHAIN := auto
export GOFLAGS := -buildvcs=false $(filter-out -buildvcs=%,$(GOFLAGS))

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X popcorn/internal/cli.version=$(VERSION)

# Packages that never start a guest of their own accord run under the race
# detector; whole programs run with every assertion on instead.
INNER := ./cmd/... ./internal/...
WHOLE := ./test/...

.PHONY: help build deb demo bench check test soak generate deps unit short-unit whole

help:
	@echo 'make demo      an ordinary program spreads over three nodes (two minutes)'
	@echo 'make build     bin/popcorn'
	@echo 'make deb       bin/popcorn_VERSION_ARCH.deb, and a .tar.zst of the same files'
	@echo 'make test      everything a change must pass, after installing what it needs'
	@echo 'make check     the quick part: format, vet, generated files, short tests'
	@echo 'make bench     latencies beside this machine'"'"'s own floor'
	@echo 'make soak      the long version of the tests; hours'
	@echo 'make generate  the generated files again'
	@echo 'make deps      install missing packages through apt-get'

build: deps-build
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/popcorn ./cmd/popcorn

deb:
	.ci/deps deb
	packaging/build bin

demo: build
	bin/popcorn demo

bench: build
	bin/popcorn bench

generate:
	go generate ./...

check: deps
	.ci/check
	go test -short -timeout 5m $(INNER)

# In this order: what fails soonest comes first.
test: check unit whole

unit: build
	CGO_ENABLED=1 go test -race -timeout 15m $(INNER)
	go test -run TestManyNodes -count=1 ./internal/node

whole: build
	POPCORN_VERIFY=all go test -count=1 -timeout 40m $(WHOLE)

# Level 2 kills each part of a job 500 times, level 1 50 times.
soak: build
	CGO_ENABLED=1 POPCORN_SOAK=1 go test -race -count=1 -timeout 4h $(INNER)
	POPCORN_SOAK=2 POPCORN_VERIFY=all go test -count=1 -timeout 12h $(WHOLE)
	POPCORN_SOAK=1 go test -count=1 -timeout 12h $(WHOLE)

deps:
	@.ci/deps all

.PHONY: deps-build
deps-build:
	@.ci/deps build
