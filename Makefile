# Every target first sets up what it needs; run twice, nothing is installed twice.
PYTHON ?= python3
VENV ?= .venv
DEBUG_VENV := build/debug/venv
RACE_VENV := build/race/venv
ARGS ?=
# The tests wait more than they compute: 107 s instead of 351 on two cores.
PARALLEL ?= -n 4 --dist worksteal

# The stamps carry the Python's version: with another PYTHON the environment is made anew.
SUFFIX := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
TAG := $(word 1,$(subst ., ,$(SUFFIX)))
EXTENSION := gearman_c/_gearman$(SUFFIX)
PIP_INSTALL := -m pip --disable-pip-version-check install -qq

.PHONY: build demo test strict stress debug debug-build race fuzz lint bench docs wheel clean system

# A make of its own, since the installation has just built the extension for the first time.
build: $(VENV)/.installed-$(TAG)
	@$(MAKE) --no-print-directory --silent $(EXTENSION)

$(EXTENSION): setup.py $(wildcard src/gearman_c/*)
	$(VENV)/bin/python setup.py -q build_ext --inplace --force

demo: build
	$(VENV)/bin/python examples/demo.py

test: build
	$(VENV)/bin/python -m pytest $(PARALLEL) $(ARGS)

# As `PYTHONMALLOC=debug python -X dev -W error`, for the processes of pytest-xdist and of the tests,
# too. Without the demo, which takes a minute and does nothing else with the extension.
strict: build
	PYTHONMALLOC=debug PYTHONDEVMODE=1 PYTHONWARNINGS=error $(VENV)/bin/python -m pytest \
		-m 'not slow' --ignore tests/test_demo.py $(PARALLEL) $(ARGS)

# 10,000,000 tasks through a server that is killed every 5 seconds; ARGS='100000 2' for others.
stress: build
	$(VENV)/bin/python tools/stress.py $(ARGS)

debug: debug-build
	tools/test-debug.sh $(DEBUG_VENV)/bin/python -m 'not unsanitized' $(PARALLEL) $(ARGS)

debug-build: $(DEBUG_VENV)/.made-$(TAG)
	GEARMAN_C_DEBUG=1 $(DEBUG_VENV)/bin/python $(PIP_INSTALL) '.[cli,test]'

# Threads that share a client and a worker, under the thread sanitizer.
race: build $(RACE_VENV)/.made-$(TAG)
	GEARMAN_C_DEBUG=thread $(RACE_VENV)/bin/python $(PIP_INSTALL) '.[cli,test]'
	$(VENV)/bin/python tools/race.py $(RACE_VENV)/bin/python $(ARGS)

# Servers that talk nonsense, 200,000 times.
fuzz: debug-build
	FUZZ_CASES=200000 tools/test-debug.sh $(DEBUG_VENV)/bin/python $(PARALLEL) tests/test_fuzz*.py $(ARGS)

lint: build $(VENV)/.lint-$(TAG)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	PATH="$(abspath $(VENV))/bin:$$PATH" cython-lint src  # it calls pycodestyle by its bare name
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m mypy.stubtest gearman_c._gearman --allowlist tests/stubtest_allowlist.txt
	$(VENV)/bin/codespell

bench: build $(VENV)/.bench-$(TAG)
	$(VENV)/bin/python bench/bench.py run
	$(VENV)/bin/python bench/bench.py plot

# The site, in build/docs.
docs: build $(VENV)/.docs-$(TAG)
	$(VENV)/bin/sphinx-build -q -W --keep-going -b html docs build/docs

# build/dist: an sdist, and a wheel from that; build/wheelhouse: the wheel that carries libgearman.
wheel: build $(VENV)/.wheel-$(TAG)
	@rm -rf build/dist build/wheelhouse
	@$(VENV)/bin/python -m build --outdir build/dist . >build/dist.log || { cat build/dist.log; exit 1; }
	@PATH="$(abspath $(VENV))/bin:$$PATH" python tools/repair_wheel.py build/dist/*.whl build/wheelhouse

clean:
	rm -rf .venv build dist *.egg-info gearman_c/*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

system:
	@PYTHON='$(PYTHON)' tools/setup-system.sh

$(VENV)/.installed-$(TAG): pyproject.toml | system
	@echo 'Installing into $(VENV): gearman_c, built here, and the extras cli, test and dev of pyproject.toml'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python $(PIP_INSTALL) -e '.[cli,test,dev]'
	@touch $@

$(VENV)/.lint-$(TAG): $(VENV)/.installed-$(TAG)
	@$(VENV)/bin/python $(PIP_INSTALL) 'gearman_c[lint]'
	@touch $@

$(VENV)/.bench-$(TAG): bench/requirements.txt $(VENV)/.installed-$(TAG)
	@$(VENV)/bin/python $(PIP_INSTALL) -r bench/requirements.txt
	@touch $@

$(VENV)/.docs-$(TAG): $(VENV)/.installed-$(TAG)
	@$(VENV)/bin/python $(PIP_INSTALL) 'gearman_c[docs]'
	@touch $@

$(VENV)/.wheel-$(TAG): $(VENV)/.installed-$(TAG)
	@$(VENV)/bin/python $(PIP_INSTALL) 'gearman_c[wheel]'
	@touch $@

$(DEBUG_VENV)/.made-$(TAG) $(RACE_VENV)/.made-$(TAG): pyproject.toml | system
	@$(PYTHON) -m venv --clear $(@D)
	@touch $@
