"""The launcher behind a double click: opens the page of the running server, or starts one first; then it ends.

Knows the server only as a process: its lock, its address and its /health. Imports nothing heavy, as a click on a
running Hearth must open the page at once.
"""

from __future__ import annotations

import fcntl
import html
import json
import os
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

from webapp.paths import DataDir, this_program
from webapp.people.tickets import Tickets
from webapp.program.instance import Instance, Running

READY_SECONDS = 30.0
ANSWER_SECONDS = 2.0
TRANSLOCATED = "/AppTranslocation/"
MOVE_IT = (
    "macOS runs Hearth from a temporary place, because it was opened where it was downloaded. "
    "Move Hearth to the Applications folder with the Finder, then open it again."
)


class CannotLaunch(Exception):
    """Raised when no page can open. The message tells people why, and what to do."""


def launch(data: DataDir, serve_arguments: Sequence[str], *, browser: bool) -> str:
    """Open the page, and return its address. Raises CannotLaunch."""
    if TRANSLOCATED in sys.executable:
        raise CannotLaunch(MOVE_IT)
    instance = Instance(data.run)
    running = ours(instance)
    if running is None:
        with launching_alone(data.run):
            running = awaited(data, instance, serve_arguments)
    if browser:
        open_page(data, running)
    return running.url


def ours(instance: Instance) -> Running | None:
    """The server of this data folder if it runs and answers; None if another program answers at its address."""
    running = instance.running()
    return running if running is not None and health(running).get("instance") == running.id else None


def health(running: Running) -> Mapping[str, Any]:
    """The JSON of /health at this address; empty if nothing answers, or not with a JSON object."""
    try:
        # Not through a proxy: the address is this machine.
        with build_opener(ProxyHandler({})).open(f"{running.url}/health", timeout=ANSWER_SECONDS) as reply:
            report = json.load(reply)
    except (URLError, OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


@contextmanager
def launching_alone(run: Path) -> Iterator[None]:
    """Holds a lock, so that of several launches one starts the server and the others wait and find it."""
    with os.fdopen(os.open(run / "launch", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def awaited(data: DataDir, instance: Instance, serve_arguments: Sequence[str]) -> Running:
    """Wait until the server answers, and start one if none is starting. Raises CannotLaunch."""
    server: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if running := ours(instance):
            return running
        if not instance.held():
            if server is None:
                server = start(data, serve_arguments)
            elif server.poll() is not None:
                raise CannotLaunch(last_words(data) or f"Hearth ended at once; {data.logs} may say why.")
        time.sleep(0.03)
    raise CannotLaunch(f"Hearth does not answer after {READY_SECONDS:.0f} seconds; {data.logs} may say why.")


def start(data: DataDir, serve_arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that it outlives this process."""
    command = [*this_program(), "serve", "--detached", "--no-browser", *serve_arguments]
    with os.fdopen(os.open(start_log(data), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as errors:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            cwd="/", env={**os.environ, "PYINSTALLER_RESET_ENVIRONMENT": "1"},
        )  # fmt: skip


def start_log(data: DataDir) -> Path:
    return data.logs / "start.log"


def last_words(data: DataDir) -> str:
    """The last line that the server wrote before it gave up, which is meant for people."""
    lines = start_log(data).read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def visit(running: Running, tickets: Tickets) -> OpenerDirector:
    """An opener for the server's pages: it uses no proxy, and is signed in if the server demands it."""
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor())
    if health(running).get("sign_in"):
        opener.open(tickets.link(running.url), timeout=ANSWER_SECONDS).close()
    return opener


def open_page(data: DataDir, running: Running) -> None:
    """Open the person's browser. With sign-in on, it opens a file that only they can read: see `Tickets.page`."""
    address = running.url
    if health(running).get("sign_in"):
        address = Tickets(data.run).page(running.url).as_uri()
    webbrowser.open(address)


def tell(problem: str, *, browser: bool) -> None:
    """Print the problem, and show it as a page in the browser if there is no terminal."""
    print(problem, file=sys.stderr)
    if not browser or sys.stderr is None or sys.stderr.isatty():
        return
    descriptor, name = tempfile.mkstemp(".html", "hearth-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as page:
        page.write(PROBLEM.replace("PROBLEM", html.escape(problem)))
    webbrowser.open(Path(name).as_uri())


PROBLEM = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>Hearth did not start</title>
<style>
:root { font: 16px/1.55 system-ui, sans-serif }
:root { background: light-dark(#faf6ef, #1e1a17); color: light-dark(#2b2520, #f1eae0) }
body { max-width: 34rem; margin: 18vh auto; padding: 0 24px } h1 { font-size: 22px }
</style>
<h1>Hearth did not start</h1><p>PROBLEM</p></html>
"""
