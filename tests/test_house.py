"""The limits that keep the code readable, held for every file of the program."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*ROOT.glob("webapp/**/*.py"), *ROOT.glob("tools/**/*.py")])
TOP_LEVEL = {
    "pyproject.toml", "webapp", "templates", "static", "build.spec", "tests", "Makefile", "README.md", "CHANGELOG.md",
    "LICENSE", "constraints.txt", "docs", "models", "tools", ".ci", ".gitignore", ".github",
}  # fmt: skip
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
DEEPEST_NESTING = 4
# The engine loop (loop, step, load) and admission (one sequence, its tokenizer); the last web boundary is a Flask
# error handler, not an except.
CATCH_ALLS = {
    "webapp/engine/engine.py": 3,
    "webapp/engine/pool/pool.py": 1,
    "webapp/engine/mlx/prompts/tokenizers.py": 1,
}
# Stems that stand twice, each for one noun in several rooms: the table, the desk, the routes, the page.
NOUNS = {
    "audit", "chat", "embeddings", "errors", "keys", "metrics", "models", "notices", "pool", "profiles", "responses",
    "settings",
}  # fmt: skip
MOST_FILES_AT_THE_TOP = 11
MOST_ROOMS = 30
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def nesting(node: ast.AST) -> int:
    """How deep blocks lie in blocks; an elif does not count as deeper."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        deepest = max(deepest, nesting(child) + (isinstance(child, BLOCKS) and not chained))
    return deepest


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGEST_FILE
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "the module docstring is missing"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_functions_fit_on_a_screen(path: Path) -> None:
    for function in functions(path):
        assert (function.end_lineno or 0) - function.lineno < LONGEST_FUNCTION, function.name
        assert nesting(function) <= DEEPEST_NESTING, function.name


def test_catch_alls_stand_only_where_the_house_allows_them() -> None:
    found = {}
    for path in SOURCES:
        handlers = (
            node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ExceptHandler)
        )
        broad = sum(
            handler.type is None or getattr(handler.type, "id", "") in ("Exception", "BaseException")
            for handler in handlers
        )
        if broad:
            found[name(path)] = broad
    assert found == CATCH_ALLS


def test_no_state_hides_in_modules() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not isinstance(node, ast.Global), f"{name(path)} uses global"


def test_a_class_name_stands_for_one_thing() -> None:
    found: dict[str, list[str]] = {}
    for path in ROOT.glob("webapp/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(name(path))
    assert len(found) > 300
    assert {word: places for word, places in found.items() if len(places) > 1} == {}


def test_a_file_s_name_stands_twice_only_for_one_noun_in_several_rooms() -> None:
    found = Counter(path.stem for path in ROOT.glob("webapp/**/*.py") if path.stem != "__init__")
    assert {stem for stem, times in found.items() if times > 1} == NOUNS


def test_rooms_are_few_and_little_stands_outside_of_them() -> None:
    outside = {path.name for path in ROOT.glob("webapp/*.py")} - {"__init__.py"}
    assert len(outside) <= MOST_FILES_AT_THE_TOP, outside
    assert len(list(ROOT.glob("webapp/**/__init__.py"))) <= MOST_ROOMS


def test_no_import_hides_from_the_fences() -> None:
    """What is imported for types alone is an import, too; only the types of WSGI, which nothing brings, are none."""
    for path in ROOT.glob("webapp/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                hidden = [ast.unparse(line) for line in node.body]
                assert all(line.startswith("from _typeshed") for line in hidden), f"{name(path)}: {hidden}"


def test_the_top_level_is_as_the_house_plans_it() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= TOP_LEVEL


def test_no_addresses_of_hosts_stand_in_the_pins() -> None:
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert pins and all(line.count("==") == 1 and "://" not in line for line in pins if line.strip())


def declared() -> tuple[set[str], set[str]]:
    """What pyproject.toml asks pip for: names of the program's libraries, and of those for development besides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed, extras = project["dependencies"], project["optional-dependencies"].values()
    return _names(needed), _names([*needed, *(each for extra in extras for each in extra)])


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=; ]", each)[0].lower().replace("_", "-") for each in requirements}


def undeclared(known: set[str], *folders: str) -> dict[str, str]:
    """Imported libraries that none of these names brings, each with a file that imports it."""
    brought = {
        top: {each.lower().replace("_", "-") for each in names} for top, names in packages_distributions().items()
    }
    found = {}
    for path in (path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for top in {each.split(".")[0] for each in names} - {"webapp"}:
                if top in brought and brought[top].isdisjoint(known):
                    found[top] = name(path)
    return found


def test_what_is_imported_is_declared() -> None:
    program, development = declared()
    assert len(program) > 15
    assert undeclared(program, "webapp") == {}
    assert undeclared(development, "tests", "tools") == {}
