"""The selftest: passes here, and says what is wrong where something is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from webapp import paths
from webapp.errors import HearthError
from webapp.paths import DataDir
from webapp.program import selftest


def test_it_passes_here(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "webapp", "selftest", "--json", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ, check=False)
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"]) == (0, True), said
    assert [check["check"] for check in said["checks"]] == [
        "device", "arithmetic", "architectures", "ember loads", "ember answers", "database", "disk", "port", "pages",
    ]  # fmt: skip
    assert ("OpenBLAS " in said["checks"][0]["found"]) == (sys.platform == "linux")


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    data = DataDir.at(tmp_path)
    data.database.write_bytes(b"SQLite format 3\0" + b"nonsense" * 100)
    outcome = selftest.attempt("database", lambda: selftest.database(data))
    assert not outcome.ok and outcome.found


def test_missing_pages_are_named(tmp_path: Path) -> None:
    static = tmp_path / "static"
    shutil.copytree(paths.STATIC, static)
    (static / "vendor" / "htmx.min.js").write_text("another")
    damaged = selftest.attempt("pages", lambda: selftest.pages(paths.TEMPLATES, static))
    assert "htmx.min.js is not the file" in damaged.found
    assert not selftest.attempt("pages", lambda: selftest.pages(tmp_path / "none", paths.STATIC)).ok


def test_a_failed_check_shows_in_the_status_and_the_others_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> str:
        raise HearthError("nothing works")

    checked = [selftest.attempt("first", broken), selftest.attempt("second", lambda: "fine")]
    assert selftest.tell(checked, as_json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  first") and "nothing works" in lines[0]
    assert lines[1].startswith("ok    second")
