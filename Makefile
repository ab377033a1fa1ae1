# Two commands: `make demo` shows what this does, `make test` proves it. Both install what they need into .venv/.
PYTHON ?= python3
VENV ?= .venv
TESTS ?= tests
# Tests wait for processes and for the retries of W&B's SDK more than they compute, so that more workers than cores are faster.
WORKERS ?= 4
RUN = $(VENV)/bin/
SUPPORTED = (3, 11) <= sys.version_info[:2] <= (3, 14)
ifeq ($(OS),Windows_NT)
  $(error The Makefile needs a POSIX shell. Use WSL or the dev container, or see docs/install.md for the demo without make)
endif
VERSION = -c 'import sys; print("%d.%d" % sys.version_info[:2] if $(SUPPORTED) else "")' 2>/dev/null
UNSUPPORTED = $(PYTHON) is not Python 3.11 to 3.14, which this project needs. Name another: make $(MAKECMDGOALS) PYTHON=python3.13
HAS := $(shell $(VENV)/bin/python -c 'import pip' 2>/dev/null && $(VENV)/bin/python $(VERSION))
WANTED := $(if $(filter command line,$(origin PYTHON)),$(or $(shell $(PYTHON) $(VERSION)),$(error $(UNSUPPORTED))),$(HAS))
# An environment that is broken, or was made by another Python than the named one, is removed and made again.
ifneq ($(wildcard $(VENV)/pyvenv.cfg),)
  ifeq ($(filter $(WANTED),$(HAS)),)
    $(info $(VENV)/ does not work with this Python and is made again.)
    $(shell rm -rf $(VENV))
  endif
endif
LOCKED = --universal --python-version 3.11 --no-header --no-annotate -q
AZURE = --python-version 3.13 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate -q

.PHONY: demo test test-all random contracts test-azcli crash faults canary mutation evidence lint format docs pictures package lock dist site clean

demo: $(VENV)/.demo
	$(RUN)python -m sandbox demo

test: $(VENV)/.dev $(VENV)/functions-worker $(VENV)/azurite $(VENV)/kusto $(VENV)/forward-proxy
	$(RUN)python -m pytest -n $(WORKERS) -m "not slow and not long and not azcli" $(TESTS)

# Also the slow tests: parts of the matrices and of the canary, and the packages as they are installed. A workflow runs them weekly.
test-all: $(VENV)/.dev $(VENV)/functions-worker $(VENV)/azurite $(VENV)/kusto
	$(RUN)python -m pytest -n $(WORKERS) -m "not long and not azcli" $(TESTS)

# Other examples each time, for a scheduled job; a failure prints how to repeat it.
random: $(VENV)/.dev $(VENV)/functions-worker
	$(RUN)python -m pytest -n $(WORKERS) -m "not slow and not long and not azcli" --hypothesis-profile random $(TESTS)

# The official API descriptions, for the contract tests: a sparse checkout at a pinned commit, whose hash is the checksum of every
# file in it. AZURE_SPECS_REPOSITORY names a mirror or a local clone. git gives up when nothing arrives for a minute.
AZURE_SPECS_REPOSITORY ?= https://github.com/Azure/azure-rest-api-specs
SPECS_COMMIT = cbbe228fd422db02b65e2748f83df5f2bcad7581
SPECS_GIT = GIT_TERMINAL_PROMPT=0 git -C .contracts/azure-rest-api-specs -c http.lowSpeedLimit=1 -c http.lowSpeedTime=60
SPECS = authorization/resource-manager/Microsoft.Authorization/stable/2022-04-01 \
	cognitiveservices/data-plane/AzureOpenAI/authoring/stable/2024-06-01 \
	cognitiveservices/resource-manager/Microsoft.CognitiveServices/stable/2023-05-01 \
	common-types/resource-management \
	keyvault/data-plane/Microsoft.KeyVault/stable/7.5 \
	keyvault/resource-manager/Microsoft.KeyVault/stable/2023-07-01 \
	resources/resource-manager/Microsoft.Resources/stable/2022-12-01
contracts: $(VENV)/.dev
	git init --quiet .contracts/azure-rest-api-specs
	$(SPECS_GIT) sparse-checkout set $(addprefix specification/,$(SPECS))
	$(SPECS_GIT) config remote.origin.url $(or $(realpath $(AZURE_SPECS_REPOSITORY)),$(AZURE_SPECS_REPOSITORY))
	{ $(SPECS_GIT) fetch --quiet --depth 1 --filter blob:none origin $(SPECS_COMMIT) && $(SPECS_GIT) checkout --quiet $(SPECS_COMMIT); } || \
		{ echo "No descriptions: AZURE_SPECS_REPOSITORY must name a repository that has the commit $(SPECS_COMMIT)."; exit 1; }
	$(RUN)python -m pytest -q -m contract $(TESTS)

# The real Azure CLI as a witness: installs it into .venv-azcli/ (733 MB, a minute or two) the first time.
test-azcli: $(VENV)/.dev
	$(RUN)python -m pytest -n 2 --dist loadfile -m azcli $(TESTS)

# Every command killed before and after every HTTP request, and run again. WITH='--command sync --kind live' is a part of it.
crash: $(VENV)/.dev
	$(RUN)python -m evidence crash $(WITH)

# Every operation with every failure of its request. WITH='--operation SetSecret' is a part of it.
faults: $(VENV)/.dev
	$(RUN)python -m evidence faults $(WITH)

# Every command in every kind of trouble, searched for secrets. WITH='--command plan' is a part of it.
canary: $(VENV)/.dev $(VENV)/functions-worker
	$(RUN)python -m evidence canary $(WITH)

# Small mistakes put into the code that plans, decides and reads, and whether the tests notice them ([tool.mutmut] in
# pyproject.toml). WITH='provisioning.planning.teardown*' is a part of it.
mutation: $(VENV)/.dev
	nice $(RUN)python -m mutmut run --max-children 2 $(WITH) >&2
	$(RUN)python -m evidence.mutants

# Runs all that this project claims, which takes hours, and writes docs/evidence.md. WITH='--only speed --only crash' is a part
# of it, WITH=--list shows what there is.
evidence: $(VENV)/.dev $(VENV)/functions-worker $(VENV)/azurite $(VENV)/kusto
	$(RUN)python -m evidence report $(WITH)

lint: $(VENV)/.dev
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

format: $(VENV)/.dev
	$(RUN)ruff check --fix .
	$(RUN)ruff format .

# The pages that are written by a program.
docs: $(VENV)/.dev
	$(RUN)python -m docs.reference

# Needs Chromium.
pictures: $(VENV)/.dev
	$(RUN)python -m docs.pictures

# The zip that is deployed, and its SBOM. `make package WITH=--with-dependencies` puts the packages in, for Azure's Python.
package: $(VENV)/.dev
	$(RUN)python -m infra.package $(WITH)
	$(RUN)uv tool run --quiet --from cyclonedx-bom cyclonedx-py requirements --output-reproducible requirements.txt -o build/function-app.cdx.json
	@echo build/function-app.cdx.json

$(VENV)/bin/python:
	@test -n "$$($(PYTHON) $(VERSION))" || { echo "$(UNSUPPORTED)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV)/, which takes about half a minute the first time."
	$(RUN)python -m pip install --quiet -c constraints.txt -e '.[provisioning,sandbox]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)python -m pip install --quiet -c constraints.txt -e '.[provisioning,sandbox,dev]'
	touch $@

# Microsoft's Functions worker library declares Python >= 3.13 and runs on 3.11; its v1 wheel carries a top-level `tests`,
# which must not shadow ours: hence a folder of its own.
$(VENV)/functions-worker: $(VENV)/bin/python
	$(RUN)python -m pip install --quiet --no-deps --ignore-requires-python --target $@ \
		azure-functions-runtime==1.3.0 azure-functions-runtime-v1==1.2.0

# Microsoft's storage emulator, in a folder of its own. Where there is no Node, the tests that need it are skipped and say so.
$(VENV)/azurite: $(VENV)/bin/python
	npm install --silent --no-audit --no-fund --prefix $@ azurite@3.35.0 || echo "No Azurite: its tests will be skipped."

# Microsoft's Kusto language service, which checks the queries of alerts and workbook.
$(VENV)/kusto: $(VENV)/bin/python
	npm install --silent --no-audit --no-fund --prefix $@ @kusto/language-service-next@12.4.1 || echo "No Kusto language service: its test will be skipped."

# A forward proxy by others, in a folder of its own, with a test that puts it between the programs and the sandbox.
$(VENV)/forward-proxy: $(VENV)/bin/python
	$(RUN)python -m pip install --quiet --no-deps --target $@ proxy.py==2.4.10 || echo "No proxy.py: its tests will be skipped."

# Pins the ranges of pyproject.toml: constraints.txt is what the tests run with, requirements-all.txt the same with hashes, and
# requirements.txt what Azure installs.
lock: $(VENV)/.dev
	$(RUN)uv pip compile pyproject.toml --all-extras $(LOCKED) -o constraints.txt
	$(RUN)uv pip compile pyproject.toml --all-extras -c constraints.txt $(LOCKED) --generate-hashes -o requirements-all.txt
	(grep '^#' requirements.txt; $(RUN)uv pip compile pyproject.toml -c constraints.txt $(AZURE)) > requirements.new
	mv requirements.new requirements.txt

# The wheel and the source distribution, in dist/.
dist: $(VENV)/.dev
	rm -rf dist
	$(RUN)uv build --quiet
	$(RUN)uv tool run twine check --strict dist/*

# The documentation as a site, in build/site/.
site: $(VENV)/.dev
	$(RUN)uv pip install --quiet --python $(RUN)python -c constraints.txt mkdocs-material
	NO_MKDOCS_2_WARNING=1 $(RUN)mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist *.egg-info
