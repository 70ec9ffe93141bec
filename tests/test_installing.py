"""What a plain `pip install .` brings: all of the program, and with it pages that can be drawn."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAPPED = ("templates", "static", "models")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
DRAW = """
import sys
from pathlib import Path
from webapp import paths
from webapp.app import create_app
from webapp.server import Options, Server

assert paths.ROOT == Path(sys.argv[1], "webapp"), paths.ROOT
server = Server(Options(), paths.DataDir.at(Path(sys.argv[2])))
client = create_app(server).test_client()
for path in ("/chat", "/about", "/static/app.css", "/static/vendor/htmx.min.js"):
    assert client.get(path).status_code == 200, path
assert [model.id for model in server.catalog.models() if model.bundled] == ["ember"]
server.close()
"""


def tracked(*folders: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("outside of version control")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_package_is_named() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    found = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in ROOT.glob("webapp/**/__init__.py")}
    assert set(named) == found | {f"webapp.{folder}" for folder in (*MAPPED, "docs")}


def test_the_installed_program_has_all_its_files_and_draws_its_pages(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in tracked("webapp", "docs", *MAPPED, "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    expected = {f"webapp/{name}" for name in tracked(*MAPPED)} | set(tracked("webapp"))
    assert expected <= inside, sorted(expected - inside)[:5]
    drawn = subprocess.run(
        [sys.executable, "-P", "-c", DRAW, str(tmp_path / "installed"), str(tmp_path / "data")],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr[-2000:]
