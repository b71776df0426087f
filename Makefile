PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 12345
SECONDS ?= 300

# The tests start a thousand processes. Without bytecode each would start half as fast.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: run help install uninstall deb image test test-systemd test-deb test-balancers test-browser test-prometheus test-image trial check coverage attack soak fuzz mutants bench wheel docs clean

# a stamp for each set of extras; a changed requirement installs it again
INSTALLED_BY = setup.cfg pyproject.toml $(wildcard echotime/i18n/*/LC_MESSAGES/*.po)
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable
# Debian's python3 has no ensurepip without python3-venv
HAS_VENV = $(shell $(PYTHON) -c 'import venv; from ensurepip import version; print(1)' 2>/dev/null)
CREATE = $(if $(HAS_VENV),,$(error $(PYTHON) cannot create a virtual environment; on Debian: apt install python3-venv))\
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(INSTALLED_BY)
	$(CREATE)
	$(PIP) .
	touch $@

$(VENV)/.test: $(INSTALLED_BY)
	$(CREATE)
	$(PIP) '.[test]'
	touch $(VENV)/.run $@

$(VENV)/.lint $(VENV)/.bench $(VENV)/.mutants $(VENV)/.image: $(INSTALLED_BY)
	$(CREATE)
	$(PIP) '.[test,$(subst .,,$(@F))]'
	touch $(VENV)/.run $(VENV)/.test $@

# where pip has no such program, the tests that need it are skipped
$(VENV)/.balancers $(VENV)/.browser: $(INSTALLED_BY)
	$(CREATE)
	$(PIP) '.[test,$(subst .,,$(@F))]' || $(PIP) '.[test]'
	touch $(VENV)/.run $(VENV)/.test $@

run: $(VENV)/.run  ## serve both on PORT=12345, in the foreground; installs what that needs in .venv
	$(BIN)/twistd -n --pidfile= echotime --tcp $(PORT) --udp $(PORT)

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r target does; do \
	    printf '  make %-16s%s\n' "$$target" "$$does"; done

# installs to PREFIX, below DESTDIR, for the system's Python; etc/install.mk documents all variables
install:  ## install the daemon, its units and the tools below PREFIX=/usr/local (as root)
	@$(MAKE) --no-print-directory -f etc/install.mk $@

uninstall:  ## remove what `make install` installed (as root)
	@$(MAKE) --no-print-directory -f etc/install.mk $@

deb:  ## build a Debian package in dist/, and say how to install it
	etc/debian/build dist

IMAGE ?= echotime
ENGINE ?= $(firstword $(foreach each,podman buildah docker,$(shell command -v $(each))))
image:  ## build the image IMAGE=NAME:TAG from BASE=IMAGE, with podman, buildah or docker
	@[ -n "$(ENGINE)" ] || { echo "no podman, buildah or docker was found; on Debian: apt install buildah" >&2; exit 1; }
	$(ENGINE) build --file Containerfile --tag "$(IMAGE)" $(if $(BASE),--build-arg BASE="$(BASE)") \
	    --build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' echotime/__init__.py)" \
	    --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null)" .

# one process more than CPUs, because many tests wait; the tests of a file run in one process, because they share
# fixtures that take long to make; tests/conftest.py puts the longest files first
test: $(VENV)/.test  ## run all tests but those below
	$(BIN)/python -m pytest --numprocesses $(shell expr $$(nproc) + 1) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-systemd: $(VENV)/.test  ## test the units of etc/ under systemd, in a container (as root)
	$(BIN)/python -m tests.systemd.container $(VENV)/systemd

test-deb: $(VENV)/.test  ## test the Debian package in such a container (as root)
	$(BIN)/python -m tests.package.container $(VENV)/package

test-balancers: $(VENV)/.balancers  ## test the daemon behind HAProxy, nginx, Envoy and Traefik, if installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/balancers

test-browser: $(VENV)/.browser  ## use the page in chromium, if installed; SCREENSHOTS=DIRECTORY keeps pictures
	$(BIN)/python -m pytest tests/browser

test-prometheus: $(VENV)/.test  ## test the metrics with Prometheus and blackbox_exporter, if installed
	$(BIN)/python -m pytest tests/prometheus

test-image: $(VENV)/.image  ## build and run the image, and play etc/kubernetes, with buildah and podman (as root)
	$(BIN)/python -m pytest tests/image

trial: $(VENV)/.test  ## run the integration tests under trial
	$(BIN)/trial tests.integration

check: $(VENV)/.lint  ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(VENV)/.test  ## run the tests with coverage
	$(BIN)/coverage erase
	PYTHONPATH=$(CURDIR)/tests/_cover $(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

attack: $(VENV)/.test  ## carry out every known attack; print the results (as root)
	$(BIN)/python -m tests.hostile.attack $(ATTACK)

soak: $(VENV)/.test  ## run honest and hostile clients together for SECONDS=300
	$(BIN)/python -m tests.hostile.soak $(SECONDS)

fuzz: $(VENV)/.test  ## send clients and datagrams at random
	$(BIN)/python -m pytest --hypothesis-profile=long tests/unit/test_fuzz_tcp.py tests/unit/test_fuzz_udp.py

# MUTANTS="--number 100 --seed 1" sets the sample
mutants: $(VENV)/.mutants  ## show which small faults the unit tests miss, of a random sample
	$(BIN)/python -m tests.mutants $(MUTANTS)

bench: $(VENV)/.bench  ## compare work per CPU second with other servers
	$(BIN)/python -m benchmarks.beside
	$(BIN)/python -m benchmarks

wheel: $(VENV)/.test  ## build wheel and sdist in dist/
	rm -rf build
	$(BIN)/python -m build --outdir dist .

docs: $(VENV)/.test  ## generate the man pages, completion and tables
	$(BIN)/python docs/generate/write.py .

clean:  ## remove everything that these created, .venv too
	rm -rf $(VENV) build dist mutants *.egg-info _trial_temp* .coverage* twisted/plugins/dropin.cache
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
