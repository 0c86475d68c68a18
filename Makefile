# The whole interface of the project for people and machines. `make help` lists it.
#
#   PORT, DATA_DIR      where `make run` listens and keeps its data (8080, ./data)
#   ARGS                of `make test`: packages and flags of go test instead of all
#   JSON, ONLY, URL, FULL   of `make bench` and `make drill`; see cmd/drill

SHELL := /bin/bash
.DEFAULT_GOAL := help

# A checkout that belongs to another user must not fail the build.
export GOFLAGS ?= -buildvcs=false

## run: install what is missing, build, and run portal and worker with Postgres and Redis; Ctrl-C stops all
.PHONY: run
run:
	@scripts/setup.sh run
	@go build -o bin/ ./cmd/portal
	@# Should make be killed, the portal gets a SIGTERM and stops in order.
	@PORTAL_MODE=local exec setpriv --pdeathsig TERM bin/portal

## test: install what is missing and run the whole suite with servers of its own; ARGS='-run Name ./booking' for a part
.PHONY: test
test:
	@scripts/setup.sh test
	@go build -o bin/testrun ./internal/tools/testrun
	@exec setpriv --pdeathsig TERM bin/testrun $(ARGS)

## check: format, vet, lint and the import rule
.PHONY: check
check: bin/golangci-lint
	@bin/golangci-lint fmt --diff
	@go vet ./...
	@bin/golangci-lint run
	@go test .

## format: write the Go files as `make check` wants them
.PHONY: format
format: bin/golangci-lint
	@bin/golangci-lint fmt

# A module of its own: the linter's hundreds of modules are not the portal's.
bin/golangci-lint: tools/go.mod tools/go.sum
	@echo "Building golangci-lint (once; some minutes)"
	@cd tools && go build -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

## bench: the figures, one line each: name value unit ratio; JSON=file writes them too
.PHONY: bench
bench:
	@scripts/setup.sh run
	@go build -o bin/ ./cmd/portal ./cmd/worker ./cmd/drill
	@exec setpriv --pdeathsig TERM bin/drill bench

## drill: load and fault drills; ONLY=opening runs one, URL= on a running portal, FULL=1 in full size, JSON=file
.PHONY: drill
drill:
	@scripts/setup.sh run
	@go build -o bin/ ./cmd/portal ./cmd/worker ./cmd/drill
	@exec setpriv --pdeathsig TERM bin/drill run

## build: the programs for real use, with the browser assets inside, in ./bin; HSM=1 for keys behind PKCS #11 (needs a C compiler)
.PHONY: build
build:
	@scripts/setup.sh run
	@CGO_ENABLED=$(if $(HSM),1,0) go build -trimpath -ldflags='-s -w' -o bin/ ./cmd/portal ./cmd/worker ./cmd/drill

## clean: remove what was built; ./data stays
.PHONY: clean
clean:
	@rm -rf bin web/node_modules e2e/node_modules e2e/screenshots
	@find web/dist -mindepth 1 ! -name .gitkeep -delete

## help: this list
.PHONY: help
help:
	@sed -n 's/^## \([a-z]*\): \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
