"""What is left of a server that ended without stopping."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from webapp.program import crash
from webapp.program.instance import Running

LEFT = Running(4711, "127.0.0.1", 10242, "abc")


def test_a_fault_leaves_its_traceback(tmp_path: Path) -> None:
    """SIGABRT is how Metal ends a program that is out of memory."""
    program = (
        "import os, pathlib, sys; from webapp.program import crash\n"
        "def compute(): os.abort()\n"
        "crash.watch(pathlib.Path(sys.argv[1])); compute()"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGABRT
    report = crash.report(tmp_path, LEFT).read_text()
    assert "process 4711, ended without stopping" in report
    assert re.search(r"Fatal Python error: Aborted.*in compute", report, re.S)


def test_the_last_lines_of_the_log_stand_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "hearth.log").write_text("\n".join(f"line {number}" for number in range(500)))
    report = crash.report(tmp_path, LEFT).read_text()
    assert "line 499" in report and "line 439" not in report
    assert "killed from outside" in report


def test_reports_do_not_pile_up(tmp_path: Path) -> None:
    for hour in range(9):
        (tmp_path / f"crash-20260101-0{hour}0000.txt").write_text("old")
    newest = crash.report(tmp_path, LEFT)
    kept = sorted(tmp_path.glob("crash-*.txt"))
    assert len(kept) == crash.KEPT and kept[-1] == newest
    assert newest.name.startswith(time.strftime("crash-%Y"))


def test_an_old_report_that_cannot_be_deleted_stops_no_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for hour in range(9):
        (tmp_path / f"crash-20260101-0{hour}0000.txt").mkdir()
    assert crash.report(tmp_path, LEFT).exists()
    assert "could not be deleted" in caplog.text
