# Two commands are all a developer needs: make demo and make test. Both install
# what is missing and say so.
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS = -s -w -X main.version=$(VERSION)
FUZZTIME ?= 30s

.PHONY: build demo test vet lint unit functional bench soak zoo histories fuzz clean

build: ## bin/plusmoin, a static binary
	@scripts/need go
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/plusmoin ./cmd/plusmoin

demo: build ## the main job, on real PostgreSQL servers of its own
	@scripts/need postgresql
	bin/plusmoin demo

test: vet lint unit ## what must be green

vet:
	@scripts/need go
	$(GO) vet -tags functional ./...

lint:
	@scripts/need go golangci-lint
	bin/golangci-lint run ./...

unit:
	@scripts/need go postgresql pgbouncer pgpool openssl german
	$(GO) test -race -shuffle=on -timeout 30m ./...

# POSTGRES=15 tells all stories on that version and none on another. What is
# needed to understand a failed story is kept in bin/_artifacts.
functional: build ## stories on hosts of their own, in containers
	@scripts/need go
	scripts/images
	mkdir -p bin
	$(GO) test -tags functional -count 1 -v -parallel 5 -timeout 20m -artifacts -outputdir $(CURDIR)/bin ./functional

bench: ## ratios against floors taken in the same run
	@scripts/need go postgresql
	$(GO) test -run '^$$' -bench . -benchtime 2s ./cluster ./postgres
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./bench

SOAK ?= 1h
soak: ## SOAK of random failures on real servers and a fake fleet, every event judged
	@scripts/need go postgresql
	SOAK=$(SOAK) $(GO) test -run TestSoak -v -timeout 0 ./soak

ZOO ?= 10m
zoo: ## hostile servers beside a healthy pair for ZOO; make test does it for seconds
	@scripts/need go postgresql
	ZOO=$(ZOO) $(GO) test -run TestZoo -v -count 1 -timeout 0 ./zoo

HISTORIES ?= 10000
histories: ## HISTORIES random histories of the core, with restarts at any round
	@scripts/need go
	$(GO) test -run 'Restarts$$|Histories$$' -rapid.checks=$(HISTORIES) -timeout 0 ./cluster

fuzz: ## FUZZTIME for each target
	@scripts/need go
	$(GO) test -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZTIME) ./config
	$(GO) test -run '^$$' -fuzz FuzzRow -fuzztime $(FUZZTIME) ./postgres
	$(GO) test -run '^$$' -fuzz FuzzReply -fuzztime $(FUZZTIME) ./postgres
	$(GO) test -run '^$$' -fuzz FuzzWire -fuzztime $(FUZZTIME) ./postgres
	$(GO) test -run '^$$' -fuzz FuzzText -fuzztime $(FUZZTIME) ./postgres
	$(GO) test -run '^$$' -fuzz FuzzRestore -fuzztime $(FUZZTIME) ./cluster
	$(GO) test -run '^$$' -fuzz FuzzRead -fuzztime $(FUZZTIME) ./status

clean:
	rm -rf bin
