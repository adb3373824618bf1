# The two commands of the README are `make run` and `make test`. The rest is for people who change the code.
# DATA_DIR and PORT are honoured by `make run`; ARGS is handed to the tool behind a target.

.DEFAULT_GOAL := help
ARGS ?=

.PHONY: help run run-cluster services services-stop test check setup corpus kill chaos simulate bench fmt

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

run: ## install what is missing, build, start, print the address to open
	@exec bash scripts/run.sh $(ARGS)

services: ## Kafka, Postgres and a warehouse process on this machine; prints the settings for the roles
	@bash scripts/services.sh start

services-stop: ## stop exactly these
	@bash scripts/services.sh stop

run-cluster: ## two of each role on real Kafka, Postgres and a warehouse, behind one address (PORT=8080)
	@exec bash scripts/run-cluster.sh

test: ## everything the project tests
	@bash scripts/test.sh

check: ## format, lints, dependencies, scripts, documentation, tidiness
	@bash scripts/check.sh

setup: ## install what is missing (ARGS=test or check for more)
	@bash scripts/setup.sh $(ARGS)

corpus: ## recorded events through a temporary instance (CORPUS=folder, ARGS='--only NAME')
	@bash scripts/corpus.sh $(ARGS)

kill: ## kill -9 at random moments, then compare every cent
	@bash scripts/kill.sh $(ARGS)

chaos: ## break one outside part or process at a time, then compare every cent (ARGS='--only NAME')
	@bash scripts/chaos.sh --full $(ARGS)

simulate: ## the processing path under drawn faults, step by step (ARGS='--seeds 10000 --from 0')
	@bash scripts/simulate.sh $(ARGS)

bench: ## the figures of docs/MEASURED.md
	@bash scripts/bench.sh $(ARGS)

fmt: ## format the code
	@cargo fmt --all
