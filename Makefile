# Everything a newcomer needs: `make serve` to run it, `make test` to try it.

BIN := .venv/bin
export PYTHONPATH :=

.PHONY: help setup serve dev test quick torture check format bench components lock docs clean
.DEFAULT_GOAL := help

help: ## This list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## The environment: .venv with .venv/bin/dragoman
	@requirements/setup.sh runtime

serve: setup ## Serve on http://127.0.0.1:8080, set up where nothing is there
	@exec $(BIN)/dragoman serve

dev:
	@requirements/setup.sh runtime dev

components: ## Install what the tests run against (PostgreSQL, node, slapd, Chromium); needs root or sudo
	@tests/components.sh

test: dev components ## All tests
	$(BIN)/pytest -n 2

quick: dev ## The tests that take no time, in under two minutes
	$(BIN)/pytest -n 2 -m "not slow" -q

torture: dev components ## 500 clients over DDP that come and go for two minutes; 8 clients that refresh 2,000 times
	DRAGOMAN_SOAK="500 120" $(BIN)/pytest -q tests/journeys/test_ddp_soak.py
	DRAGOMAN_RACES="8 2000" $(BIN)/pytest -q tests/journeys/test_refresh_races.py

check: dev ## Linter, formatter, types, import directions, house rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -p dragoman -p kit
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m "not slow" tests/rules

format: dev ## Write the code as the formatter wants it
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: dev ## The benchmarks, as ratios to fixed baselines
	$(BIN)/python bench/run.py

docs: dev ## Write docs/reference from the code
	$(BIN)/python docs/generate.py

LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11
lock: dev ## Pin the newest allowed versions of everything
	$(LOCK) --upgrade requirements/uv.in -o requirements/uv.txt
	$(LOCK) --upgrade pyproject.toml --extra ldap --extra valkey -o requirements/runtime.txt
	$(LOCK) --upgrade pyproject.toml --extra ldap --extra valkey --group dev -c requirements/runtime.txt -o requirements/dev.txt

clean: ## Forget the environment and caches; the data stays
	rm -rf .venv .components .mypy_cache .ruff_cache .hypothesis .import_linter_cache
