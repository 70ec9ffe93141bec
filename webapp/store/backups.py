"""Copies a database while it is in use: once a day, keeping the newest seven, and before its schema changes."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

log = logging.getLogger(__name__)

KEPT = 7
LOOK_SECONDS = 3600.0
FAILURES = (sqlite3.Error, OSError)


class Backups:
    """Checks once an hour that today's copy of the database at `source` exists, and makes it if not."""

    def __init__(
        self, source: Path, folder: Path, clock: Callable[[], float] = time.time, look_seconds: float = LOOK_SECONDS
    ):
        self._source = source
        self._folder = folder
        self._clock = clock
        self._look_seconds = look_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backups", daemon=True)

    @property
    def newest(self) -> Path | None:
        return next(iter(self.daily()), None)

    def daily(self) -> list[Path]:
        """The daily copies, newest first: their names sort by day."""
        return sorted(self._folder.glob(f"{self._source.stem}-[0-9]*-[0-9]*-[0-9]*.db"), reverse=True)

    def back_up_if_due(self) -> None:
        """Make today's copy if it is missing, then delete the oldest. Logs a failure; the next check tries again."""
        today = self._folder / f"{self._source.stem}-{date.fromtimestamp(self._clock())}.db"
        if today.exists():
            return
        try:
            copy(self._source, today)
            for old in self.daily()[KEPT:]:
                old.unlink()
        except FAILURES as error:
            log.error("%s was not backed up: %s", self._source, error)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._closing.is_set():
            self.back_up_if_due()
            self._closing.wait(self._look_seconds)


def copy(source: Path, target: Path) -> None:
    """Copy consistently, even while others write. `target` is never half a file and has mode 0600. Raises FAILURES."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(part)) as duplicate:
        original.backup(duplicate)
        duplicate.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    part.replace(target)
