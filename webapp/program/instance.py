"""The one server of a data folder: who holds its lock, and at which address it answers."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from webapp.addresses import host_name, reachable

# The longest start that others wait for: it takes a second or two, more on a busy machine.
STARTING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """The server that holds the lock."""

    pid: int
    host: str
    port: int
    id: str = ""  # /health shows it too, so that a client can check which server answers

    @property
    def url(self) -> str:
        return f"http://{host_name(reachable(self.host))}:{self.port}"


class Instance:
    """A server holds `run/lock` until its process ends, and writes its address to `run/server.json`."""

    def __init__(self, run: Path):
        self._lock = run / "lock"
        self._address = run / "server.json"
        self._held: TextIO | None = None
        self.left_behind: Running | None = None  # by a server that ended without releasing; known once acquired

    def acquire(self, patience_seconds: float = 1.0) -> bool:
        """Become the server of this folder; False if another process is.

        Tries for a while, because `held()` of another process takes the lock for a moment.
        """
        deadline = time.monotonic() + patience_seconds
        while not self._try_lock(fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        self.left_behind = self._published()
        self._address.unlink(missing_ok=True)
        return True

    def _try_lock(self, kind: int) -> bool:
        file = os.fdopen(os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._held = file
        return True

    def _unlock(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def publish(self, host: str, port: int, id: str = "") -> None:
        """Write the address of this server, in one atomic step."""
        draft = self._address.with_suffix(".new")
        draft.write_text(json.dumps(asdict(Running(os.getpid(), host, port, id))), "utf-8")
        draft.chmod(0o600)
        draft.replace(self._address)

    def release(self) -> None:
        self._address.unlink(missing_ok=True)
        self._unlock()

    def held(self) -> bool:
        """True if a server of this folder lives, even one that is still starting."""
        if self._held is None and self._try_lock(fcntl.LOCK_SH):
            self._unlock()
            return False
        return True

    def running(self, patience_seconds: float = 0.0) -> Running | None:
        """The live server of this folder, or None. Waits at most `patience_seconds` for one that is starting."""
        deadline = time.monotonic() + patience_seconds
        while self.held():
            if published := self._published():
                return published
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        return None

    def _published(self) -> Running | None:
        try:
            return Running(**json.loads(self._address.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def stop(self, patience_seconds: float) -> bool:
        """Tell the running server to end, and wait for it; False if it still runs after `patience_seconds`."""
        running = self.running(STARTING_SECONDS)
        if running is None:
            return not self.held()
        with suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            if not self.held():
                return True
            time.sleep(0.1)
        return False
