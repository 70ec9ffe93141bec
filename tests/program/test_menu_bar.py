"""The menu bar as far as it can be told without a Mac: what it says, and that it ends with the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import Hearth
from webapp.paths import DataDir
from webapp.program.instance import Instance
from webapp.program.menu_bar import pool_of, summary

GB = 10**9


@pytest.mark.parametrize(
    ("states", "running", "said"),
    [
        ({}, 0, "0 models, 1.5 GB of 8.0 GB"),
        ({"org/qwen": "loaded", "org/other": "ready"}, 0, "qwen, 1.5 GB of 8.0 GB"),
        ({"org/qwen": "loaded", "ember": "draining"}, 2, "2 models, 1.5 GB of 8.0 GB, 2 answering"),
    ],
)
def test_the_pool_in_a_line(states: dict[str, str], running: int, said: str) -> None:
    models = [{"id": name, "state": state} for name, state in states.items()]
    pool = {"used_bytes": 1.5 * GB, "limit_bytes": 8 * GB, "models": models, "running": running}
    assert summary(pool) == said


def test_a_real_pool_fits_and_no_server_is_none(hearth: Hearth, tmp_path: Path) -> None:
    assert " GB" in summary(httpx.get(f"{hearth.base_url}/api/pool").json())
    data = DataDir.at(tmp_path)
    assert pool_of(data, Instance(data.run)) is None


@pytest.mark.skipif(sys.platform == "darwin", reason="there it would be drawn")
def test_elsewhere_it_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "webapp", "menu-bar", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "rumps" in done.stderr
