# make setup | run | test | faults | faults-quick | hostile | hostile-quick | autobahn | check | image-check | bench | evaluate | pictures | requirements
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup run test faults faults-quick hostile hostile-quick autobahn check image-check bench evaluate pictures requirements

setup: $(VENV)/.installed

# Done again only when the pinned requirements change.
$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: setup
	@exec $(BIN)/python manage.py demo

test: $(VENV)/.installed-dev $(VENV)-last-release/.installed
	@$(BIN)/python -m tests $(ARGS)

# What dies, hangs or lies, and what is lost by it: nothing. docs/faults.md.
faults: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.campaign $(ARGS)

faults-quick: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.campaign --quick $(ARGS)

# What a stranger's attack costs those who did nothing: nothing. docs/hostile.md.
hostile: $(VENV)/.installed-dev $(VENV)-hostile/.installed
	@$(BIN)/python -m tests.hostile $(ARGS)

hostile-quick: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.hostile --quick $(ARGS)

# Autobahn's WebSocket test suite. Needs a Python 2.7 (pyenv's will do), and says so: exit code 3.
autobahn: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.hostile.autobahn

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	SECRET_KEY=check $(BIN)/mypy
	SECRET_KEY=check $(BIN)/python manage.py makemigrations --check --dry-run
	SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') PUBLIC_URL=https://lexicon.invalid TRUSTED_PROXIES=127.0.0.1 \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

# Every step of the Dockerfile, by hand, into a folder: packages too, which takes a minute.
image-check: $(VENV)/.installed-dev
	IMAGE_PYTHON=$$(command -v $(PYTHON)) $(BIN)/python -m pytest -q tests/shipping/test_image.py

bench: $(VENV)/.installed-dev $(VENV)-bench/.installed
	@$(BIN)/python -m benchmarks $(ARGS)

# How well the built-in agent answers; nothing is ever chosen by the held-back questions. docs/agents.md.
evaluate: HALVES ?= tune held_back
evaluate: $(VENV)/.installed-dev
	@folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && \
	export SECRET_KEY=evaluate DATABASE_URL="sqlite:///$$folder/db.sqlite3" && \
	$(BIN)/python manage.py migrate --verbosity 0 && \
	for half in $(HALVES); do for set in shop:knowledge/demo_articles hosting:benchmarks/knowledge/articles; do \
		file=benchmarks/knowledge/$${set%%:*}.$$half.csv; \
		printf '\n%s\n\n' "$$file"; \
		$(BIN)/python manage.py evaluate_knowledge "$$file" --articles "$${set#*:}" || exit 1; \
	done; done

# What `make bench` measures the service against, apart from everything else.
$(VENV)-bench/.installed: benchmarks/requirements.txt
	@test -x $(VENV)-bench/bin/python || $(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	@touch $@

# schemathesis, for tests/hostile/schema.py, apart from everything else.
$(VENV)-hostile/.installed: tests/hostile/requirements.txt
	@test -x $(VENV)-hostile/bin/python || $(PYTHON) -m venv $(VENV)-hostile
	$(VENV)-hostile/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/hostile/requirements.txt
	@touch $@

# What the last release runs on, for tests/upgrade, where today's requirements are others: the same are there already.
$(VENV)-last-release/.installed: tests/upgrade/last_release.txt requirements.txt
	@mkdir -p $(@D)
	@if git cat-file -e "$$(cat tests/upgrade/last_release.txt)^{commit}" 2>/dev/null && \
		git show "$$(cat tests/upgrade/last_release.txt):requirements.txt" >$(@D)/requirements.txt && \
		! cmp --silent requirements.txt $(@D)/requirements.txt; then \
		$(PYTHON) -m venv $(@D) && \
		$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(@D)/requirements.txt; \
	fi
	@touch $@

# Those of docs/images. Needs chromium; look at what it made.
pictures: $(VENV)/.installed-dev
	@SECRET_KEY=only-for-pictures DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m tests.web.pictures

# Needs uv. One file for all interpreters and platforms.
requirements:
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements.in -o requirements.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements-dev.in -o requirements-dev.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url benchmarks/requirements.in -o benchmarks/requirements.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url tests/hostile/requirements.in -o tests/hostile/requirements.txt
