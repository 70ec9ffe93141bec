"""`hearth selftest` tries everything that an answer needs, in a process of its own and on throw-away data.

The checks run in order; a failed one does not stop the others. The same table stands on the About page.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, TemplateError

from webapp import paths
from webapp.errors import HearthError
from webapp.generation import GenerationRequest, Message
from webapp.program.instance import Instance
from webapp.server import Options, Server
from webapp.settings.table import Settings
from webapp.sizes import size
from webapp.stream import collect

LOAD_SECONDS = 60.0
FREE_BYTES = 500_000_000
QUESTION = "What is Hearth?"
# The exceptions that a broken installation raises. Any other is a bug and ends the command with a traceback.
FAULTS = (HearthError, ImportError, OSError, RuntimeError, ValueError, TimeoutError, sqlite3.Error, TemplateError)


class CheckFailed(HearthError):
    """Raised by a check that found a fault."""

    kind = "broken"


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    check: str
    ok: bool
    found: str
    seconds: float


def tell(checked: Iterable[CheckOutcome], *, as_json: bool) -> int:
    """Print the table or JSON; returns 0 if all checks passed, else 1."""
    outcomes = []
    for outcome in checked:
        outcomes.append(outcome)
        if not as_json:
            print(
                f"{'ok  ' if outcome.ok else 'FAIL'}  {outcome.check:14}{outcome.seconds:6.2f} s  {outcome.found}",
                flush=True,
            )
    well = all(outcome.ok for outcome in outcomes)
    if as_json:
        print(json.dumps({"ok": well, "checks": [asdict(outcome) for outcome in outcomes]}))
    return 0 if well else 1


def outcomes_of(data: paths.DataDir) -> Iterator[CheckOutcome]:
    with tempfile.TemporaryDirectory(prefix="hearth-selftest-") as scratch:
        server = Server(Options(), paths.DataDir.at(Path(scratch)))
        checks: tuple[tuple[str, Callable[[], str]], ...] = (
            ("device", lambda: device(server)),
            ("arithmetic", arithmetic),
            ("architectures", architectures),
            ("ember loads", lambda: load(server)),
            ("ember answers", lambda: chat(server)),
            ("database", lambda: database(data)),
            ("disk", lambda: disk(data)),
            ("port", lambda: port(data)),
            ("pages", lambda: pages(paths.TEMPLATES, paths.STATIC)),
        )
        server.start()
        for name, check in checks:
            yield attempt(name, check)
        server.drain(0)
        server.close()


def attempt(name: str, check: Callable[[], str]) -> CheckOutcome:
    began = time.perf_counter()
    try:
        ok, found = True, check()
    except FAULTS as fault:
        ok, found = False, str(fault) or type(fault).__name__
    return CheckOutcome(name, ok, found, time.perf_counter() - began)


def device(server: Server) -> str:
    server.backend.wait(LOAD_SECONDS)
    if sys.platform == "darwin" and not server.backend.device.startswith("Metal"):
        raise CheckFailed(f"MLX computes on {server.backend.device}; on a Mac it should be Metal.")
    return f"{server.backend.device}, {server.backend.blas}"


def arithmetic() -> str:
    """Multiply matrices on the device, and compare with the product in whole numbers."""
    return str(import_module("webapp.engine.mlx.device").multiply())


def architectures() -> str:
    names = import_module("webapp.engine.mlx.architectures").import_all()
    return f"{len(names)} model architectures"


def load(server: Server) -> str:
    model = server.catalog.find("ember")
    server.engine.load(model).result(LOAD_SECONDS)
    return f"{model.weights_bytes / 1e6:.1f} MB of weights"


def chat(server: Server) -> str:
    request = GenerationRequest("selftest", "ember", messages=(Message.of("user", QUESTION),), max_tokens=48)
    answer = collect(server.router.generate(request))
    if not answer.text.strip():
        raise CheckFailed("Ember wrote nothing.")
    return f"{answer.finish.usage.completion_tokens} tokens: {answer.text.strip()[:60]}"


def database(data: paths.DataDir) -> str:
    """Check the real database, read-only; the self-test's own server has already written a new one."""
    if not data.database.exists():
        return "none yet; a new one can be made"
    with closing(sqlite3.connect(f"{data.database.as_uri()}?mode=ro", uri=True)) as connection:
        (said,) = connection.execute("PRAGMA quick_check").fetchone()
    if said != "ok":
        raise CheckFailed(f"{data.database}: {said}")
    return str(data.database)


def disk(data: paths.DataDir) -> str:
    with tempfile.NamedTemporaryFile(dir=data.run) as probe:
        probe.write(b"Hearth")
    free = shutil.disk_usage(data.root).free
    if free < FREE_BYTES:
        raise CheckFailed(f"{size(free)} free in {data.root}; Hearth needs {size(FREE_BYTES)}.")
    return f"{size(free)} free in {data.root}"


def port(data: paths.DataDir) -> str:
    if running := Instance(data.run).running():
        return f"Hearth runs at {running.url}"
    wanted = Settings()
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.host, wanted.port))
        except OSError:
            return f"{wanted.port} is taken by another program; Hearth will use the next free one"
    return f"{wanted.port} is free"


def pages(templates: Path, static: Path) -> str:
    """Check that every template parses, and that vendor files have the checksums they were shipped with."""
    environment = Environment(autoescape=True, loader=FileSystemLoader(templates))
    names = sorted(path.relative_to(templates).as_posix() for path in templates.rglob("*.html"))
    for name in names:
        environment.parse((templates / name).read_text("utf-8"), name)
    pins = (static / "vendor" / "SHA256SUMS").read_text("utf-8").splitlines()
    for pin in pins:
        wanted, name = pin.split()
        if hashlib.sha256((static / "vendor" / name).read_bytes()).hexdigest() != wanted:
            raise CheckFailed(f"{name} is not the file that was shipped.")
    if not names or not (static / "app.js").is_file():
        raise CheckFailed(f"{templates} or {static} is not what was shipped.")
    return f"{len(names)} templates, {len(pins)} pinned files"
