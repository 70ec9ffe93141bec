"""What is inside: every architecture, every page, no more weight than was agreed, and the papers."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import httpx
import mlx_lm.models
import pytest

from tests.binary.conftest import FOLDER, PROGRAMS, Bare, Serve, both
from tiny_models import ARCHITECTURES, make_model
from tools.package import report
from webapp.engine.mlx.architectures import NEEDS_TORCH


@both
def test_the_selftest_passes_in_a_bare_environment(bare: Bare) -> None:
    done = bare.run("selftest", "--json")
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, [check for check in checks.values() if not check["ok"]]) == (0, [])
    assert ("OpenBLAS " in checks["device"]["found"]) == (sys.platform == "linux")
    here = [found.name for found in pkgutil.iter_modules(mlx_lm.models.__path__) if found.name not in NEEDS_TORCH]
    assert checks["architectures"]["found"] == f"{len(here)} model architectures"


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("families")
    for seed, architecture in enumerate(ARCHITECTURES):
        make_model(folder / architecture, architecture, "nano", seed)
    return folder


def test_ten_families_answer(serve: Serve, families: Path) -> None:
    assert len(ARCHITECTURES) >= 10
    served = serve("--models-dir", str(families))
    for architecture in ARCHITECTURES:
        body = {"model": architecture, "prompt": "The river", "max_tokens": 4, "temperature": 0}
        answer = httpx.post(f"{served.url}/v1/completions", json=body, timeout=60)
        assert answer.status_code == 200, (architecture, answer.text)
        assert answer.json()["usage"]["completion_tokens"] >= 1


def test_nothing_has_grown_unseen() -> None:
    budget = json.loads(report.BUDGET.read_text("utf-8"))
    assert report.grown(report.sizes(), budget) == [], (
        "python -m tools.package.report --keep takes these sizes as agreed"
    )
    assert report.megabytes(FOLDER) <= report.FOLDER_LIMIT_MB
    assert report.megabytes(PROGRAMS["onefile"]) <= report.ONEFILE_LIMIT_MB


def test_what_must_not_be_inside() -> None:
    names = {path.name for path in (FOLDER / "_internal").iterdir()}
    assert not names & {"torch", "tensorflow", "jax", "scipy", "pandas", "PIL", "hf_xet", "greenlet", "pytest"}
    modelling = [*(FOLDER / "_internal" / "transformers" / "models").glob("*/modeling_*")]
    assert {path.parent.name for path in modelling} <= {"auto"}


def test_the_papers_are_inside() -> None:
    licences = FOLDER / "_internal" / "licences"
    inside = json.loads((licences / "sbom.json").read_text("utf-8"))
    names = {part["name"] for part in inside["components"]}
    assert {"mlx", "mlx-lm", "flask", "waitress", "htmx.org", "python"} <= names
    assert ("scipy-openblas32" in names) == (sys.platform == "linux")
    texts = (licences / "third-party-licences.txt").read_text("utf-8")
    assert names and all(f"\n{name} " in texts for name in names)


def test_the_folder_may_lie_anywhere_and_be_read_only(tmp_path: Path) -> None:
    moved = tmp_path / "a folder with spaces"
    subprocess.run(["cp", "-a", str(FOLDER), str(moved)], check=True)
    subprocess.run(["chmod", "-R", "a-w", str(moved)], check=True)
    (tmp_path / "tmp").mkdir()
    done = Bare(moved / "hearth", tmp_path).run("selftest", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(["chmod", "-R", "u+w", str(moved)], check=True)
