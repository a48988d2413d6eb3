# Two commands: `make demo` scans the bundled series, `make test` checks everything. Both set up .venv themselves.
# `make faults` breaks it at leisure: Ctrl-C at 300 moments, 200 kills, and all other faults (half an hour).

PYTHON ?= python3
BIN := .venv/bin
ROOMS := degen probes cli

.PHONY: demo test check lint types tests faults extras browser docs packed wheel stranger dist compat audit mutants \
  coverage sweep bench bench-gemma clean

# On a terminal the scan draws a bar; elsewhere a line for each checkpoint, which nobody needs to read.
demo: .venv/ready
	@echo 'scanning the bundled demo into degen-run'
	@if [ -t 2 ]; then $(BIN)/degen scan --out degen-run >/dev/null; else \
	  $(BIN)/degen scan --out degen-run >.venv/demo.log 2>&1 || { cat .venv/demo.log; exit 1; }; fi
	@$(BIN)/degen show degen-run
	@echo 'To type degen yourself, activate the environment: . $(BIN)/activate'

# What takes one core goes side by side; the tests take two, in three processes, since some wait for servers and disks.
test: .venv/ready
	@$(MAKE) --no-print-directory -j2 lint types wheel
	@$(MAKE) --no-print-directory tests

.venv/ready: pyproject.toml constraints.txt .ci/setup
	@PYTHON='$(PYTHON)' .ci/setup

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy follows the mapped package names only in an installed tree: build one and count that no file was missed.
types: packed
	rm -rf build/types && $(BIN)/python -m pip install --quiet --no-deps --no-compile --target build/types build/wheel/*.whl
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p degen
	@there=$$(find $(ROOMS) -name '*.py' | wc -l); seen=$$(find build/types/degen -name '*.py' | wc -l); \
	  echo "types: $$seen files checked, $$there in the rooms $(ROOMS)"; test $$there -eq $$seen

# Bytecode first, which each of some hundred processes would make anew where PYTHONDONTWRITEBYTECODE is set. Asserts are
# plain, as rewriting them takes a quarter minute; `pytest FILE` rewrites them and shows more of what failed.
tests: .venv/ready
	$(BIN)/python -m compileall -q $(ROOMS) tests
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --assert=plain --showlocals

faults: .venv/ready
	DEGEN_INTERRUPTS=100 DEGEN_KILLS=25 DEGEN_FUZZ=4500 $(BIN)/pytest -m "faults or not faults" tests/faults

# Tests of what bringing along too much keeps out of `make test`: logs of wandb and trackio, adapters that need more.
extras: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group extras
	$(BIN)/pytest -m extras tests

# The page of a run in a headless Chromium (`apt-get install chromium npm`); its screenshots go to build/browser, to be
# looked at. axe-core checks that it is accessible.
browser: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group browser
	npm install --silent --no-save --prefix build/browser axe-core@4.14.1
	$(BIN)/pytest -m browser tests/browser

# The site of docs/ in build/site, to be opened from the disk: a warning is an error, and so is a broken link.
docs: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	rm -rf build/site && $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env --doctree-dir build/doctrees docs build/site
	$(BIN)/python docs/check_site.py build/site

packed: .venv/ready
	@rm -rf build/wheel build/lib build/bdist.* && mkdir -p build/wheel/home
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .

# A wheel, installed where nothing of the repository is in sight; what it imports is compiled as it is imported.
wheel: packed
	@$(PYTHON) -m venv build/wheel/venv
	@build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt build/wheel/*.whl
	cd build/wheel && venv/bin/degen --help >/dev/null && venv/bin/degen --version

# What a stranger does with it: doctor, scan, report, with an empty home, no git and no variable of this shell; each figure
# of the demo must be as stored.
stranger: wheel
	@build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  "$$(echo build/wheel/*.whl)[report]"
	@cd build/wheel/home && env -i HOME="$$PWD" PATH=/nowhere HF_HUB_OFFLINE=1 ../venv/bin/python ../../../.ci/stranger.py

# A release: wheel and sdist in dist/, the same bytes each time, checked by twine.
dist: .venv/ready
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group release
	@$(BIN)/python .ci/dist.py

# The fast tests under the lowest and under the newest versions that pyproject.toml allows; COMPAT=lowest for one of them.
COMPAT ?= lowest newest
compat:
	@for end in $(COMPAT); do PYTHON='$(PYTHON)' .ci/compat $$end || exit 1; done

# The pinned dependencies against known vulnerabilities; says so and passes where the service cannot be reached.
audit:
	@[ -x build/audit/bin/python ] || $(PYTHON) -m venv build/audit
	@build/audit/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	@build/audit/bin/python -m pip install --quiet --constraint constraints.txt --group audit
	@build/audit/bin/python .ci/audit.py

# A hundred small faults, drawn by a seed and planted in a copy one at a time: the tests must notice 90 of them.
mutants: .venv/ready
	$(BIN)/python tests/mutation/mutants.py

# Which lines the tests of `make test` run, in processes that they start, too: 95 of 100 at least.
coverage: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group coverage
	mkdir -p build/coverage && $(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 3 --dist loadfile --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=95

# Every causal-LM type of transformers against brute force; writes docs/families.md. Three minutes.
sweep: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python tests/families/sweep.py docs/families.md

# degen beside what people would use instead and beside the floor; writes docs/bench.json and docs/performance.md. Half
# an hour on two cores with nothing else running. Goes on where it was stopped; `bench-gemma` adds the rows of Gemma 3 270M.
bench bench-gemma: .venv/ready
	$(BIN)/python bench/peers.py $(if $(filter bench-gemma,$@),--only gemma)
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache degen-run
