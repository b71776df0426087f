PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 12345
SECONDS ?= 300

# The tests start a thousand processes. Without bytecode each would start half as fast.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-systemd test-deb trial check coverage attack soak fuzz mutants bench wheel install uninstall deb docs clean

# a stamp for each set of extras; a changed requirement installs it again
INSTALLED_BY = setup.cfg pyproject.toml $(wildcard echotime/i18n/*/LC_MESSAGES/*.po)
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

$(VENV)/.test: $(INSTALLED_BY)
	$(PYTHON) -m venv $(VENV)
	$(PIP) '.[test]'
	touch $@

$(VENV)/.lint $(VENV)/.bench $(VENV)/.mutants: $(INSTALLED_BY)
	$(PYTHON) -m venv $(VENV)
	$(PIP) '.[test,$(subst .,,$(@F))]'
	touch $(VENV)/.test $@

run: $(VENV)/.test
	$(BIN)/twistd -n --pidfile= echotime --tcp $(PORT) --udp $(PORT)

# one process more than CPUs, because many tests wait; the tests of a file run in one process, because they share
# fixtures that take long to make; tests/conftest.py puts the longest files first
test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses $(shell expr $$(nproc) + 1) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# tests the units of etc/ under systemd, booted in a container; needs root
test-systemd: $(VENV)/.test
	$(BIN)/python -m tests.systemd.container $(VENV)/systemd

# tests the Debian package in such a container; needs root
test-deb: $(VENV)/.test
	$(BIN)/python -m tests.package.container $(VENV)/package

trial: $(VENV)/.test
	$(BIN)/trial tests.integration

check: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(VENV)/.test
	$(BIN)/coverage erase
	PYTHONPATH=$(CURDIR)/tests/_cover $(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

attack: $(VENV)/.test
	$(BIN)/python -m tests.hostile.attack $(ATTACK)

soak: $(VENV)/.test
	$(BIN)/python -m tests.hostile.soak $(SECONDS)

fuzz: $(VENV)/.test
	$(BIN)/python -m pytest --hypothesis-profile=long tests/unit/test_fuzz_tcp.py tests/unit/test_fuzz_udp.py

# shows which small faults in the code the unit tests miss: a random sample, which MUTANTS="--number 100 --seed 1" sets
mutants: $(VENV)/.mutants
	$(BIN)/python -m tests.mutants $(MUTANTS)

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.beside
	$(BIN)/python -m benchmarks

wheel: $(VENV)/.test
	rm -rf build
	$(BIN)/python -m build --outdir dist .

# installs to PREFIX, below DESTDIR, for the system's Python; etc/install.mk documents all variables
install uninstall:
	@$(MAKE) --no-print-directory -f etc/install.mk $@

# builds a Debian package in dist/ for this distribution's Python; needs dpkg-deb
deb:
	etc/debian/build dist

docs: $(VENV)/.test
	$(BIN)/python docs/generate/write.py .

clean:
	rm -rf $(VENV) build dist mutants *.egg-info _trial_temp* .coverage* twisted/plugins/dropin.cache
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
