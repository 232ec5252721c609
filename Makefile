# make setup | run | test | faults | faults-quick | check | image-check | bench | evaluate | pictures | requirements
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup run test faults faults-quick check image-check bench evaluate pictures requirements

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

test: $(VENV)/.installed-dev
	@$(BIN)/python -m tests $(ARGS)

# What dies, hangs or lies, and what is lost by it: nothing. docs/faults.md.
faults: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.campaign $(ARGS)

faults-quick: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.campaign --quick $(ARGS)

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
	for half in $(HALVES); do for set in shop:agents/demo_articles hosting:benchmarks/knowledge/articles; do \
		file=benchmarks/knowledge/$${set%%:*}.$$half.csv; \
		printf '\n%s\n\n' "$$file"; \
		$(BIN)/python manage.py evaluate_knowledge "$$file" --articles "$${set#*:}" || exit 1; \
	done; done

# What `make bench` measures the service against, apart from everything else.
$(VENV)-bench/.installed: benchmarks/requirements.txt
	@test -x $(VENV)-bench/bin/python || $(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	@touch $@

# Those of docs/images. Needs chromium; look at what it made.
pictures: $(VENV)/.installed-dev
	@SECRET_KEY=only-for-pictures DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m tests.page.pictures

# Needs uv. One file for all interpreters and platforms.
requirements:
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements.in -o requirements.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements-dev.in -o requirements-dev.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url benchmarks/requirements.in -o benchmarks/requirements.txt
