# Everything a developer runs. Needs Python 3.11 or newer, a Rust toolchain and a C
# compiler; `make help` lists the targets. Set-up is done by stamp files: a step runs
# again only if what it reads has changed, or what it made is gone.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The interpreter that the environment is made from, the environment, and where
# its extension is compiled. `test-matrix` sets them anew for each version.
PYTHON ?= python3
VENV ?= .venv
TARGET_DIR ?= target
# Dependency groups of pyproject.toml.
GROUPS_OF_VENV ?= development
MATRIX ?= 3.11 3.12 3.13
ARGS ?=

PY := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
# One interpreter for all cargo calls: with another one pyo3 is compiled anew.
export PYO3_PYTHON := $(abspath $(PY))
export CARGO_TERM_COLOR ?= auto

# What the extension is made of.
RUST_SOURCES := $(wildcard Cargo.toml Cargo.lock build.rs rust-toolchain.toml) \
	$(shell find src .cargo -type f 2>/dev/null)
LINTED := $(wildcard python tests benches examples)
TYPED := python/dbmanager $(wildcard tests/typing benches examples)
STUBTEST_ALLOWLIST := $(wildcard tests/typing/stubtest-allowlist.txt)

# The CPython suite has a step of its own, with a report of its own.
PYTEST := $(PY) -m pytest
CARGO_CORE := --locked --no-default-features

define title
	@printf '\n== %s ==\n' "$(1)"
endef

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- set-up --------------------------------------------------------------------

# A prerequisite that makes its target anew.
.PHONY: rebuild
rebuild:

# Debian's Python may come without ensurepip: then the base interpreter's pip
# installs one.
$(STAMPS)/venv: $(if $(wildcard $(PY)),,rebuild)
	@printf '\n== %s ==\n' 'setting up $(VENV)'
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("dbmanager needs Python 3.11 or newer, and %s is %d.%d: set PYTHON" % (sys.executable, *v[:2]))'
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv --clear $(VENV); \
	else \
		$(PYTHON) -m venv --clear --without-pip $(VENV); \
		$(PYTHON) -m pip --python $(PY) install --quiet pip; \
	fi
	$(PY) -m pip install --quiet 'pip>=25.1'
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/groups: pyproject.toml $(STAMPS)/venv
	$(PY) -m pip install --quiet $(addprefix --group ,$(GROUPS_OF_VENV))
	@touch $@

# The stamp holds the path of the extension file: it may be deleted by hand, and each
# version of Python has one of its own. A failed build leaves no stamp.
BUILT := $(file <$(STAMPS)/extension)

$(STAMPS)/extension: $(RUST_SOURCES) $(STAMPS)/groups $(if $(wildcard $(BUILT)),,rebuild)
	@rm -f $@
	env -u CONDA_PREFIX VIRTUAL_ENV=$(abspath $(VENV)) $(VENV)/bin/maturin develop \
		--release --locked --target-dir $(TARGET_DIR)
	@$(PY) -c 'import os.path, dbmanager._core as core; print(os.path.relpath(core.__file__))' > $@

.PHONY: dev
dev: $(STAMPS)/extension ## Build the extension into .venv

# ---- checks --------------------------------------------------------------------

.PHONY: test
test: check-python check-rust test-rust test-python test-cpython check-types ## Run every check

.PHONY: check-rust
check-rust: $(STAMPS)/groups ## Rust: format and clippy, with and without Python
	$(call title,cargo fmt)
	cargo fmt --all --check
	$(call title,cargo clippy)
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --all-targets $(CARGO_CORE) -- -D warnings

.PHONY: test-rust
test-rust: $(STAMPS)/venv ## Rust: the core's tests, without Python
	$(call title,cargo test)
	cargo test $(CARGO_CORE)

.PHONY: test-python
test-python: dev ## Python: pytest, documentation examples included
	$(call title,pytest on $$($(PY) -V))
	$(PYTEST) --ignore=tests/cpython --ignore=tests/browser $(ARGS)

.PHONY: test-cpython
test-cpython: dev ## CPython's own sqlite3 tests with our module swapped in
	$(call title,CPython suite on $$($(PY) -V))
	$(PYTEST) --quiet tests/cpython --ignore=tests/cpython/test_cpython_suite.py
	$(PY) -m tests.cpython

# The browser is no package of Python's: it is asked for before anything is built.
BROWSER := chromium chromedriver

.PHONY: has-browser
has-browser:
	@for program in $(BROWSER); do command -v $$program >/dev/null || { \
		echo "test-browser: there is no $$program; on Debian: apt-get install chromium chromium-driver" >&2; \
		exit 1; \
	}; done

$(STAMPS)/browser: pyproject.toml $(STAMPS)/venv
	$(PY) -m pip install --quiet --group browser
	@touch $@

.PHONY: test-browser
test-browser: has-browser dev $(STAMPS)/browser ## The HTML report in a headless browser (Debian: chromium, chromium-driver)
	$(call title,the report in $$(chromium --version))
	DBMANAGER_PICTURES=$(TARGET_DIR)/pictures $(PYTEST) tests/browser $(ARGS)

.PHONY: test-docs
test-docs: dev ## Only the examples of the documentation
	$(PYTEST) tests/docs

.PHONY: docs-commands
docs-commands: dev ## Write docs/commands from the commands' help, docs/rules.md from the rules
	$(PY) -m dbmanager.cli.pages docs/commands
	$(PY) -m dbmanager.cli.rules_page docs/rules.md

.PHONY: check-python
check-python: $(STAMPS)/groups ## Python: ruff, lint and format
	$(call title,ruff)
	$(PY) -m ruff check $(LINTED)
	$(PY) -m ruff format --check $(LINTED)

.PHONY: check-types
check-types: dev ## Python: mypy strict, and the stub against the extension
	$(call title,mypy)
	$(PY) -m mypy --strict $(TYPED)
	$(call title,stubtest)
	@# An entry may count for some Python versions only.
	MYPYPATH=python $(PY) -m mypy.stubtest --ignore-unused-allowlist \
		$(addprefix --allowlist ,$(STUBTEST_ALLOWLIST)) dbmanager._core

.PHONY: format
format: $(STAMPS)/groups ## Format Rust and Python, apply ruff's safe fixes
	cargo fmt --all
	$(PY) -m ruff check --fix $(LINTED)
	$(PY) -m ruff format $(LINTED)

# ---- other Python versions -------------------------------------------------------

.PHONY: test-matrix
test-matrix: dev ## Run the Python tests on each of 3.11, 3.12, 3.13 that is installed
	@own=$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	ran=(); absent=(); failed=(); \
	for version in $(MATRIX); do \
		if [[ $$version == "$$own" ]]; then \
			setting=(VENV=$(VENV) TARGET_DIR=$(TARGET_DIR)); \
		elif python=$$(.ci/find-python "$$version"); then \
			setting=(VENV=.venvs/$$version TARGET_DIR=target/py$$version PYTHON="$$python" \
				GROUPS_OF_VENV="build test"); \
		else \
			absent+=("$$version"); continue; \
		fi; \
		printf '\n==== Python %s ====\n' "$$version"; \
		if $(MAKE) --no-print-directory --keep-going test-python test-cpython "$${setting[@]}"; \
		then ran+=("$$version"); else failed+=("$$version"); fi; \
	done; \
	printf '\ntest-matrix: passed on: %s; failed on: %s; not installed: %s\n' \
		"$${ran[*]:-none}" "$${failed[*]:-none}" "$${absent[*]:-none}"; \
	[[ $${#failed[@]} -eq 0 ]]

.PHONY: soak
soak: dev ## Run the long forms of the tests
	DBMANAGER_SOAK=1 HYPOTHESIS_PROFILE=slow $(PYTEST) --timeout=3600 -o faulthandler_timeout=3700 \
		-m "soak or machine" $(ARGS)

# SQLite and our code with AddressSanitizer. One runtime in a process, the C compiler's: Python is started with it.
# Freed memory stays in the sanitizer's quarantine, so growth is not measured; Python's own memory is not collected at
# its end, so leaks are not looked for.
ASAN_TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
ASAN := CFLAGS_$(subst -,_,$(ASAN_TARGET))="-fsanitize=address -fno-omit-frame-pointer -g" \
	cargo +nightly
ASAN_ARGS := --locked --target $(ASAN_TARGET) --target-dir target/asan
ASAN_RUST := -Zsanitizer=address -Cforce-frame-pointers=yes
ASAN_PACKAGE := target/asan/package

.PHONY: sanitize
sanitize: dev ## Rust's and Python's tests under AddressSanitizer (needs a nightly Rust and gcc)
	$(call title,cargo test with AddressSanitizer)
	RUSTFLAGS="$(ASAN_RUST)" $(ASAN) test --no-default-features $(ASAN_ARGS)
	$(call title,pytest with AddressSanitizer)
	RUSTFLAGS="$(ASAN_RUST) -Zexternal-clangrt" $(ASAN) build --lib $(ASAN_ARGS)
	@rm -rf $(ASAN_PACKAGE) && mkdir -p $(ASAN_PACKAGE) && cp -r python/dbmanager $(ASAN_PACKAGE)
	@cp target/asan/$(ASAN_TARGET)/debug/libdbmanager.so $(ASAN_PACKAGE)/dbmanager/$$(basename $(BUILT))
	LD_PRELOAD=$$(gcc -print-file-name=libasan.so) PYTHONMALLOC=malloc \
		ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 \
		PYTHONPATH=$(abspath $(ASAN_PACKAGE)) $(PYTEST) --timeout=600 -o faulthandler_timeout=700 \
		--ignore=tests/cpython --ignore=tests/browser --ignore=tests/docs --ignore=tests/typing $(ARGS) \
		--deselect tests/test_lifetimes.py::test_repetition_leaks_no_descriptor_and_no_memory

# Any SQL, parameters and texts on the core, with AddressSanitizer over the Rust code; what crashes is kept in
# fuzz/artifacts. SECONDS_OF_FUZZING is the time for each target.
FUZZ := $(TARGET_DIR)/tools/bin/cargo-fuzz
SECONDS_OF_FUZZING := 120

$(FUZZ):
	cargo install --quiet --locked --root $(TARGET_DIR)/tools cargo-fuzz

.PHONY: fuzz
fuzz: $(FUZZ) ## Fuzz SQL, parameters and texts (needs a nightly Rust)
	@for target in texts statements; do \
		mkdir -p fuzz/corpus/$$target; \
		PATH=$(abspath $(TARGET_DIR))/tools/bin:$$PATH cargo +nightly fuzz run $$target --fuzz-dir fuzz --target-dir $(TARGET_DIR)/fuzz \
			$(abspath fuzz)/corpus/$$target $(abspath fuzz)/seeds/$$target -- \
			-dict=$(abspath fuzz/sql.dict) -artifact_prefix=$(abspath fuzz)/artifacts/$$target/ \
			-max_total_time=$(SECONDS_OF_FUZZING) -timeout=20 -max_len=2000 -print_final_stats=1 || exit 1; \
	done

# ---- to look at --------------------------------------------------------------------

.PHONY: demo
demo: dev ## Run one application on sqlite3, on connect() and on sessions, and compare
	$(PY) examples/service_app/demo.py $(ARGS)

.PHONY: bench
bench: dev ## Print the benchmark table; a part of it with ARGS="W2 W5"
	$(PY) -m benches $(ARGS)

.PHONY: clean
clean: ## Remove environments, builds and caches
	rm -rf .venv .venvs target dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f python/dbmanager/_core.*.so
	find $(LINTED) -name __pycache__ -type d -prune -exec rm -rf {} +
