# `make run` and `make test` are all a newcomer needs.
PYTHONS := python3.13 python3.12 python3.11 python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install run test check browser app fuzz

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@sh tools/make_venv.sh "$(PYTHONS)"
	@touch $@

run: install
	@$(BIN)/hearth $(or $(ARGS),serve)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

browser:
	@sh tools/find_browser.sh

test: check browser
	$(BIN)/pytest -n 3 --dist worksteal

# Malformed requests to every route: minutes, and so not a part of the tests.
fuzz: install
	$(BIN)/python tools/fuzz.py

# The fixed seed keeps the order of sets, and with it the files, the same from build to build.
app: install
	PYTHONHASHSEED=1 $(BIN)/pyinstaller --noconfirm --log-level ERROR build.spec
	$(BIN)/python -m tools.package.report
