# Two commands do all the set-up: `make claims` and `make test`.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help claims test data gpu lint format types check benchmarks mutants comparisons browser prose docs clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

# The stamp is newer than what it depends on only if the whole installation went through.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "decouple needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

claims: $(VENV)/.installed ## judge the published and smoke tiers, write the report
	$(BIN)/python -m pytest -m "published or smoke" -n $(JOBS) claims/

test: $(VENV)/.installed ## run the project's own tests
	$(BIN)/python -m pytest -n $(JOBS) --benchmark-disable tests/

data: $(VENV)/.installed ## download the weights and the vocabulary that the gpu tier reads
	$(BIN)/decouple data fetch gpt2 gpt2-vocabulary

# What fails does not keep the rest from running; the worst status is the target's.
gpu: $(VENV)/.installed ## judge the gpu tier and train its other arms (needs a CUDA GPU)
	@trap 'exit 130' INT TERM; worst=0; \
	run() { echo "$$*"; "$$@"; status=$$?; if [ $$status -gt $$worst ]; then worst=$$status; fi; }; \
	run $(BIN)/python -m pytest -m gpu claims/; \
	for stem in routing_collapse sequential_cycles long_run ep_plateau; do run $(BIN)/decouple run $$stem --preset published; done; \
	exit $$worst

lint: $(VENV)/.installed ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed ## mypy
	$(BIN)/mypy

check: lint types test ## all of the above that needs no training

benchmarks: $(VENV)/.installed ## speed, side by side with what a user would otherwise use
	$(BIN)/python -m pytest --benchmark-only -p no:xdist tests/benchmarks

mutants: $(VENV)/.installed ## break the code in a copy, one way at a time, and watch for red
	$(BIN)/python tests/mutants/run.py --jobs $(JOBS)

comparisons: claims ## change the code in three real ways, and compare with it as it is
	$(BIN)/python -m pytest -n $(JOBS) tests/comparisons

browser: $(VENV)/.installed ## open the report page in a headless browser
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,browser]'
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || command -v google-chrome-stable >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } || $(BIN)/python -m playwright install chromium
	$(BIN)/python -m pytest tests/browser

prose: $(VENV)/.installed ## write the generated parts of README and documentation again
	$(BIN)/python -m decouple.report.prose

docs: $(VENV)/.installed ## build the documentation, fail on a broken link
	$(BIN)/mkdocs build --strict --quiet

clean: ## remove the environment and everything that runs wrote
	rm -rf $(VENV) site reports/store reports/claims.json reports/claims.md reports/claims.html .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
