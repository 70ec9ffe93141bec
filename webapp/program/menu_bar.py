"""An item in the menu bar of macOS: it shows the pool, opens the page and quits Hearth. Runs in its own process.

rumps, from the extra `menu`, draws it. Pages and commands offer all of its actions as well.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.error import URLError

from webapp.paths import DataDir, this_program
from webapp.people.tickets import Tickets
from webapp.program.instance import Instance
from webapp.program.launcher import ANSWER_SECONDS, open_page, ours, visit
from webapp.sizes import size

TITLE = "🔥"
REFRESH_SECONDS = 5
STOP_SECONDS = 20.0
IN_MEMORY = ("loaded", "draining")


def is_possible() -> bool:
    return sys.platform == "darwin" and find_spec("rumps") is not None


def start(data: DataDir) -> None:
    """Start the item as a process in a session of its own; it ends at once if another item is there."""
    subprocess.Popen(
        [*this_program(), "menu-bar", "--data-dir", str(data.root)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
    )  # fmt: skip


def show(data: DataDir) -> int:
    """Show the item until the server or the item ends; returns the exit status."""
    if not is_possible():
        print("A menu-bar item needs macOS and the extra 'menu' (rumps).", file=sys.stderr)
        return 1
    with os.fdopen(os.open(data.run / "menu-bar", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0
        draw(import_module("rumps"), data)
    return 0


def draw(rumps: Any, data: DataDir) -> None:
    """Draw the item and return when it is gone. `rumps` is the library, which Linux does not have."""
    instance = Instance(data.run)
    words = rumps.MenuItem("")

    def refresh(_: object) -> None:
        if not instance.held():
            rumps.quit_application()
        elif pool := pool_of(data, instance):
            words.title = summary(pool)

    def open_hearth(_: object) -> None:
        if running := ours(instance):
            open_page(data, running)

    def copy_address(_: object) -> None:
        if running := ours(instance):
            subprocess.run(["pbcopy"], input=f"{running.url}/v1", text=True, check=False)

    app = rumps.App("Hearth", title=TITLE, quit_button=None)
    app.menu = [
        words,
        None,
        rumps.MenuItem("Open Hearth", callback=open_hearth),
        rumps.MenuItem("Copy API Address", callback=copy_address),
        None,
        rumps.MenuItem("Quit Hearth", callback=lambda _: instance.stop(STOP_SECONDS)),
    ]
    rumps.Timer(refresh, REFRESH_SECONDS).start()
    app.run()


def pool_of(data: DataDir, instance: Instance) -> Mapping[str, Any] | None:
    """The pool as JSON from the server; None if no server answers."""
    running = ours(instance)
    if running is None:
        return None
    try:
        with visit(running, Tickets(data.run)).open(f"{running.url}/api/pool", timeout=ANSWER_SECONDS) as reply:
            return dict(json.load(reply))
    except (URLError, OSError, ValueError):
        return None


def summary(pool: Mapping[str, Any]) -> str:
    """The state of the pool in one line, short enough for a menu."""
    names = [model["id"].rpartition("/")[2] for model in pool["models"] if model["state"] in IN_MEMORY]
    models = names[0] if len(names) == 1 else f"{len(names)} models"
    answers = f", {pool['running']} answering" if pool["running"] else ""
    return f"{models}, {size(pool['used_bytes'])} of {size(pool['limit_bytes'])}{answers}"
