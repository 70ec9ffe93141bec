"""Writes a report on a server that crashed into the log folder; the next start points to it.

Native tracebacks name functions and lines, and the log never holds prompts or keys, so people may share a report.
"""

from __future__ import annotations

import faulthandler
import logging
import platform
import sys
import time
from collections import deque
from pathlib import Path

from webapp import __version__
from webapp.program.instance import Running

log = logging.getLogger(__name__)

LOG_LINES = 60
KEPT = 5


def watch(logs: Path) -> None:
    """From now on, a fault that Python cannot catch writes its traceback to fault.log."""
    faulthandler.enable(_fault(logs).open("w"))


def report(logs: Path, left: Running) -> Path:
    """Write the report on the server that left its address behind; returns its path."""
    path = logs / time.strftime("crash-%Y%m%d-%H%M%S.txt")
    fault = (
        _text(_fault(logs)).strip()
        or "No fault: the log says why, or it was killed from outside, or the computer went down."
    )
    lines = deque(_text(logs / "hearth.log").splitlines(), LOG_LINES)
    about = f"Hearth {__version__}, Python {platform.python_version()}, {platform.platform()}"
    path.write_text(
        f"Hearth at {left.url}, process {left.pid}, ended without stopping.\n{about}\nProgram: {sys.executable}\n\n"
        f"Traceback\n\n{fault}\n\nThe last lines of the log\n\n" + "\n".join(lines) + "\n",
        "utf-8",
    )
    path.chmod(0o600)
    _delete_old(logs)
    return path


def _delete_old(logs: Path) -> None:
    for old in sorted(logs.glob("crash-*.txt"))[:-KEPT]:
        try:
            old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("an old crash report could not be deleted: %s", error)


def _fault(logs: Path) -> Path:
    return logs / "fault.log"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
